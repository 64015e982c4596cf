//! The pendant gateway: what a lone worker's pendant says is authenticated,
//! kept durably and told to the monitoring centre.
//!
//! [`engine`] decides and is pure; [`shell`] carries; [`config`] checks what an
//! installer wrote; [`cli`] is one file a subcommand; [`plot`] draws for pages and reports; `health`
//! says what of a status needs somebody.

pub mod cli;
pub mod config;
pub mod engine;
mod health;
pub mod margin;
pub mod plot;
pub mod shell;
