//! Lines of a RAK module in its peer-to-peer mode ("RUI3 AT Command Manual", LoRa
//! P2P: `AT+PRECV`, `AT+PSEND` and their events), and of the firmware before RUI3.
//!
//! RUI3 tells a frame as `+EVT:RXP2P:<rssi dBm>:<snr dB>:<hex>`; firmware before it in
//! two lines, `+EVT:RXP2P, RSSI <dBm>, SNR <dB>` and `+EVT:<hex>`. The module forgets
//! at every start that it is to listen.

use crate::link::FRAME_BYTES_MAX;
use bytes::{Buf, BytesMut};

/// Listens until told otherwise, and sends when asked to.
pub const LISTEN: &[u8] = b"AT+PRECV=65533\r\n";

/// Listens no more. A module that listens in any mode refuses [`LISTEN`] with [`BUSY`]
/// ("`P2P_RX_ON already`"): one that was not restarted with the gateway, or listens as soon
/// as it has its power. In the other modes it would not send, or stop after one frame.
pub const STOP: &[u8] = b"AT+PRECV=0\r\n";

/// How it refuses what it cannot do now.
pub const BUSY: &str = "AT_BUSY_ERROR";

/// Is answered `OK`, and does nothing (RUI3, `At_Attention`): what is being received is.
pub const ATTENTION: &[u8] = b"AT\r\n";

/// Longest line, bytes with its end: an event with 255 bytes in hexadecimal digits,
/// rounded up.
pub const LINE_BYTES_MAX: usize = 600;

/// Words of a refusal are cut there; the longest in the manual has 28.
const REFUSAL_BYTES_MAX: usize = 40;

/// What the module said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A frame was heard.
    Received {
        /// Signal strength, dBm.
        rssi_dbm: i16,
        /// Signal-to-noise ratio, dB.
        snr_db: i16,
        /// The frame, at least one byte.
        frame: Vec<u8>,
    },
    /// `OK`: the command before was understood.
    Ok,
    /// What was to be sent has left.
    Sent,
    /// The command before was refused, in these words.
    Refused(String),
    /// It has started, and has forgotten to listen.
    Started,
    /// Anything else that it says.
    Other,
    /// An event that cannot be read.
    Bad,
    /// More than [`LINE_BYTES_MAX`] bytes; told once when the limit is passed.
    Oversize,
}

/// Finds lines in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    discarding: bool,
    /// Firmware before RUI3: how the frame was heard that the next line brings.
    announced: Option<(i16, i16)>,
}

impl Finder {
    /// Takes the next line off the front of `buffer`, or `None` if it needs more
    /// bytes; then at most [`LINE_BYTES_MAX`] bytes are left in it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Line> {
        loop {
            let end = buffer.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n');
            let Some(end) = end else {
                if buffer.len() < LINE_BYTES_MAX {
                    return None;
                }
                buffer.advance(LINE_BYTES_MAX);
                if !std::mem::replace(&mut self.discarding, true) {
                    return Some(Line::Oversize);
                }
                continue;
            };
            let line = buffer.split_to(end + 1);
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            let text = line.trim_ascii();
            let read = if text.is_empty() { None } else { self.read(text) };
            if read.is_some() {
                return read;
            }
        }
    }

    fn read(&mut self, text: &[u8]) -> Option<Line> {
        let announced = self.announced.take();
        let Some(event) = text.strip_prefix(b"+EVT:") else {
            return Some(match text {
                b"OK" => Line::Ok,
                // Behind an explanation too.
                _ if text.ends_with(BUSY.as_bytes()) => Line::Refused(BUSY.to_owned()),
                _ if text.starts_with(b"AT_") => {
                    let words = &text[..text.len().min(REFUSAL_BYTES_MAX)];
                    Line::Refused(String::from_utf8_lossy(words).into_owned())
                }
                _ if text.starts_with(b"Current Work Mode") => Line::Started,
                _ => Line::Other,
            });
        };
        if event.starts_with(b"TXP2P") {
            return Some(Line::Sent);
        }
        if let Some(heard) = event.strip_prefix(b"RXP2P") {
            return match announcement(heard) {
                Some(signal) => {
                    self.announced = Some(signal);
                    None
                }
                None => Some(received(heard).unwrap_or(Line::Bad)),
            };
        }
        Some(match announced {
            Some((rssi_dbm, snr_db)) => {
                frame(event).map_or(Line::Bad, |frame| Line::Received { rssi_dbm, snr_db, frame })
            }
            None => Line::Other,
        })
    }
}

/// The command that sends a frame.
pub fn send_command(frame: &[u8]) -> Vec<u8> {
    let mut command = b"AT+PSEND=".to_vec();
    for byte in frame {
        command.extend(format!("{byte:02X}").bytes());
    }
    command.extend(b"\r\n");
    command
}

/// `, RSSI -28, SNR 5`
fn announcement(text: &[u8]) -> Option<(i16, i16)> {
    let text = std::str::from_utf8(text).ok()?;
    let (rssi, snr) = text.strip_prefix(", RSSI ")?.split_once(", SNR ")?;
    Some((rssi.trim().parse().ok()?, snr.trim().parse().ok()?))
}

/// `:-28:5:<hex>`
fn received(text: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.strip_prefix(':')?.splitn(3, ':');
    let (rssi, snr, hex) = (parts.next()?, parts.next()?, parts.next()?);
    let (rssi_dbm, snr_db) = (rssi.parse().ok()?, snr.parse().ok()?);
    Some(Line::Received { rssi_dbm, snr_db, frame: frame(hex.as_bytes())? })
}

fn frame(hex: &[u8]) -> Option<Vec<u8>> {
    let bytes = hex.len() / 2;
    if hex.len() % 2 != 0 || !(1..=FRAME_BYTES_MAX).contains(&bytes) {
        return None;
    }
    let digit = |c: u8| char::from(c).to_digit(16);
    hex.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(stream: &[u8], step: usize) -> Vec<Line> {
        let mut finder = Finder::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer)));
            assert!(buffer.len() <= LINE_BYTES_MAX);
        }
        found
    }

    fn heard(frame: &[u8]) -> Line {
        Line::Received { rssi_dbm: -28, snr_db: 5, frame: frame.to_vec() }
    }

    #[test]
    fn both_firmwares_are_understood() {
        let stream = b"OK\r\n+EVT:RXP2P:-28:5:4d4F5A\r\n+EVT:TXP2P DONE\r\n\
            +EVT:RXP2P, RSSI -28, SNR 5\r\n+EVT:4D4F5A\r\nAT_BUSY_ERROR\r\n\
            Current Work Mode: LoRa P2P.\r\n";
        let busy = Line::Refused("AT_BUSY_ERROR".to_owned());
        let expected = [Line::Ok, heard(b"MOZ"), Line::Sent, heard(b"MOZ"), busy, Line::Started];
        for step in [1, 7, 600] {
            assert_eq!(lines(stream, step), expected, "{step}");
        }
    }

    #[test]
    fn a_module_that_listens_already_says_so_in_one_line_or_two() {
        let busy = Line::Refused(BUSY.to_owned());
        let stream = b"P2P_RX_ON already\r\nAT_BUSY_ERROR\r\n";
        assert_eq!(lines(stream, 5), [Line::Other, busy.clone()]);
        let stream = b"P2P_RX_ON already, please disable it. AT_BUSY_ERROR\r\n";
        assert_eq!(lines(stream, 5), [busy]);
    }

    #[test]
    fn an_event_that_cannot_be_read_costs_only_itself() {
        for bad in [
            "+EVT:RXP2P:-28:5:4D4",
            "+EVT:RXP2P:-28:5:",
            "+EVT:RXP2P:-28:5:4G",
            "+EVT:RXP2P:-28",
            "+EVT:RXP2P:x:5:4D",
            "+EVT:RXP2P, RSSI -28, SNR 5\r\n+EVT:4D4",
        ] {
            let stream = format!("{bad}\r\n+EVT:RXP2P:-28:5:41\r\n");
            assert_eq!(lines(stream.as_bytes(), 5), [Line::Bad, heard(b"A")], "{bad}");
        }
        // What is announced comes in the next line or not at all.
        let stream = b"+EVT:RXP2P, RSSI -28, SNR 5\r\nOK\r\n+EVT:41\r\n";
        assert_eq!(lines(stream, 9), [Line::Ok, Line::Other]);
    }

    #[test]
    fn a_megabyte_without_a_line_end_is_one_count() {
        // Miri would take hours; there it is 40 KiB.
        const BYTES: usize = if cfg!(miri) { 40 * 1024 } else { 1024 * 1024 };
        let stream = [vec![b'x'; BYTES], b"\r\n+EVT:TXP2P DONE\r\n".to_vec()].concat();
        assert_eq!(lines(&stream, 64), [Line::Oversize, Line::Sent]);
    }

    #[test]
    fn a_command_has_two_digits_a_byte() {
        assert_eq!(send_command(&[0x0A, 0xFF]), b"AT+PSEND=0AFF\r\n");
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter_and_none_makes_it_panic(
            pieces in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                Just(b"+EVT:RXP2P".to_vec()),
                Just(b":-28:5:41\r\n".to_vec()),
                Just(b", RSSI -1, SNR 2\r\n+EVT:".to_vec()),
                Just(b"\r\n".to_vec()),
            ], 0..20),
            step in 1usize..300,
        ) {
            let stream = pieces.concat();
            prop_assert_eq!(lines(&stream, step), lines(&stream, LINE_BYTES_MAX));
        }
    }
}
