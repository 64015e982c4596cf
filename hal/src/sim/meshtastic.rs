//! What a Meshtastic radio writes on its serial line (meshtastic/protobufs, mesh.proto).

use crate::serial::meshtastic::Packet;

/// A message of the radio.
#[derive(Clone, Debug, PartialEq)]
pub enum FromRadio {
    /// A packet that it could read.
    Packet(Packet),
    /// One that it could not.
    Encrypted {
        /// The node that sent it.
        from: u32,
        /// Its number.
        id: u32,
    },
    /// It has told its configuration to whoever asked with this number.
    ConfigComplete(u32),
    /// It has started.
    Rebooted,
    /// A line of its log.
    Log(String),
}

impl FromRadio {
    /// The message without its head.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Packet(packet) => bytes(2, &mesh_packet(packet)),
            Self::Encrypted { from, id } => {
                bytes(2, &[fixed(1, *from), bytes(5, &[0xEE; 40]), fixed(6, *id)].concat())
            }
            Self::ConfigComplete(asked) => number(7, (*asked).into()),
            Self::Rebooted => number(8, 1),
            Self::Log(line) => bytes(6, &bytes(1, line.as_bytes())),
        }
    }
}

fn mesh_packet(packet: &Packet) -> Vec<u8> {
    let data = [number(1, packet.port.into()), bytes(2, &packet.payload)].concat();
    let mut message =
        [fixed(1, packet.from), fixed(2, u32::MAX), bytes(4, &data), fixed(6, packet.id)].concat();
    if let Some(quarters) = packet.snr_quarter_db {
        message.extend(fixed(8, (f32::from(quarters) / 4.0).to_bits()));
    }
    if let Some(dbm) = packet.rssi_dbm {
        message.extend(number(12, i64::from(dbm) as u64));
    }
    message
}

/// A message with its head, as it stands on the line.
///
/// # Panics
/// It is longer than 65,535 bytes.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("messages are short");
    [&[0x94, 0xC3], &length.to_be_bytes()[..], message].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn fixed(field: u64, value: u32) -> Vec<u8> {
    [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}
