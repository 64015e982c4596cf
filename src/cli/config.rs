//! `config`: the effective configuration, or the documented default.

use super::{Exit, Failure, print, print_json};
use crate::config::{Config, DEFAULT_TEXT};
use std::path::Path;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print the shipped file: every setting with its default, explained
    #[arg(long, conflicts_with = "json")]
    default: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The configuration holds no secret, only the paths of files that do.
pub(super) fn config(path: &Path, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.default {
        print(DEFAULT_TEXT)?;
    } else {
        let config = Config::read_text(path)?;
        if arguments.json {
            print_json(&serde_json::to_value(&config).expect("every field has a form in JSON"))?;
        } else {
            print(&config.to_text())?;
        }
    }
    Ok(Exit::Done)
}
