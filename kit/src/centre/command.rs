//! What the centre asks of gateways: one message of constant size to each of them
//! every 20 s, with up to eight commands, and what the gateways answer. By the
//! contract (`docs/commands.md`), not by the gateway's code.

use super::event::{Malformed, Topic, is_name, read};
use crate::hex;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Bytes of topic and payload of every message of the centre.
pub const CENTRE_WIRE_BYTES: usize = 2048;
/// Bytes of topic and payload of every answer.
pub const ANSWER_WIRE_BYTES: usize = 1344;
/// Commands in one message.
const COMMANDS_MAX: usize = 8;
/// Longest command: a rebind that expires, to the longest name, has 160.
const COMMAND_BYTES_MAX: usize = 180;
/// Highest number of a message.
const NUMBER_MAX: u64 = (1 << 53) - 1;
/// Commands that wait for one gateway.
const WAITING_MAX: usize = 256;
/// Messages without an answer after which a gateway that is online is told to be deaf.
const UNANSWERED_MAX: u32 = 3;
/// The last second of the year 9999: RFC 3339 has no later one.
const LATEST_UNIX_S: u64 = 253_402_300_799;
/// Gateways that are spoken to. What more there are speaks to itself.
pub(crate) const GATEWAYS_MAX: usize = 1024;

/// What can be asked of a gateway. Pendants are named by their six digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// Close an incident.
    Close {
        /// Whose.
        pendant: String,
        /// Counter of the event that opened it.
        incident: u32,
    },
    /// Track a pendant silently, or no longer.
    Track {
        /// Which.
        pendant: String,
        /// Whether.
        on: bool,
    },
    /// Listen in.
    Listen {
        /// To which.
        pendant: String,
    },
    /// Let it vibrate.
    Vibrate {
        /// Which.
        pendant: String,
    },
    /// Let it blink.
    Led {
        /// Which.
        pendant: String,
    },
    /// Another wears it.
    Rebind {
        /// Which pendant.
        pendant: String,
        /// Who.
        wearer: String,
    },
    /// End its enrolment.
    Revoke {
        /// Which.
        pendant: String,
    },
    /// Nothing.
    Ping,
}

impl Ask {
    /// The pendant that it is about.
    #[must_use]
    pub fn pendant(&self) -> Option<&str> {
        match self {
            Self::Close { pendant, .. }
            | Self::Track { pendant, .. }
            | Self::Listen { pendant }
            | Self::Vibrate { pendant }
            | Self::Led { pendant }
            | Self::Rebind { pendant, .. }
            | Self::Revoke { pendant } => Some(pendant),
            Self::Ping => None,
        }
    }
}

/// Why a command is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Too many wait for this gateway: it does not answer.
    Full,
    /// Site or gateway is no name, or there are too many gateways.
    NoGateway,
    /// The command is longer than any can be.
    TooLong,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many commands wait for this gateway: it does not answer",
            Self::NoGateway => "there can be no gateway of this name, or no more gateways",
            Self::TooLong => "the command has names that are too long",
        })
    }
}

impl std::error::Error for CommandError {}

/// What the centre signs with: an Ed25519 key and the name that gateways know it by.
pub struct SigningKey {
    name: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Takes a private key in PKCS #8, with or without its public part.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(name: &str, pkcs8: &[u8]) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a key"));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map_err(|error| format!("no Ed25519 key in PKCS #8: {error}"))?;
        Ok(Self { name: name.into(), pair })
    }

    /// Reads what `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    /// Names the file.
    pub fn from_pem_file(name: &str, file: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let der = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|error| wrong(&error))?;
        Self::new(name, der.secret_pkcs8_der()).map_err(|error| wrong(&error))
    }

    fn sign(&self, text: &str) -> String {
        hex::encode(self.pair.sign(text.as_bytes()).as_ref())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name)
    }
}

/// A gateway's answer to one message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Answer {
    /// Which message; absent if the gateway could not read that.
    pub message: Option<String>,
    /// The gateway's boot.
    pub boot: String,
    /// The highest number that it took.
    pub number: u64,
    /// Why the whole message was refused.
    #[serde(default)]
    pub refused: Option<String>,
    /// What became of each command.
    pub results: Vec<CommandResult>,
    /// Bytes of topic and payload.
    #[serde(skip)]
    pub wire_bytes: usize,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CommandResult {
    /// Its id, if the gateway could read it.
    pub id: Option<String>,
    /// `done`, `accepted` or `refused`.
    pub result: String,
    /// Why it was refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// With the reason `repeated`: the result that an answer lost before this one said.
    #[serde(default)]
    pub first: Option<String>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, Malformed> {
        let answer: Self = read(payload)?;
        Ok(Self { wire_bytes: topic.len() + payload.len(), ..answer })
    }
}

/// What the centre knows of one gateway.
#[derive(Debug, Default)]
struct Desk {
    boot: Option<String>,
    number: u64,
    /// Ids and texts of commands.
    waiting: VecDeque<(String, String)>,
    online: bool,
    unanswered: u32,
}

/// All gateways, and what is to be asked of them.
#[derive(Debug, Default)]
pub(super) struct Desks(BTreeMap<(String, String), Desk>);

/// One round of messages.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Topics and payloads.
    pub(super) messages: Vec<(String, Vec<u8>)>,
    /// Sites and gateways that are online and do not answer, each told once.
    pub(super) deaf: Vec<(String, String)>,
}

impl Desks {
    /// The gateway's desk; from now on it is spoken to.
    fn desk(&mut self, site: &str, gateway: &str) -> Option<&mut Desk> {
        let place = (site.to_owned(), gateway.to_owned());
        let room = self.0.len() < GATEWAYS_MAX && is_name(site) && is_name(gateway);
        if room { Some(self.0.entry(place).or_default()) } else { self.0.get_mut(&place) }
    }

    /// Learns from what came; whoever speaks on a gateway's topics is spoken to.
    pub(super) fn hear(&mut self, topic: &str, payload: &[u8]) {
        let Some(Topic { site, gateway, rest }) = Topic::parse(topic) else { return };
        let Some(desk) = self.desk(site, gateway) else { return };
        match rest {
            "state" => desk.state(payload),
            "answer" => {
                if let Ok(answer) = Answer::parse(topic, payload) {
                    desk.answered(&answer);
                }
            }
            _ => {}
        }
    }

    /// Puts a command where the next message takes it.
    pub(super) fn command(
        &mut self,
        (site, gateway): (&str, &str),
        id: &str,
        ask: &Ask,
        expires: Option<SystemTime>,
    ) -> Result<(), CommandError> {
        let desk = self.desk(site, gateway).ok_or(CommandError::NoGateway)?;
        if desk.waiting.len() >= WAITING_MAX {
            return Err(CommandError::Full);
        }
        let mut command = json!(ask);
        command["id"] = json!(id);
        if let Some(expires) = expires {
            command["expires"] = json!(rfc3339(expires));
        }
        let command = command.to_string();
        if command.len() > COMMAND_BYTES_MAX {
            return Err(CommandError::TooLong);
        }
        desk.waiting.push_back((id.to_owned(), command));
        Ok(())
    }

    /// From now on this gateway is spoken to.
    pub(super) fn know(&mut self, site: &str, gateway: &str) {
        self.desk(site, gateway);
    }

    /// One message for each gateway.
    pub(super) fn round(&mut self, key: Option<&SigningKey>, now: SystemTime) -> Round {
        let mut round = Round::default();
        for ((site, gateway), desk) in &mut self.0 {
            let topic = format!("lonework/v1/{site}/{gateway}/command");
            let payload = desk.message(&topic, key, now);
            round.messages.push((topic, payload));
            if desk.online && desk.unanswered == UNANSWERED_MAX {
                round.deaf.push((site.clone(), gateway.clone()));
            }
            desk.unanswered = desk.unanswered.saturating_add(1);
        }
        round
    }
}

impl Desk {
    fn state(&mut self, payload: &[u8]) {
        #[derive(Deserialize)]
        struct State {
            state: String,
            boot: String,
        }
        let Ok(state) = read::<State>(payload) else { return };
        self.online = state.state == "online";
        self.unanswered = 0;
        self.know_boot(&state.boot);
    }

    /// What was answered is asked no more.
    fn answered(&mut self, answer: &Answer) {
        self.unanswered = 0;
        self.know_boot(&answer.boot);
        self.number = self.number.max(answer.number);
        let is_answered = |id: &str| answer.results.iter().any(|it| it.id.as_deref() == Some(id));
        self.waiting.retain(|(id, _)| !is_answered(id));
    }

    fn know_boot(&mut self, boot: &str) {
        if boot.len() == 16 && boot.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            self.boot = Some(boot.to_owned());
        }
    }

    fn message(&mut self, topic: &str, key: Option<&SigningKey>, now: SystemTime) -> Vec<u8> {
        let unix = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(0);
        self.number = unix_ms.max(self.number.saturating_add(1)).min(NUMBER_MAX);
        let commands: Vec<&str> =
            self.waiting.iter().take(COMMANDS_MAX).map(|(_, command)| command.as_str()).collect();
        let commands = format!("[{}]", commands.join(","));
        let (message, number, sent) = (uuid(), self.number, rfc3339(now));
        let boot = self.boot.as_deref().unwrap_or("0000000000000000");
        let signature = key.map_or(String::new(), |key| {
            let text = format!(
                "lonework/v1 command\n{topic}\n{message}\n{boot}\n{number}\n{sent}\n{commands}"
            );
            format!(r#","key":"{}","signature":"{}""#, key.name, key.sign(&text))
        });
        let mut payload = format!(
            r#"{{"message":"{message}","boot":"{boot}","number":{number},"sent":"{sent}","#
        );
        payload += &format!(r#""commands":{commands}{signature}}}"#);
        let length = CENTRE_WIRE_BYTES - topic.len();
        assert!(payload.len() <= length, "eight commands of bounded length fit");
        payload.push_str(&" ".repeat(length - payload.len()));
        payload.into_bytes()
    }
}

fn rfc3339(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(LATEST_UNIX_S);
    let time = time.clamp(SystemTime::UNIX_EPOCH, latest);
    humantime::format_rfc3339_millis(time).to_string()
}

/// A UUID of version 4 (RFC 9562, section 5.4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
    format!("{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
}
