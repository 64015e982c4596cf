//! Lines of a REYAX RYLR998 ("LoRa AT Command Guide", sections for `AT+SEND` and
//! `+RCV`).
//!
//! A received payload is `+RCV=<address>,<length>,<data>,<rssi dBm>,<snr dB>\r\n`.
//! Its data may hold commas and line ends, so it is cut out by its length. A
//! line that cannot be read costs the bytes up to the next line feed.

use crate::base64;
use bytes::{Buf, BytesMut};

/// Longest payload of the module, characters.
pub const DATA_CHARACTERS_MAX: usize = 240;

/// Longest line, bytes with its end: `+RCV=65535,240,` + data + `,-32768,-32768\r\n`,
/// rounded up.
pub const LINE_BYTES_MAX: usize = 300;

/// Is answered `+OK`, and does nothing.
pub const ATTENTION: &[u8] = b"AT\r\n";

const RECEIVED: &[u8] = b"+RCV=";

/// What the module said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A payload was heard, and it is base64 of a frame.
    Received {
        /// Signal strength, dBm.
        rssi_dbm: i16,
        /// Signal-to-noise ratio, dB.
        snr_db: i16,
        /// The frame, at least one byte.
        frame: Vec<u8>,
    },
    /// `+OK`: the command before it was carried out.
    Ok,
    /// `+ERR=n`: it was not.
    Error(u8),
    /// `+READY`: it has started.
    Started,
    /// Another answer of the module (it starts with `+`).
    Other,
    /// Nothing that the module says.
    Bad,
    /// More than [`LINE_BYTES_MAX`] bytes; told once when the limit is passed.
    Oversize,
}

/// Finds lines in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    discarding: bool,
}

/// How far the front of the buffer could be read.
enum Front {
    /// More bytes are needed.
    More,
    /// A line of this many bytes, its end included; nothing if it is empty.
    Line(usize, Option<Line>),
    /// No such line: skip to the next line feed.
    Bad,
}

impl Finder {
    /// Takes the next line off the front of `buffer`, or `None` if it needs more
    /// bytes; then at most [`LINE_BYTES_MAX`] bytes are left in it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Line> {
        loop {
            if self.discarding {
                let end = line_feed(buffer);
                buffer.advance(end.map_or(buffer.len(), |end| end + 1));
                end?;
                self.discarding = false;
            }
            match front(buffer) {
                Front::Line(bytes, line) => {
                    buffer.advance(bytes);
                    if line.is_some() {
                        return line;
                    }
                }
                Front::Bad => {
                    self.discarding = true;
                    return Some(Line::Bad);
                }
                Front::More if buffer.len() > LINE_BYTES_MAX => {
                    self.discarding = true;
                    return Some(Line::Oversize);
                }
                Front::More => return None,
            }
        }
    }
}

/// The command that sends a frame to every module of the network, or `None` if
/// it is too long for the module.
pub fn send_command(frame: &[u8]) -> Option<Vec<u8>> {
    let text = base64::encode(frame);
    if text.len() > DATA_CHARACTERS_MAX {
        return None;
    }
    let mut command = format!("AT+SEND=0,{},", text.len()).into_bytes();
    command.extend(text);
    command.extend(b"\r\n");
    Some(command)
}

fn front(buffer: &[u8]) -> Front {
    let known = buffer.len().min(RECEIVED.len());
    if !buffer.is_empty() && buffer[..known] == RECEIVED[..known] {
        if known < RECEIVED.len() {
            return Front::More;
        }
        return received(buffer).unwrap_or(Front::Bad);
    }
    let Some(end) = line_feed(&buffer[..buffer.len().min(LINE_BYTES_MAX)]) else {
        return Front::More;
    };
    let text = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
    Front::Line(end + 1, (!text.is_empty()).then(|| answer(text)))
}

fn answer(text: &[u8]) -> Line {
    match text {
        b"+OK" => return Line::Ok,
        b"+READY" => return Line::Started,
        _ => {}
    }
    match text.strip_prefix(b"+ERR=").map(number::<u8>) {
        Some(Some(code)) => Line::Error(code),
        None if text.first() == Some(&b'+') => Line::Other,
        Some(None) | None => Line::Bad,
    }
}

/// Reads a line that begins with [`RECEIVED`]; `None` if it cannot be one.
fn received(buffer: &[u8]) -> Option<Front> {
    let mut at = RECEIVED.len();
    for longest in [5, 3] {
        // Address, then length.
        match field(&buffer[at..], b",", longest)? {
            None => return Some(Front::More),
            Some(digits) if number::<u16>(digits).is_none() => return None,
            Some(digits) => at += digits.len() + 1,
        }
    }
    let digits = buffer[..at - 1].rsplit(|&byte| byte == b',').next()?;
    let length = usize::from(number::<u16>(digits)?);
    if length > DATA_CHARACTERS_MAX {
        return None;
    }
    let data = at..at + length;
    at = data.end;
    match buffer.get(at) {
        None => return Some(Front::More),
        Some(b',') => at += 1,
        Some(_) => return None,
    }
    let Some(rssi) = field(&buffer[at..], b",", 6)? else {
        return Some(Front::More);
    };
    at += rssi.len() + 1;
    let Some(snr) = field(&buffer[at..], b"\r\n", 6)? else {
        return Some(Front::More);
    };
    at += snr.len() + 2;
    let (rssi_dbm, snr_db) = (number(rssi)?, number(snr)?);
    let line = match base64::decode(&buffer[data]) {
        Some(frame) if !frame.is_empty() => Line::Received { rssi_dbm, snr_db, frame },
        _ => Line::Bad,
    };
    Some(Front::Line(at, Some(line)))
}

/// The bytes before `end`: `Some(None)` if more are needed, `None` if there are
/// more than `longest` without it.
fn field<'a>(rest: &'a [u8], end: &[u8], longest: usize) -> Option<Option<&'a [u8]>> {
    let window = &rest[..rest.len().min(longest + end.len())];
    match window.windows(end.len()).position(|bytes| bytes == end) {
        Some(place) => Some(Some(&rest[..place])),
        None if rest.len() < longest + end.len() => Some(None),
        None => None,
    }
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    // `parse` would take a plus sign, which the module never sends.
    if digits.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

#[cfg(test)]
#[path = "rylr998_tests.rs"]
mod tests;
