//! Who may command: Ed25519 keys of the centre, by name.

use super::message::{CentreMessage, Genuine, MessageRefusal, Refused, hex};
use crate::engine::name::Name;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Most keys: one for each of a centre's sites, and their successors.
pub const KEYS_MAX: usize = 16;

/// An Ed25519 public key (RFC 8032), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// The text is no key: write 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeyError;

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Ed25519 public key is 64 hexadecimal digits in lower case")
    }
}

impl std::error::Error for PublicKeyError {}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        hex(text).map(Self).ok_or(PublicKeyError)
    }
}

/// Why keys cannot be taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// Two keys have this name: rename one.
    Twice(Name),
    /// More than [`KEYS_MAX`]: remove what is not used.
    TooMany,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(name) => write!(f, "two keys of the centre are called {name}"),
            Self::TooMany => write!(f, "more than {KEYS_MAX} keys of the centre"),
        }
    }
}

impl std::error::Error for KeysError {}

/// The centre's keys. Without any, no signature is required and none is looked at:
/// whoever may publish on the command topic is the centre.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CentreKeys(BTreeMap<Name, PublicKey>);

impl CentreKeys {
    /// Reads a file of keys: a line each, name and key; empty lines and lines that
    /// begin with `#` are passed over.
    ///
    /// # Errors
    /// Says the line and what to change.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &dyn fmt::Display| format!("line {number}: {why}");
            let (name, key) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong(&"write a name, a space and the key"))?;
            let name = Name::new(name).map_err(|error| wrong(&error))?;
            keys.push((name, key.trim().parse().map_err(|error: PublicKeyError| wrong(&error))?));
        }
        Self::new(keys).map_err(|error| error.to_string())
    }

    /// Takes the keys.
    ///
    /// # Errors
    /// Says what to change.
    pub fn new(keys: impl IntoIterator<Item = (Name, PublicKey)>) -> Result<Self, KeysError> {
        let mut named = BTreeMap::new();
        for (name, key) in keys {
            if named.insert(name.clone(), key).is_some() {
                return Err(KeysError::Twice(name));
            }
            if named.len() > KEYS_MAX {
                return Err(KeysError::TooMany);
            }
        }
        Ok(Self(named))
    }

    /// Whether a message is the centre's.
    ///
    /// # Errors
    /// It is not signed, or not by the key that it names.
    pub fn verify(&self, message: CentreMessage) -> Result<Genuine, Refused> {
        if self.0.is_empty() {
            return Ok(message.into_genuine());
        }
        let (Some(name), Some(signature)) = (message.key(), message.signature()) else {
            return Err(message.refused(MessageRefusal::Unsigned));
        };
        let verified = self.0.get(name).is_some_and(|key| {
            UnparsedPublicKey::new(&ED25519, key.0).verify(message.signed(), signature).is_ok()
        });
        if verified {
            Ok(message.into_genuine())
        } else {
            Err(message.refused(MessageRefusal::BadSignature))
        }
    }
}
