//! Writes the gateway's man pages and shell completions for its package.
//!
//!     cargo run -p pendant-kit --example manuals -- FOLDER
//!
//! An example and not a subcommand: what writes them stays out of the daemon's
//! tree and out of the kit's.

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

/// System administration: nearly every command needs root.
const SECTION: &str = "8";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("name one folder to write man pages and completions to");
        return ExitCode::from(2);
    };
    match write(&pendant_gateway::cli::command(), &PathBuf::from(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `man8/` and `completions/` into `folder`.
///
/// # Errors
/// If the system refuses.
pub(crate) fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), command.get_name(), &completions)?;
    }
    let pages = folder.join(format!("man{SECTION}"));
    fs::create_dir_all(&pages)?;
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    let version = command.get_version().unwrap_or_default();
    write_page(&built, &format!("{} {version}", command.get_name()), &pages)
}

/// One page for the command, and one for each below it.
fn write_page(command: &Command, source: &str, pages: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = pages.join(format!("{name}.{SECTION}"));
    let mut text = Vec::new();
    Man::new(command.clone()).section(SECTION).source(source).render(&mut text)?;
    fs::write(file, text)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_page(below, source, pages)?;
    }
    Ok(())
}
