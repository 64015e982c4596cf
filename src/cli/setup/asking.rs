//! Questions at the terminal: plain lines with defaults, for ssh and small screens.

use crate::cli::{Failure, tell};
use std::io::{self, BufRead, IsTerminal, Write};

/// Longest thing that is pasted: a few certificates.
const PASTE_BYTES_MAX: usize = 64 * 1024;
/// A slip is forgiven so often.
const TRIES: u32 = 5;

/// Where answers come from.
pub(super) struct Asking {
    /// Nothing is asked: what has a default gets it, what has none is missing.
    silent: bool,
}

impl Asking {
    /// `yes`: take every default. Without a terminal nobody could be asked.
    pub(super) fn new(yes: bool) -> Self {
        Self { silent: yes || !io::stdin().is_terminal() }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Asks until the answer can be read. `option` is what a program would give.
    pub(super) fn ask<T>(
        &self,
        question: &str,
        default: Option<&str>,
        option: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        if self.silent {
            let given = default.ok_or_else(|| {
                Failure::refused(format!("{option} is missing, and nobody is here to be asked"))
            })?;
            return read(given).map_err(|why| Failure::refused(format!("{option}: {why}")));
        }
        for _ in 0..TRIES {
            let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let line = line(&format!("{question}{shown}: "))?;
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default.to_owned(),
                (answer, _) => answer.to_owned(),
            };
            match read(&answer) {
                Ok(value) => return Ok(value),
                Err(why) => tell(&format!("  {why}")),
            }
        }
        Err(Failure::refused("nothing was changed: too many answers that could not be read"))
    }
}

fn line(prompt: &str) -> Result<String, Failure> {
    let mut shown = io::stderr();
    // If nobody sees it, nobody answers.
    let _ = write!(shown, "{prompt}").and_then(|()| shown.flush());
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Failure::failed("nothing was changed: the input ended")),
        Ok(_) => Ok(line),
        Err(error) => Err(Failure::failed(format!("nothing was changed: {error}"))),
    }
}

/// What is pasted or piped: to the end of the input, or at a terminal to an empty line.
pub(super) fn paste(what: &str) -> Result<Vec<u8>, Failure> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        tell(&format!("Paste {what}, from BEGIN to END, then press Enter on an empty line:"));
    }
    read_paste(&mut io::stdin().lock(), is_terminal)
        .map_err(|error| Failure::failed(format!("nothing was changed: {what}: {error}")))
}

fn read_paste(input: &mut impl BufRead, ends_with_empty_line: bool) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        if input.read_until(b'\n', &mut text)? == 0 {
            return Ok(text);
        }
        if text.len() > PASTE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too long for certificates"));
        }
        let is_empty = text[before..].trim_ascii().is_empty();
        if ends_with_empty_line && is_empty && !text.trim_ascii().is_empty() {
            return Ok(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_ends_where_it_should() {
        let text = b"\n-----BEGIN X-----\nAA\n-----END X-----\n\nmore\n";
        let mut input = &text[..];
        let pasted = read_paste(&mut input, true).expect("read");
        assert!(pasted.ends_with(b"END X-----\n\n") && input == b"more\n");
        assert_eq!(read_paste(&mut &text[..], false).expect("read"), text);
        let endless = vec![b'A'; 100_000];
        assert!(read_paste(&mut &endless[..], true).is_err());
    }

    #[test]
    fn without_anybody_to_ask_defaults_are_taken_and_the_rest_is_named() {
        let asking = Asking { silent: true };
        let read = |text: &str| text.parse::<u8>().map_err(|error| error.to_string());
        assert_eq!(asking.ask("Slot", Some("3"), "--slot", read).expect("the default"), 3);
        let why = asking.ask("Slot", None, "--slot", read).expect_err("none");
        assert!(why.text.contains("--slot is missing"), "{}", why.text);
    }
}
