//! What is wrong in a configuration: where it stands, and what to write instead.

use super::files::{NamedFile, Need};
use serde::Serialize;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::string::FromUtf8Error;

/// One thing that an installer has to change (or, as a warning, should).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named to the program.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The offending line. A value that may be a secret is left out.
    pub shown: String,
    /// How many characters from `column` on are meant.
    pub width: usize,
    /// What is wrong.
    pub text: String,
    /// What to write or do instead.
    pub remedy: String,
    /// It stands among the settings of single pendants, which may name silent signs.
    #[serde(skip)]
    pub of_pendant: bool,
}

impl Problem {
    /// As a log may have it, which more people read than the configuration.
    #[must_use]
    pub fn for_log(&self) -> String {
        if !self.of_pendant {
            return self.to_string();
        }
        format!(
            "{}:{}:{}: this setting of a pendant needs a look\n  -> `pendant-gateway check` says why",
            self.file, self.line, self.column
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.text)?;
        if !self.shown.is_empty() {
            let room = self.shown.chars().count().saturating_sub(self.column - 1);
            let marks = "^".repeat(self.width.min(room).max(1));
            writeln!(f, "    {}", self.shown)?;
            writeln!(f, "    {:indent$}{marks}", "", indent = self.column - 1)?;
        }
        write!(f, "  -> {}", self.remedy)
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigErrors {
    /// The file could not be read at all.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file was read; all that is wrong in it, in order of lines.
    Refused(Vec<Problem>),
}

impl ConfigErrors {
    /// All problems; none if the file could not even be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Refused(problems) => problems,
        }
    }

    /// As a log may have them: see [`Problem::for_log`].
    #[must_use]
    pub fn for_log(&self) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Refused(problems) => {
                problems.iter().map(Problem::for_log).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                let remedy = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => {
                        "root and the gateway's user may read it: use sudo"
                    }
                    _ => {
                        "name the configuration with --config FILE; `pendant-gateway setup` makes one"
                    }
                };
                write!(f, "{}: cannot be read: {error}\n  -> {remedy}", path.display())
            }
            Self::Refused(problems) => {
                for problem in problems {
                    writeln!(f, "{problem}")?;
                }
                let count = problems.len();
                let noun = if count == 1 { "problem" } else { "problems" };
                write!(f, "{count} {noun} in the configuration")
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// The text under examination and what was found in it so far.
pub(super) struct Report<'t> {
    pub(super) text: &'t str,
    file: &'t str,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) named_files: Vec<NamedFile>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &'t str) -> Self {
        Self { text, file, problems: Vec::new(), warnings: Vec::new(), named_files: Vec::new() }
    }

    /// What was read, if nothing was refused.
    pub(super) fn judged<T>(mut self, read: Option<T>) -> Result<T, ConfigErrors> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => {
                assert!(!self.problems.is_empty(), "a value that could not be read was reported");
                self.problems.sort_by_key(|problem| (problem.line, problem.column));
                Err(ConfigErrors::Refused(self.problems))
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        span: Range<usize>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.locate(span, text.into(), remedy.into());
        self.problems.push(problem);
    }

    /// Refuses a key. The value is not shown: a misspelt `password_file` may
    /// hold a password.
    pub(super) fn refuse_key(&mut self, span: Range<usize>, text: String, remedy: String) {
        let mut problem = self.locate(span, text, remedy);
        if let Some(equals) = problem.shown.find('=') {
            problem.shown.replace_range(equals.., "= …");
        }
        self.problems.push(problem);
    }

    pub(super) fn warn(
        &mut self,
        span: Range<usize>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.locate(span, text.into(), remedy.into());
        self.warnings.push(problem);
    }

    /// Keeps a file's name for the look at the files themselves.
    pub(super) fn name_file(&mut self, span: Range<usize>, path: PathBuf, need: Need) {
        let place = self.locate(span, String::new(), String::new());
        self.named_files.push(NamedFile { path, need, place });
    }

    /// The words at `span`, short enough for a message.
    pub(super) fn words(&self, span: Range<usize>) -> String {
        let words = self.text.get(span).unwrap_or_default();
        let line = words.lines().next().unwrap_or_default();
        let short: String = line.chars().take(SHOWN_CHARACTERS_MAX).collect();
        if short.len() < words.len() { format!("{short}…") } else { short }
    }

    pub(super) fn locate(&self, span: Range<usize>, text: String, remedy: String) -> Problem {
        let start = floor_boundary(self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let meant = self.text.get(start..span.end).unwrap_or_default();
        Problem {
            file: self.file.to_owned(),
            line: self.text[..line_start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            // What is missing altogether has no line to show.
            shown: if span == (0..0) { String::new() } else { without_secrets(line) },
            width: meant.lines().next().unwrap_or_default().chars().count(),
            text,
            remedy,
            of_pendant: is_of_pendant(&self.text[..line_start + line.len()]),
        }
    }
}

/// Whether the last line of this text is among the settings of single pendants. At the top
/// of the file all is that follows a word that begins so: a list may go on for lines.
fn is_of_pendant(until: &str) -> bool {
    let mut lines = until.lines().map(str::trim_start);
    match lines.clone().rfind(|line| line.starts_with('[')) {
        Some(header) => header.trim_start_matches(['[', ' ']).starts_with("pendant"),
        None => lines.any(|line| line.starts_with("pendant")),
    }
}

/// Bytes that are no text, as an editor leaves them that saves in another encoding.
pub(super) fn not_utf_8(error: &FromUtf8Error, file: &str) -> ConfigErrors {
    let at = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    let report = Report::new(&text, file);
    ConfigErrors::Refused(vec![report.locate(
        at..at + char::REPLACEMENT_CHARACTER.len_utf8(),
        "this byte is no text in UTF-8".to_owned(),
        "save the file in the encoding UTF-8, or write the character anew".to_owned(),
    )])
}

/// Longest value that a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 40;

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The line as it may be shown: people do write passwords and keys into
/// configurations, and messages end up in logs. The value of a key whose name
/// sounds secret is shown only if it is an absolute path, which is what belongs
/// there, or names a credential.
fn without_secrets(line: &str) -> String {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = line.trim_start();
    if trimmed.starts_with(['#', '[']) {
        return line;
    }
    let Some((key, value)) = trimmed.split_once('=') else {
        return if trimmed.chars().count() > SHOWN_CHARACTERS_MAX { String::new() } else { line };
    };
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    if value.starts_with('/') || value.starts_with("credential:") || !sounds_secret(key) {
        return line;
    }
    let kept = line.find('=').expect("the line was split at its '='");
    format!("{}= …", &line[..kept])
}

/// Whether a key is named as if its value were a secret, also when misspelt.
pub(super) fn sounds_secret(key: &str) -> bool {
    const WORDS: [&str; 7] = ["pas", "pwd", "secre", "pin", "token", "psk", "key"];
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}
