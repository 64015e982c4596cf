//! The serial interface of a Meshtastic radio (meshtastic.org, "Client API (Serial)";
//! field numbers: meshtastic/protobufs, mesh.proto and portnums.proto).
//!
//! Each message is `94 C3`, its length (u16, big-endian, 512 at most) and a `FromRadio` or
//! `ToRadio`. Between them the radio may write its log as text. There is no checksum and
//! no authentication: what comes out of here is a hint that somebody pressed a button.
//!
//! The radio begins to tell when it is asked for its configuration, and forgets whom it
//! tells when it has heard nothing for 15 minutes.

use super::protobuf::{Malformed, Value, fields};
use bytes::{Buf, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

const START: [u8; 2] = [0x94, 0xC3];
const HEAD_BYTES: usize = 4;

/// At 9600 baud the longest message takes 540 ms.
const WHOLE_WITHIN: Duration = Duration::from_secs(1);

/// Longest message, bytes without its head.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Longest payload of a packet (`DATA_PAYLOAD_LEN`), bytes.
pub const PAYLOAD_BYTES_MAX: usize = 233;

/// A reception's bytes before its payload: [`Packet::to_bytes`].
pub const PACKET_HEAD_BYTES: usize = 10;

/// Ports whose packets are told: DETECTION_SENSOR_APP, ALERT_APP and PRIVATE_APP. All else
/// is the mesh's own business.
pub const PORTS: [u16; 3] = [10, 11, 256];

/// Asks for the configuration alone, without the list of all nodes (a number that the
/// firmware knows), and ends whatever the radio may have half read.
pub const ASK: &[u8] = b"\xC3\xC3\xC3\xC3\xC3\xC3\xC3\xC3\x94\xC3\0\x04\x18\xAC\x9E\x04";
const ASKED: u64 = 69_420;

/// Asked again so often: the radio closes a connection that is silent for 15 minutes, and
/// one that does not answer is gone.
pub const ASK_INTERVAL: Duration = Duration::from_secs(300);

/// It answers in about twenty messages, beside its work on the mesh.
pub const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// A packet that the mesh carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The node that sent it, as it says.
    pub from: u32,
    /// Its number; the sender does not use one twice within some minutes.
    pub id: u32,
    /// One of [`PORTS`].
    pub port: u16,
    /// Its payload, [`PAYLOAD_BYTES_MAX`] at most.
    pub payload: Vec<u8>,
    /// How the radio on this line heard it, which may be a repeater: signal strength, dBm.
    pub rssi_dbm: Option<i16>,
    /// Signal-to-noise ratio, quarters of a decibel.
    pub snr_quarter_db: Option<i16>,
}

impl Packet {
    /// The bytes of a reception, integers little-endian:
    /// `from u32 · id u32 · port u16 · payload`.
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            &self.from.to_le_bytes()[..],
            &self.id.to_le_bytes(),
            &self.port.to_le_bytes(),
            &self.payload,
        ]
        .concat()
    }
}

/// What the radio said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A packet on one of [`PORTS`].
    Packet(Packet),
    /// A packet for which the radio has no key.
    Encrypted,
    /// The radio has answered what it was asked, and tells of packets from now on.
    Answered,
    /// The radio has started anew, and has forgotten whom it tells.
    Started,
    /// Anything else that it says.
    Other,
    /// What begins as a message and is none, or is not whole in time.
    Bad,
    /// A head with a length above [`MESSAGE_BYTES_MAX`].
    Oversize,
}

/// Finds messages in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// The front of the buffer is a head whose message is not whole.
    begun: Option<Instant>,
}

impl Finder {
    /// When a message that has begun is given up, if it is not whole by then.
    pub fn overdue(&self) -> Option<Instant> {
        Some(self.begun? + WHOLE_WITHIN)
    }

    /// Takes the next message off the front of `buffer`, or `None` if it needs more bytes;
    /// then less than one message is left in it. What turns out to be none is searched again
    /// from behind its first byte: a good one may have begun within.
    pub fn next(&mut self, buffer: &mut BytesMut, now: Instant) -> Option<Message> {
        buffer.advance(start(buffer));
        let head: [u8; HEAD_BYTES] = buffer.get(..HEAD_BYTES)?.try_into().ok()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let message = buffer.get(HEAD_BYTES..HEAD_BYTES + length);
        let said = match message.map(read) {
            _ if length > MESSAGE_BYTES_MAX => Message::Oversize,
            Some(Ok(said)) => {
                self.begun = None;
                buffer.advance(HEAD_BYTES + length);
                return Some(said);
            }
            Some(Err(Malformed)) => Message::Bad,
            None if now < *self.begun.get_or_insert(now) + WHOLE_WITHIN => return None,
            None => Message::Bad,
        };
        self.begun = None;
        buffer.advance(1);
        Some(said)
    }
}

/// Where the next head may begin.
fn start(buffer: &[u8]) -> usize {
    let begins = |&place: &usize| START.starts_with(&buffer[place..buffer.len().min(place + 2)]);
    (0..buffer.len()).find(begins).unwrap_or(buffer.len())
}

/// `FromRadio`: packet 2, config_complete_id 7, rebooted 8.
fn read(message: &[u8]) -> Result<Message, Malformed> {
    let mut said = Message::Other;
    for field in fields(message) {
        match field? {
            (2, Value::Bytes(packet)) => said = read_packet(packet)?,
            (7, Value::Varint(ASKED)) => said = Message::Answered,
            (8, Value::Varint(1)) => said = Message::Started,
            _ => {}
        }
    }
    Ok(said)
}

/// `MeshPacket`: from 1, decoded 4, encrypted 5, id 6, rx_snr 8 (dB), rx_rssi 12 (dBm).
fn read_packet(message: &[u8]) -> Result<Message, Malformed> {
    let mut packet = Packet {
        from: 0,
        id: 0,
        port: 0,
        payload: Vec::new(),
        rssi_dbm: None,
        snr_quarter_db: None,
    };
    let mut encrypted = false;
    for field in fields(message) {
        match field? {
            (1, Value::Fixed32(from)) => packet.from = from,
            (4, Value::Bytes(data)) => (packet.port, packet.payload) = read_data(data)?,
            (5, Value::Bytes(_)) => encrypted = true,
            (6, Value::Fixed32(id)) => packet.id = id,
            (8, Value::Fixed32(bits)) => packet.snr_quarter_db = quarters(f32::from_bits(bits)),
            // Negative numbers are sign-extended to 64 bits.
            (12, Value::Varint(dbm)) => packet.rssi_dbm = level_dbm(dbm as i64),
            _ => {}
        }
    }
    Ok(match packet.port {
        0 if encrypted => Message::Encrypted,
        port if PORTS.contains(&port) => Message::Packet(packet),
        _ => Message::Other,
    })
}

/// `Data`: portnum 1, payload 2.
fn read_data(message: &[u8]) -> Result<(u16, Vec<u8>), Malformed> {
    let (mut port, mut payload) = (0, &[][..]);
    for field in fields(message) {
        match field? {
            // What does not fit is none of ours.
            (1, Value::Varint(number)) => port = u16::try_from(number).unwrap_or(0),
            (2, Value::Bytes(bytes)) => payload = bytes,
            _ => {}
        }
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Malformed);
    }
    Ok((port, payload.to_vec()))
}

fn quarters(snr_db: f32) -> Option<i16> {
    (-50.0..=50.0).contains(&snr_db).then(|| (snr_db * 4.0).round() as i16)
}

/// Zero is what old firmware writes for packets that did not come over the air.
fn level_dbm(dbm: i64) -> Option<i16> {
    i16::try_from(dbm).ok().filter(|dbm| (-200..=50).contains(dbm) && *dbm != 0)
}

#[cfg(all(test, feature = "sim"))]
#[path = "meshtastic_tests.rs"]
mod tests;
