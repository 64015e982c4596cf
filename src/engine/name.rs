//! Names that become parts of MQTT topics and of constant-size payloads.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Longest name in bytes. With it the longest event still fits the constant
/// wire size (`payload::EVENT_WIRE_BYTES`), which a test shows.
pub const NAME_BYTES_MAX: usize = 32;

/// A name of a site, gateway, link or wearer: 1 to 32 of `a-z A-Z 0-9 . _ -`,
/// so that it can stand in a topic, a file name and JSON without escaping. It
/// stands where it is used and not on the heap: a wearer's goes into every event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Zeros behind the text, which keep the order that of the texts.
    bytes: [u8; NAME_BYTES_MAX],
    length: u8,
}

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
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: text.len() as u8 })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("ASCII, as checked")
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Name").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_name_is_refused_with_what_to_change() {
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        for (text, error, told) in [
            ("", NameError::Empty, "empty"),
            (long.as_str(), NameError::TooLong, "at most 32 characters"),
            ("north gate", NameError::Character(' '), "letters, digits, '.', '_' and '-'"),
            ("größe", NameError::Character('ö'), "'ö' may not stand"),
        ] {
            assert_eq!(Name::new(text), Err(error.clone()), "{text}");
            assert!(error.to_string().contains(told), "{error}");
        }
        let longest = &long[1..];
        assert_eq!(Name::new(longest).expect("32 characters").to_string(), longest);
    }
}
