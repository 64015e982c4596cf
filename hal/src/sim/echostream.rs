//! What an Inovonics EchoStream receiver writes on its serial line.

use crate::serial::echostream::Message;

/// A message that came over these repeaters, with its checksum.
///
/// # Panics
/// More repeaters than the length's one byte has room for: 59.
pub fn written(message: &Message, repeaters: &[[u8; 4]]) -> Vec<u8> {
    let Message { hops, class, kind, stat1, stat0, level, margin, .. } = *message;
    let length = u8::try_from(17 + 4 * repeaters.len()).expect("there are few repeaters");
    let mut bytes = [
        &[0x72, length],
        &message.originator[..],
        &message.first_hop,
        &repeaters.concat(),
        &[hops, class, kind, stat1, stat0, level, margin],
    ]
    .concat();
    bytes.push(bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte)));
    bytes
}
