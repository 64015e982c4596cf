//! The centre's message: from bytes to commands, and the bytes that are signed.

use super::Uuid;
use crate::engine::event::Boot;
use crate::engine::name::Name;
use pendant_protocol::PendantId;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::SystemTime;

/// Topic and payload of every message, bytes. Eight of the longest commands, a
/// signature and the longest topic have room in it (by test).
pub const CENTRE_WIRE_BYTES: usize = 2048;
/// Most commands in one message.
pub const COMMANDS_MAX: usize = 8;
/// Highest number of a message: what every JSON reader holds exactly.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// Why a whole message is refused; none of its commands is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRefusal {
    /// Topic and payload have not [`CENTRE_WIRE_BYTES`]: a listener could tell
    /// such messages apart.
    Size,
    /// Not JSON, or a field is missing or not as it must be.
    Unreadable,
    /// More than [`COMMANDS_MAX`] commands.
    TooMany,
    /// A signature is required and there is none.
    Unsigned,
    /// Not signed by the key that it names, or that key is not configured.
    BadSignature,
    /// It names another boot than this one: it is old, or the centre does not
    /// know yet that the gateway was restarted.
    OtherBoot,
    /// A message with this number or a higher one was taken already.
    Outdated,
}

impl MessageRefusal {
    /// All, for the documents' test.
    pub const ALL: [Self; 7] = [
        Self::Size,
        Self::Unreadable,
        Self::TooMany,
        Self::Unsigned,
        Self::BadSignature,
        Self::OtherBoot,
        Self::Outdated,
    ];

    /// The text in `refused`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Unreadable => "unreadable",
            Self::TooMany => "too_many",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::OtherBoot => "other_boot",
            Self::Outdated => "outdated",
        }
    }
}

/// A refused message, with its id if it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its id.
    pub message: Option<Uuid>,
    /// Why.
    pub why: MessageRefusal,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Close an incident.
    Close {
        /// Whose.
        pendant: PendantId,
        /// Counter of the frame that opened it, or of its newest covert alarm.
        incident: u32,
    },
    /// Track a pendant silently, or no longer.
    Track {
        /// Which.
        pendant: PendantId,
        /// Whether.
        on: bool,
    },
    /// Open the pendant's voice side.
    Listen(PendantId),
    /// Let it vibrate.
    Vibrate(PendantId),
    /// Let it blink.
    Led(PendantId),
    /// From now on another wears it.
    Rebind {
        /// Which pendant.
        pendant: PendantId,
        /// Who.
        wearer: Name,
    },
    /// End its enrolment.
    Revoke(PendantId),
    /// Nothing: shows that commands arrive.
    Ping,
}

/// Why a command cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Garbled {
    UnknownKind,
    Malformed,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(super) id: Option<Uuid>,
    pub(super) expires_unix_ms: Option<i64>,
    pub(super) ask: Result<Ask, Garbled>,
}

/// A readable message, from whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentreMessage {
    id: Uuid,
    boot: Boot,
    number: u64,
    commands: Vec<Command>,
    signed: Vec<u8>,
    key: Option<Name>,
    signature: Option<[u8; SIGNATURE_BYTES]>,
}

/// A message of the centre. Only [`super::CentreKeys`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genuine(CentreMessage);

#[derive(Deserialize)]
struct Wire<'a> {
    message: &'a str,
    boot: &'a str,
    number: u64,
    sent: Option<&'a str>,
    #[serde(borrow)]
    commands: &'a RawValue,
    key: Option<&'a str>,
    signature: Option<&'a str>,
}

/// A field too many could be a misspelt one that was meant to restrict.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCommand<'a> {
    id: &'a str,
    kind: &'a str,
    pendant: Option<&'a str>,
    incident: Option<u32>,
    on: Option<bool>,
    wearer: Option<&'a str>,
    expires: Option<&'a str>,
}

impl CentreMessage {
    /// Reads a message on the command topic.
    ///
    /// # Errors
    /// The whole message is refused.
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, Refused> {
        if topic.len() + payload.len() != CENTRE_WIRE_BYTES {
            return Err(Refused { message: None, why: MessageRefusal::Size });
        }
        let unreadable = Refused { message: None, why: MessageRefusal::Unreadable };
        let wire: Wire<'_> = serde_json::from_slice(payload).map_err(|_| unreadable)?;
        let id = Uuid::parse(wire.message).ok_or(unreadable)?;
        Self::checked(topic, id, &wire).map_err(|why| Refused { message: Some(id), why })
    }

    fn checked(topic: &str, id: Uuid, wire: &Wire<'_>) -> Result<Self, MessageRefusal> {
        const UNREADABLE: MessageRefusal = MessageRefusal::Unreadable;
        let boot = hex(wire.boot).map(Boot::from_be_bytes).ok_or(UNREADABLE)?;
        if wire.number > NUMBER_MAX || wire.sent.is_some_and(|sent| unix_ms(sent).is_none()) {
            return Err(UNREADABLE);
        }
        let key = wire.key.map(Name::new).transpose().map_err(|_| UNREADABLE)?;
        let signature = match wire.signature {
            None => None,
            Some(text) => Some(hex(text).ok_or(UNREADABLE)?),
        };
        let list: Vec<&RawValue> =
            serde_json::from_str(wire.commands.get()).map_err(|_| UNREADABLE)?;
        if list.len() > COMMANDS_MAX {
            return Err(MessageRefusal::TooMany);
        }
        Ok(Self {
            id,
            boot,
            number: wire.number,
            commands: list.into_iter().map(|one| Command::read(one.get())).collect(),
            signed: signed_bytes(topic, wire),
            key,
            signature,
        })
    }

    pub(super) fn key(&self) -> Option<&Name> {
        self.key.as_ref()
    }

    pub(super) fn signature(&self) -> Option<&[u8]> {
        self.signature.as_ref().map(<[u8; SIGNATURE_BYTES]>::as_slice)
    }

    pub(super) fn signed(&self) -> &[u8] {
        &self.signed
    }

    pub(super) fn refused(&self, why: MessageRefusal) -> Refused {
        Refused { message: Some(self.id), why }
    }

    /// The caller has verified it.
    pub(super) fn into_genuine(self) -> Genuine {
        Genuine(self)
    }
}

impl Genuine {
    pub(super) fn id(&self) -> Uuid {
        self.0.id
    }

    pub(super) fn boot(&self) -> Boot {
        self.0.boot
    }

    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    pub(super) fn into_commands(self) -> Vec<Command> {
        self.0.commands
    }
}

impl Command {
    fn read(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Named<'a> {
            id: &'a str,
        }
        let id = serde_json::from_str(text).ok().and_then(|named: Named<'_>| Uuid::parse(named.id));
        let garbled = Self { id, expires_unix_ms: None, ask: Err(Garbled::Malformed) };
        let Ok(wire) = serde_json::from_str::<WireCommand<'_>>(text) else { return garbled };
        let expires_unix_ms = wire.expires.map(unix_ms);
        if Uuid::parse(wire.id).is_none() || expires_unix_ms == Some(None) {
            return garbled;
        }
        Self { expires_unix_ms: expires_unix_ms.flatten(), ask: wire.ask(), ..garbled }
    }
}

impl WireCommand<'_> {
    fn ask(&self) -> Result<Ask, Garbled> {
        let pendant = match self.pendant.map(str::parse::<PendantId>).transpose() {
            Ok(pendant) => pendant,
            Err(_) => return Err(Garbled::Malformed),
        };
        match (self.kind, pendant, self.incident, self.on, self.wearer) {
            ("close", Some(pendant), Some(incident), None, None) => {
                Ok(Ask::Close { pendant, incident })
            }
            ("track", Some(pendant), None, Some(on), None) => Ok(Ask::Track { pendant, on }),
            ("listen", Some(pendant), None, None, None) => Ok(Ask::Listen(pendant)),
            ("vibrate", Some(pendant), None, None, None) => Ok(Ask::Vibrate(pendant)),
            ("led", Some(pendant), None, None, None) => Ok(Ask::Led(pendant)),
            ("rebind", Some(pendant), None, None, Some(wearer)) => {
                let wearer = Name::new(wearer).map_err(|_| Garbled::Malformed)?;
                Ok(Ask::Rebind { pendant, wearer })
            }
            ("revoke", Some(pendant), None, None, None) => Ok(Ask::Revoke(pendant)),
            ("ping", None, None, None, None) => Ok(Ask::Ping),
            (
                "close" | "track" | "listen" | "vibrate" | "led" | "rebind" | "revoke" | "ping",
                ..,
            ) => Err(Garbled::Malformed),
            _ => Err(Garbled::UnknownKind),
        }
    }
}

/// What a signature is over: six lines and the text of `commands` as it stands in
/// the message. No field can hold a line's end: each was read in its strict form.
fn signed_bytes(topic: &str, wire: &Wire<'_>) -> Vec<u8> {
    let Wire { message, boot, number, .. } = wire;
    let (sent, commands) = (wire.sent.unwrap_or(""), wire.commands.get());
    format!("lonework/v1 command\n{topic}\n{message}\n{boot}\n{number}\n{sent}\n{commands}")
        .into_bytes()
}

/// Exactly `N` bytes in lower-case hexadecimal digits.
pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = (text.as_bytes().chunks_exact(2), text.len() % 2);
    if rest != 0 || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Milliseconds since 1970 of an RFC 3339 time in UTC.
fn unix_ms(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
