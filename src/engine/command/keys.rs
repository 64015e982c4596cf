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

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests 1 and 2 of RFC 8032, section 7.1.
    const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const SECOND_KEY: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    #[test]
    fn a_file_of_keys_is_a_line_each_with_remarks_between() {
        let text = format!(
            "# the centre\n\n  night-desk {PUBLIC_KEY}\n#old {PUBLIC_KEY}\nday\t  {SECOND_KEY} \n"
        );
        let pairs = [("night-desk", PUBLIC_KEY), ("day", SECOND_KEY)];
        let keys =
            pairs.map(|(who, key)| (Name::new(who).expect("a name"), key.parse().expect("a key")));
        assert_eq!(CentreKeys::parse(&text), Ok(CentreKeys::new(keys).expect("two keys")));
        assert_eq!(CentreKeys::parse("\n# none\n"), Ok(CentreKeys::default()));
    }

    #[test]
    fn a_file_of_keys_that_cannot_be_taken_says_what_to_change() {
        let wrong = |text: &str| CentreKeys::parse(text).expect_err("it is refused");
        let line = |second: &str| wrong(&format!("# the centre\n{second}\n"));
        assert_eq!(line("night-desk"), "line 2: write a name, a space and the key");
        let no_key = "line 2: an Ed25519 public key is 64 hexadecimal digits in lower case";
        assert_eq!(line(&format!("night-desk {}", PUBLIC_KEY.to_uppercase())), no_key);
        assert_eq!(line(&format!("night-desk {}", &PUBLIC_KEY[2..])), no_key);
        assert!(line(&format!("night:desk {PUBLIC_KEY}")).starts_with("line 2: "));
        let twice = format!("day {PUBLIC_KEY}\nday {SECOND_KEY}");
        assert_eq!(wrong(&twice), "two keys of the centre are called day");
        let lines = |count: usize| -> String {
            (1..=count).map(|n| format!("desk-{n} {PUBLIC_KEY}\n")).collect()
        };
        assert!(CentreKeys::parse(&lines(KEYS_MAX)).is_ok());
        assert_eq!(wrong(&lines(KEYS_MAX + 1)), "more than 16 keys of the centre");
    }
}
