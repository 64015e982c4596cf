//! What the site has decided: times, counts, and what an operator needs to know.
//! One policy for the site; a pendant may have one of its own.

use super::event::Kind;
use super::name::Name;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;
use std::fmt;

/// What holds for one pendant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From the due time to the overdue alarm, ms. The wearer is reminded meanwhile.
    pub grace_ms: u64,
    /// Wrong PINs in a row from which on each is told as a covert alarm.
    pub wrong_pins_to_alarm: u8,
    /// From a man-down or fall to its alarm, ms; the wearer may cancel meanwhile. 0: at once.
    pub pre_alarm_ms: u64,
    /// Mean time between two heartbeats, ms. 0: the pendant is not supervised.
    pub heartbeat_interval_ms: u64,
    /// Heartbeat intervals without a frame after which supervision is lost.
    pub heartbeats_missed_max: u32,
    /// A panic that anyone may see is told as a discreet one and shown as nothing.
    pub panic_is_covert: bool,
    /// What an operator needs at the moment of an alarm.
    pub response: Response,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace_ms: 30_000,
            wrong_pins_to_alarm: 3,
            pre_alarm_ms: 30_000,
            // Heartbeats leave at exponential intervals, cut at 4 means (docs/protocol.md),
            // so 8 means of silence are at least two heartbeats in a row that nobody heard.
            heartbeat_interval_ms: 600_000,
            heartbeats_missed_max: 8,
            panic_is_covert: false,
            response: Response::default(),
        }
    }
}

/// What stands in every urgent event for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The company's procedure for a kind; `procedure_default` for all others.
    pub procedures: BTreeMap<Kind, Name>,
    /// The company's procedure for every other kind.
    pub procedure_default: Option<Name>,
    /// Where to listen in.
    pub listen_in: Option<ListenIn>,
    /// Kinds after which a call back is allowed although they are covert, or
    /// forbidden although they are not. Without an entry: never after a covert kind.
    pub do_not_call: BTreeMap<Kind, bool>,
}

/// Longest [`ListenIn`], so that every event keeps its constant size.
pub const LISTEN_IN_BYTES_MAX: usize = 64;

/// A `sip:`, `sips:` or `tel:` URI of a device on site or of the pendant; at
/// most [`LISTEN_IN_BYTES_MAX`] bytes, none of which JSON would escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenIn(String);

/// Why a text is no [`ListenIn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenInError {
    /// Neither `sip:`, `sips:` nor `tel:` stands at its beginning.
    Scheme,
    /// What follows `tel:` begins with neither a digit nor `+` and a digit, or
    /// what follows `sip:` has no host.
    Address,
    /// A character that may not stand in a URI.
    Character(char),
    /// More than [`LISTEN_IN_BYTES_MAX`] bytes.
    TooLong,
}

impl fmt::Display for ListenInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => write!(f, "begins with sip:, sips: or tel:"),
            Self::Address => write!(f, "says whom to call: a number after tel:, a host after sip:"),
            Self::Character(c) => write!(f, "is a URI, in which {c:?} may not stand"),
            Self::TooLong => write!(f, "has at most {LISTEN_IN_BYTES_MAX} characters"),
        }
    }
}

impl std::error::Error for ListenInError {}

impl ListenIn {
    /// Checks a text. What only the telephone exchange can know is not checked.
    ///
    /// # Errors
    /// Says what a right one has.
    pub fn new(text: &str) -> Result<Self, ListenInError> {
        let (scheme, address) = text.split_once(':').ok_or(ListenInError::Scheme)?;
        let whole = match scheme {
            "sip" | "sips" => {
                let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
                host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            }
            "tel" => {
                let number = address.strip_prefix('+').unwrap_or(address);
                number.starts_with(|c: char| c.is_ascii_digit())
            }
            _ => return Err(ListenInError::Scheme),
        };
        // RFC 3986: unreserved, reserved and percent.
        let stands = |c: &char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(*c);
        if let Some(c) = text.chars().find(|c| !stands(c)) {
            return Err(ListenInError::Character(c));
        }
        if !whole {
            return Err(ListenInError::Address);
        }
        if text.len() > LISTEN_IN_BYTES_MAX {
            return Err(ListenInError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Response {
    /// The procedure for a kind.
    #[must_use]
    pub fn procedure(&self, kind: Kind) -> Option<&Name> {
        self.procedures.get(&kind).or(self.procedure_default.as_ref())
    }

    /// Whether a call back could make it worse.
    #[must_use]
    pub fn do_not_call(&self, kind: Kind) -> bool {
        self.do_not_call.get(&kind).copied().unwrap_or(kind.covert())
    }
}

/// The site's policy and those of single pendants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// For every pendant without its own.
    pub site: Policy,
    /// Pendants with their own.
    pub pendants: BTreeMap<PendantId, Policy>,
}

impl Policies {
    /// What holds for a pendant.
    #[must_use]
    pub fn of(&self, pendant: PendantId) -> &Policy {
        self.pendants.get(&pendant).unwrap_or(&self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_in_is_a_uri_that_can_be_called() {
        for good in [
            "tel:+441632960961",
            "tel:4711;phone-context=harbour.example",
            "sip:crane-2@pbx.harbour.example",
            "sips:1042@[2001:db8::1]:5061;transport=tls",
            "sip:intercom.local",
        ] {
            assert_eq!(ListenIn::new(good).map(|uri| uri.0).as_deref(), Ok(good));
        }
        let long = format!("tel:{}", "1".repeat(LISTEN_IN_BYTES_MAX - 3));
        for (bad, fault) in [
            ("", ListenInError::Scheme),
            ("+441632960961", ListenInError::Scheme),
            ("https://example.org", ListenInError::Scheme),
            ("TEL:1", ListenInError::Scheme),
            ("tel:", ListenInError::Address),
            ("tel:+", ListenInError::Address),
            ("tel:gate", ListenInError::Address),
            ("sip:", ListenInError::Address),
            ("sip:crane-2@", ListenInError::Address),
            ("tel:+44 1632", ListenInError::Character(' ')),
            ("sip:\"a\"@b", ListenInError::Character('"')),
            ("sip:a\\b", ListenInError::Character('\\')),
            ("sip:größe", ListenInError::Character('ö')),
            ("sip:a\u{7f}", ListenInError::Character('\u{7f}')),
            (long.as_str(), ListenInError::TooLong),
        ] {
            assert_eq!(ListenIn::new(bad), Err(fault), "{bad}");
        }
    }

    #[test]
    fn a_fault_in_it_says_what_a_right_one_has() {
        for (fault, told) in [
            (ListenInError::Scheme, "tel:"),
            (ListenInError::Address, "a number after tel:"),
            (ListenInError::Character(' '), "' '"),
            (ListenInError::TooLong, "64"),
        ] {
            assert!(fault.to_string().contains(told), "{fault}");
        }
    }
}
