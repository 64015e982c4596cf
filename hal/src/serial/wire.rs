//! One face for what receivers speak: bytes in, what they mean; transmissions
//! in, bytes out.

use super::Codec;
use super::asked::Ask;
use super::cobs::{self, Packet};
use super::e22;
use super::echostream;
use super::envelope::{Envelope, RSSI_UNKNOWN, SNR_UNKNOWN, Tx};
use super::meshtastic::{self, Message};
use super::rak;
use super::rylr998::{self, Line};
use crate::link::{LinkCount, Signal, Transmission};
use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// An envelope is handed over this long before its frame leaves: longer than a
/// cable and a busy gateway delay it, short enough that the receiver holds few.
const ENVELOPE_LEAD: Duration = Duration::from_millis(100);

/// A module answers within milliseconds.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// An AT module that has said nothing for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(120);

/// Most that an E22 sends in one piece, bytes.
const E22_BYTES_MAX: usize = 240;

/// It sends when nothing has come for as long as three bytes take.
const E22_IDLE_BYTES: usize = 3;

/// Bits on the wire for a byte: start, eight, stop.
const BITS_PER_BYTE: u64 = 10;

/// What the bytes meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A frame that ended this long before its bytes came.
    Frame { age: Duration, signal: Signal, bytes: Vec<u8> },
    /// What became of a transmission: the low bits of its ticket, or `None` for
    /// the oldest that is unconfirmed.
    Outcome { ticket: Option<u32>, sent: bool },
    /// The receiver understood a command.
    Understood,
    /// It refuses one, in these words.
    Refused(String),
    /// It has started anew, and must be told to listen if it is one that must be told.
    Started,
    /// Something to count.
    Bad(LinkCount),
}

/// Who confirms that a transmission left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirms {
    /// Nobody: the bytes on the wire are the transmission.
    Nobody,
    /// The receiver, by ticket; several may be under way.
    ByTicket,
    /// The receiver, in order; one may be under way.
    InTurn,
}

/// A codec with its state, for [`tokio_util::codec::FramedRead`].
pub(super) enum Wire {
    Bare(cobs::Finder),
    Enveloped(cobs::Finder),
    Rylr998(rylr998::Finder),
    RakP2p(rak::Finder),
    E22(e22::Finder),
    Meshtastic(meshtastic::Finder),
    EchoStream(echostream::Finder),
}

impl Wire {
    pub(super) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Cobs { envelope: false } => Self::Bare(cobs::Finder::default()),
            Codec::Cobs { envelope: true } => Self::Enveloped(cobs::Finder::default()),
            Codec::Rylr998 => Self::Rylr998(rylr998::Finder::default()),
            Codec::RakP2p => Self::RakP2p(rak::Finder::default()),
            Codec::E22 => Self::E22(e22::Finder::default()),
            Codec::Meshtastic => Self::Meshtastic(meshtastic::Finder::default()),
            Codec::EchoStream => Self::EchoStream(echostream::Finder::default()),
        }
    }

    pub(super) fn confirms(&self) -> Confirms {
        match self {
            Self::Bare(_) | Self::E22(_) | Self::Meshtastic(_) | Self::EchoStream(_) => {
                Confirms::Nobody
            }
            Self::Enveloped(_) => Confirms::ByTicket,
            Self::Rylr998(_) | Self::RakP2p(_) => Confirms::InTurn,
        }
    }

    /// Whether frames can be sent through it.
    pub(super) fn sends(&self) -> bool {
        !matches!(self, Self::Meshtastic(_) | Self::EchoStream(_))
    }

    /// The command, if the receiver knows any.
    pub(super) fn words(&self, ask: Ask) -> &'static [u8] {
        match (self, ask) {
            (Self::RakP2p(_), Ask::Listen | Ask::ListenAnew) => rak::LISTEN,
            (Self::RakP2p(_), Ask::Stop) => rak::STOP,
            (Self::RakP2p(_), Ask::Alive | Ask::AliveAgain) => rak::ATTENTION,
            (Self::Rylr998(_), _) => rylr998::ATTENTION,
            (Self::Meshtastic(_), _) => meshtastic::ASK,
            _ => &[],
        }
    }

    /// What it is asked again and again, if it can be: a Meshtastic radio is told to listen
    /// each time.
    pub(super) fn question(&self) -> Ask {
        if matches!(self, Self::Meshtastic(_)) { Ask::Listen } else { Ask::Alive }
    }

    /// Whether it answers a question as it confirms a transmission.
    pub(super) fn answers_alike(&self) -> bool {
        matches!(self, Self::Rylr998(_))
    }

    /// How long it may take to answer.
    pub(super) fn answer_wait(&self) -> Duration {
        match self {
            Self::Meshtastic(_) => meshtastic::ANSWER_WAIT,
            _ => ANSWER_WAIT,
        }
    }

    /// How long after an answer it is asked again, if it can be.
    pub(super) fn question_interval(&self) -> Option<Duration> {
        match self {
            Self::Meshtastic(_) => Some(meshtastic::ASK_INTERVAL),
            _ => self.silence_before_question(),
        }
    }

    /// How long after anything else that it says, if that puts the question off.
    pub(super) fn silence_before_question(&self) -> Option<Duration> {
        matches!(self, Self::Rylr998(_) | Self::RakP2p(_)).then_some(SILENCE)
    }

    /// Whether it must be told to listen again when it has started anew.
    pub(super) fn forgets_to_listen(&self) -> bool {
        matches!(self, Self::RakP2p(_) | Self::Meshtastic(_))
    }

    /// Whether these words refuse a receiver that is listening already.
    pub(super) fn listens_already(&self, words: &str) -> bool {
        matches!(self, Self::RakP2p(_)) && words == rak::BUSY
    }

    /// What the receiver is answered to a frame that the gateway has taken.
    pub(super) fn acknowledgement(&self) -> &'static [u8] {
        if matches!(self, Self::EchoStream(_)) { echostream::ACKNOWLEDGE } else { &[] }
    }

    /// What it is answered to something that could not be read.
    pub(super) fn refusal(&self) -> &'static [u8] {
        if matches!(self, Self::EchoStream(_)) { echostream::REFUSE } else { &[] }
    }

    /// When to look at what has come once more, though nothing comes.
    pub(super) fn overdue(&self) -> Option<Instant> {
        match self {
            Self::E22(finder) => finder.held_until(),
            Self::Meshtastic(finder) => finder.overdue(),
            Self::EchoStream(finder) => finder.overdue(),
            Self::Bare(_) | Self::Enveloped(_) | Self::Rylr998(_) | Self::RakP2p(_) => None,
        }
    }

    /// How long before its time a transmission is written.
    pub(super) fn lead(&self, frame_bytes: usize, baud: u32) -> Duration {
        match self {
            Self::Bare(_) | Self::Meshtastic(_) | Self::EchoStream(_) => Duration::ZERO,
            Self::Enveloped(_) => ENVELOPE_LEAD,
            Self::E22(_) => {
                let encoded = ::cobs::max_encoding_length(frame_bytes) + 2;
                on_the_wire(encoded + E22_IDLE_BYTES, baud)
            }
            // The module transmits when it has the whole command.
            Self::Rylr998(_) => {
                on_the_wire((frame_bytes * 4).div_ceil(3) + "AT+SEND=0,240,\r\n".len(), baud)
            }
            Self::RakP2p(_) => on_the_wire(frame_bytes * 2 + "AT+PSEND=\r\n".len(), baud),
        }
    }

    /// The bytes to write now, or `None` if the receiver cannot take such a frame.
    pub(super) fn encode(&self, transmission: &Transmission, now: Instant) -> Option<Vec<u8>> {
        match self {
            Self::Bare(_) => Some(cobs::encode(&transmission.bytes)),
            Self::Enveloped(_) => {
                let delay = transmission.at.saturating_duration_since(now);
                let tx = Envelope::Tx(Tx {
                    ticket: short_ticket(transmission.ticket),
                    // Never more than the lead, unless the clock was set back.
                    delay_us: u32::try_from(delay.as_micros()).unwrap_or(u32::MAX),
                    frame: transmission.bytes.clone(),
                });
                Some(cobs::encode(&tx.to_bytes()))
            }
            Self::Rylr998(_) => rylr998::send_command(&transmission.bytes),
            Self::RakP2p(_) => Some(rak::send_command(&transmission.bytes)),
            Self::E22(_) => {
                Some(cobs::encode(&transmission.bytes)).filter(|wire| wire.len() <= E22_BYTES_MAX)
            }
            Self::Meshtastic(_) | Self::EchoStream(_) => None,
        }
    }
}

/// How long so many bytes take.
fn on_the_wire(bytes: usize, baud: u32) -> Duration {
    let bits = bytes as u64 * BITS_PER_BYTE;
    Duration::from_micros(bits * 1_000_000 / u64::from(baud.max(1)))
}

/// The part of a ticket that an envelope carries.
pub(super) fn short_ticket(ticket: u64) -> u32 {
    (ticket & u64::from(u32::MAX)) as u32
}

impl tokio_util::codec::Decoder for Wire {
    type Item = Heard;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Heard>> {
        let now = Instant::now();
        loop {
            let heard = match self {
                Self::Bare(finder) => finder.next(buffer).map(|packet| Some(bare(packet))),
                Self::Enveloped(finder) => finder.next(buffer).map(enveloped),
                Self::Rylr998(finder) => finder.next(buffer).map(line),
                Self::RakP2p(finder) => finder.next(buffer).map(rak_line),
                Self::E22(finder) => finder.next(buffer, now).map(|it| Some(through_e22(it, now))),
                Self::Meshtastic(finder) => finder.next(buffer, now).map(meshtastic_message),
                Self::EchoStream(finder) => finder.next(buffer, now).map(|it| Some(message(it))),
            };
            match heard {
                Some(Some(heard)) => return Ok(Some(heard)),
                Some(None) => {}
                None => return Ok(None),
            }
        }
    }

    /// Half a packet at the end of a port is no error: the port is gone.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Heard>> {
        let heard = self.decode(buffer)?;
        if heard.is_none() {
            buffer.clear();
        }
        Ok(heard)
    }
}

fn bare(packet: Packet) -> Heard {
    match packet {
        Packet::Whole(bytes) if bytes.len() > crate::link::FRAME_BYTES_MAX => {
            Heard::Bad(LinkCount::Oversize(1))
        }
        Packet::Whole(bytes) => {
            Heard::Frame { age: Duration::ZERO, signal: Signal::default(), bytes }
        }
        Packet::Bad(_) => Heard::Bad(LinkCount::BadCobs(1)),
        Packet::Oversize => Heard::Bad(LinkCount::Oversize(1)),
    }
}

fn enveloped(packet: Packet) -> Option<Heard> {
    let Packet::Whole(bytes) = packet else {
        return Some(bare(packet));
    };
    Some(match Envelope::parse(&bytes) {
        Some(Envelope::Rx(rx)) => Heard::Frame {
            age: Duration::from_micros(u64::from(rx.age_us)),
            signal: Signal {
                rssi_dbm: Some(rx.rssi_dbm).filter(|&dbm| dbm != RSSI_UNKNOWN),
                snr_quarter_db: Some(rx.snr_quarter_db)
                    .filter(|&quarters| quarters != SNR_UNKNOWN)
                    .map(i16::from),
                ..Signal::default()
            },
            bytes: rx.frame,
        },
        Some(Envelope::Done(done)) => {
            Heard::Outcome { ticket: Some(done.ticket), sent: done.result == 0 }
        }
        Some(Envelope::Tx(_)) | None => Heard::Bad(LinkCount::BadEnvelope(1)),
    })
}

/// As an AT module tells it: without its age.
fn heard_now(rssi_dbm: i16, snr_db: i16, bytes: Vec<u8>) -> Heard {
    let signal = Signal {
        rssi_dbm: Some(rssi_dbm),
        snr_quarter_db: Some(snr_db.saturating_mul(4)),
        ..Signal::default()
    };
    Heard::Frame { age: Duration::ZERO, signal, bytes }
}

fn line(line: Line) -> Option<Heard> {
    Some(match line {
        Line::Received { rssi_dbm, snr_db, frame } => heard_now(rssi_dbm, snr_db, frame),
        Line::Ok => Heard::Outcome { ticket: None, sent: true },
        Line::Error(_) => Heard::Outcome { ticket: None, sent: false },
        Line::Started => Heard::Started,
        Line::Other => return None,
        Line::Bad => Heard::Bad(LinkCount::BadText(1)),
        Line::Oversize => Heard::Bad(LinkCount::Oversize(1)),
    })
}

fn rak_line(line: rak::Line) -> Option<Heard> {
    Some(match line {
        rak::Line::Received { rssi_dbm, snr_db, frame } => heard_now(rssi_dbm, snr_db, frame),
        rak::Line::Sent => Heard::Outcome { ticket: None, sent: true },
        rak::Line::Ok => Heard::Understood,
        rak::Line::Refused(words) => Heard::Refused(words),
        rak::Line::Started => Heard::Started,
        rak::Line::Other => return None,
        rak::Line::Bad => Heard::Bad(LinkCount::BadText(1)),
        rak::Line::Oversize => Heard::Bad(LinkCount::Oversize(1)),
    })
}

fn through_e22(heard: e22::Heard, now: Instant) -> Heard {
    match heard {
        e22::Heard::Packet { bytes, rssi_dbm, ended } => match bare(Packet::Whole(bytes)) {
            Heard::Frame { bytes, .. } => Heard::Frame {
                age: now.saturating_duration_since(ended),
                signal: Signal { rssi_dbm, ..Signal::default() },
                bytes,
            },
            other => other,
        },
        e22::Heard::Bad => Heard::Bad(LinkCount::BadCobs(1)),
        e22::Heard::Oversize => Heard::Bad(LinkCount::Oversize(1)),
    }
}

fn meshtastic_message(message: Message) -> Option<Heard> {
    Some(match message {
        Message::Packet(packet) => {
            let meshtastic::Packet { rssi_dbm, snr_quarter_db, .. } = packet;
            let signal = Signal { rssi_dbm, snr_quarter_db, ..Signal::default() };
            Heard::Frame { age: Duration::ZERO, signal, bytes: packet.to_bytes() }
        }
        Message::Encrypted => Heard::Bad(LinkCount::Encrypted(1)),
        Message::Answered => Heard::Understood,
        Message::Started => Heard::Started,
        Message::Other => return None,
        Message::Bad => Heard::Bad(LinkCount::BadMessage(1)),
        Message::Oversize => Heard::Bad(LinkCount::Oversize(1)),
    })
}

fn message(heard: echostream::Heard) -> Heard {
    match heard {
        echostream::Heard::Message(message) => {
            let (age, signal) = (Duration::ZERO, Signal::default());
            Heard::Frame { age, signal, bytes: message.to_bytes() }
        }
        echostream::Heard::Bad => Heard::Bad(LinkCount::BadMessage(1)),
    }
}
