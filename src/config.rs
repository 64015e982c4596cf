//! Text to checked configuration.
