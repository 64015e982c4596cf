//! What one frame of the air says, without a gateway: for whoever checks the reading of
//! what anybody may send.

use super::frame::{DataUp, Frame};
use super::keys::{Eui, SecretKey, SessionKeys};

/// A frame of the right form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uplink {
    /// A device asks to join.
    Join {
        /// The device's number, as it says.
        dev_eui: Eui,
        /// The join server's that it calls.
        join_eui: Eui,
        /// What numbers its joins.
        dev_nonce: u16,
        /// Whether it was made with the key.
        genuine: bool,
    },
    /// Data of a session.
    Data {
        /// The address that it claims to come from.
        dev_addr: u32,
        /// The counter's low half.
        counter_low: u16,
        /// Whether it was made with the key, under the counter with this high half.
        genuine: bool,
        /// Port and payload, deciphered with the key whether or not it is genuine: what a
        /// device that is genuine says may be anything.
        payload: Option<(u8, Vec<u8>)>,
    },
}

/// Reads a frame with one key for all: of joins, of the network and of what it says.
#[must_use]
pub fn read(frame: &[u8], key: &SecretKey, counter_high: u16) -> Option<Uplink> {
    Some(match Frame::parse(frame)? {
        Frame::Join(join) => Uplink::Join {
            dev_eui: join.dev_eui(),
            join_eui: join.join_eui(),
            dev_nonce: join.dev_nonce(),
            genuine: join.is_made_with(key),
        },
        Frame::Data(data) => read_data(&data, key, counter_high),
    })
}

fn read_data(data: &DataUp<'_>, key: &SecretKey, counter_high: u16) -> Uplink {
    let keys = SessionKeys { network: key.clone(), application: key.clone() };
    let counter_low = data.counter_low();
    let counter = u32::from(counter_high) << 16 | u32::from(counter_low);
    Uplink::Data {
        dev_addr: data.dev_addr(),
        counter_low,
        genuine: data.is_made_with(&keys, counter),
        payload: data.open(&keys, counter).payload,
    }
}
