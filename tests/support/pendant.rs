//! A pendant as its firmware is, reduced to what tests need: it says one frame at
//! a time and learns the salts of the answers.

use pendant_gateway::engine::keyring::{Enrolment, Secrets};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::pin::PinVerifier;
use pendant_protocol::{
    Battery, Body, DownlinkMessage, EnrolmentKey, FrameBytes, Message, PendantId, PinDigits,
    SealedDownlink, Status,
};

pub const SAFE: &str = "4711";
pub const DURESS: &str = "8052";
pub const WRONG: &str = "9999";
/// A pendant as its firmware is: a key, a counter, the last salt heard.
#[derive(Clone)]
pub struct Pendant {
    pub id: PendantId,
    pub key: EnrolmentKey,
    pub counter: u32,
    pub echo: u16,
}

/// How a pendant of these tests is enrolled.
pub fn enrolment(id: PendantId, key: &EnrolmentKey) -> Enrolment {
    Enrolment {
        pendant: id,
        id: 0x1000 + u64::from(id.get()),
        wearer: Name::new("nurse-7").expect("a valid name"),
        secrets: Secrets::Native {
            key: key.clone(),
            pins: Some(PinVerifier::new([9; 32], digits(SAFE), digits(DURESS))),
        },
    }
}

impl Pendant {
    pub fn new(number: u32) -> Self {
        let mut key = [0x5A; 16];
        key[..4].copy_from_slice(&number.to_le_bytes());
        Self {
            id: PendantId::new(number).expect("a test's number is valid"),
            key: EnrolmentKey::from_bytes(key),
            counter: 0,
            echo: 0,
        }
    }

    /// One that was enrolled elsewhere.
    pub fn enrolled((id, key): (PendantId, EnrolmentKey)) -> Self {
        Self { id, key, counter: 0, echo: 0 }
    }

    pub fn enrolment(&self) -> Enrolment {
        enrolment(self.id, &self.key)
    }

    /// The next frame, with a new counter.
    pub fn say(&mut self, body: Body) -> FrameBytes {
        self.counter += 1;
        let status = Status {
            battery: Battery::from_fourteenths(12).expect("12 is a level"),
            case_open: false,
            charging: false,
            moving: false,
        };
        Message { status, echo: self.echo, body }.seal(&self.key.uplink(), self.id, self.counter)
    }

    /// Opens an answer to the frame with `counter` and learns its salt.
    pub fn hear(&mut self, frame: &[u8], counter: u32) -> Option<DownlinkMessage> {
        let downlink = SealedDownlink::parse(frame).ok()?;
        let opened = downlink.open(&self.key.downlink(downlink.slot()), counter).ok()?;
        self.echo = downlink.salt();
        Some(opened)
    }
}

pub fn digits(pin: &str) -> PinDigits {
    PinDigits::from_digits(pin).expect("a test's PIN is valid")
}

pub fn pin(pin: &str) -> Body {
    Body::Pin(digits(pin))
}

pub fn start(minutes: u16) -> Body {
    Body::SessionStart { minutes, place: 0 }
}

pub const HEARTBEAT: Body = Body::Heartbeat { place: 0 };
pub const PANIC: Body = Body::Panic { place: 0 };
pub const DISCREET: Body = Body::DiscreetPanic { place: 0 };
