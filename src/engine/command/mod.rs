//! What the centre asks of the gateway, and the answer. Every 20 s the centre sends one
//! message of constant size, with or without commands; the gateway answers each with one
//! message of constant size. The contract is in `docs/commands.md`.
//!
//! A message passes three stages, each a type: [`CentreMessage`] (readable) becomes
//! [`Genuine`] (by [`CentreKeys`]), and only from that come [`Command`]s (by
//! [`Commands::hear`], which also refuses what was meant for another boot or came before).
//! Each command is judged alone ([`Commands::judge`]). What is refused changes nothing.

mod answer;
mod judge;
mod keys;
mod message;
mod silence;
#[cfg(test)]
mod tests;

pub use answer::ANSWER_WIRE_BYTES;
pub use judge::{ANSWERED_MAX, Answered, First, Judgement, Reason, Standing, Verdict};
pub use keys::{CentreKeys, KEYS_MAX, KeysError, PublicKey, PublicKeyError};
pub use message::{
    Ask, CENTRE_WIRE_BYTES, COMMANDS_MAX, CentreMessage, Command, Genuine, MessageRefusal,
    NUMBER_MAX, Refused,
};
pub use silence::{CentreSilence, SilenceNews};

use super::event::Boot;
use super::seam::{Answer, BrokerId};
use super::time::Now;
use pendant_protocol::PendantId;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// The name of a message or of a command: a UUID of any version, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Reads the canonical text in lower case (RFC 9562, section 4).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.split('-').collect();
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let id = Self(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes());
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", u128::from_be_bytes(self.0));
        let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
        write!(f, "{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One message from the centre, as far as it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its id, if it could be read.
    pub message: Option<Uuid>,
    /// Its commands in order, or why none of them is looked at.
    pub commands: Result<Vec<Command>, MessageRefusal>,
}

/// The gateway's ear for the centre's messages, and its memory of what it answered.
#[derive(Clone, Debug)]
pub struct Commands {
    command_topic: String,
    answer_topic: String,
    boot: Boot,
    keys: CentreKeys,
    /// Highest number of a message that was taken in this boot.
    number: u64,
    answered: Answered,
    /// Commands of this boot that came too late. They stay so when the clock is lost: one
    /// that was refused beside a covert incident would else move a pendant after it.
    expired: VecDeque<Uuid>,
}

impl Commands {
    /// `topic_base` as of `payload::topic_base`; `answered` as the journal kept it.
    #[must_use]
    pub fn new(topic_base: &str, boot: Boot, keys: CentreKeys, answered: Answered) -> Self {
        Self {
            command_topic: format!("{topic_base}/command"),
            answer_topic: format!("{topic_base}/answer"),
            boot,
            keys,
            number: 0,
            answered,
            expired: VecDeque::new(),
        }
    }

    /// Takes a message. Only a message with `Ok` commands shows that the centre is there.
    pub fn hear(&mut self, payload: &[u8]) -> Heard {
        let genuine = CentreMessage::parse(&self.command_topic, payload)
            .and_then(|message| self.keys.verify(message));
        match genuine {
            Err(Refused { message, why }) => Heard { message, commands: Err(why) },
            Ok(genuine) => {
                let message = Some(genuine.id());
                Heard { message, commands: self.take(genuine) }
            }
        }
    }

    fn take(&mut self, genuine: Genuine) -> Result<Vec<Command>, MessageRefusal> {
        if genuine.boot() != self.boot {
            return Err(MessageRefusal::OtherBoot);
        }
        if genuine.number() <= self.number {
            return Err(MessageRefusal::Outdated);
        }
        self.number = genuine.number();
        Ok(genuine.into_commands())
    }

    /// Judges one command. What it lets through counts as carried out from here on, also
    /// for the answer to a repetition; the caller carries it out before the next one.
    pub fn judge(
        &mut self,
        command: &Command,
        now: Now,
        standing: impl Fn(PendantId) -> Option<Standing>,
    ) -> Judgement {
        if self.expired.iter().any(|id| Some(*id) == command.id) {
            return Judgement { id: command.id, verdict: Verdict::Refused(Reason::Expired) };
        }
        let judgement = self.answered.judge(command, now, standing);
        if judgement.verdict == Verdict::Refused(Reason::Expired) {
            self.expired.extend(judgement.id);
            if self.expired.len() > ANSWERED_MAX {
                self.expired.pop_front();
            }
        }
        judgement
    }

    /// The answer to a message: one for each, whatever became of it.
    #[must_use]
    pub fn answer(&self, broker: BrokerId, heard: &Heard, judgements: &[Judgement]) -> Answer {
        let refused = heard.commands.as_ref().err().copied();
        let payload = answer::Text::new(heard.message, (self.boot, self.number), refused)
            .render(judgements, ANSWER_WIRE_BYTES - self.answer_topic.len());
        Answer { broker, topic: self.answer_topic.clone(), payload }
    }

    /// What the journal has to keep, at each message alike.
    #[must_use]
    pub fn answered(&self) -> &Answered {
        &self.answered
    }
}
