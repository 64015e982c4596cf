//! The thin tokio shell.
