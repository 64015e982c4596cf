//! Names that become parts of MQTT topics and of constant-size payloads.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name in bytes. With it the longest event still fits the constant
/// wire size (`payload::EVENT_WIRE_BYTES`), which a test shows.
pub const NAME_BYTES_MAX: usize = 32;

/// A name of a site, gateway, link or wearer: 1 to 32 of `a-z A-Z 0-9 . _ -`,
/// so that it can stand in a topic, a file name and JSON without escaping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No characters at all.
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes: shorten it.
    TooLong,
    /// A character outside the allowed set: replace it.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a name may not be empty"),
            Self::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} characters"),
            Self::Character(c) => {
                write!(f, "{c:?} may not stand in a name; use letters, digits, '.', '_' and '-'")
            }
        }
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// Says what to change.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            return Err(NameError::Character(c));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
