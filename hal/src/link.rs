//! What every link says and is told, whatever device is behind it.

use crate::airtime::Shape;
use crate::concentrator::Eui;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Longest frame of any link, bytes: the length field of a LoRa header is one byte.
pub const FRAME_BYTES_MAX: usize = 255;

/// Transmissions that one link holds for their time. A gateway answers each
/// frame once, a second later (LoRaWAN's joins five); at SF7 fewer than 20 frames fit into a second.
pub const QUEUE_MAX: usize = 64;

/// A transmission so many milliseconds after its time is refused: the pendant has stopped
/// listening, and a radio that transmits in vain is deaf in vain.
pub const LATE_MS_MAX: u64 = 100;

/// How a frame was heard. `None` where the receiver does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// Received signal strength, dBm.
    pub rssi_dbm: Option<i16>,
    /// Signal-to-noise ratio in quarters of a decibel (the SX126x's unit).
    pub snr_quarter_db: Option<i16>,
    /// Carrier frequency, Hz.
    pub frequency_hz: Option<u32>,
    /// LoRa spreading factor, 5 to 12.
    pub spreading_factor: Option<u8>,
    /// LoRa bandwidth, Hz.
    pub bandwidth_hz: Option<u32>,
    /// How far the sender's carrier was off, Hz: the error of both crystals.
    pub frequency_error_hz: Option<i32>,
}

/// Radios tell this often what their channel is like, as far as their chip can be
/// asked: a long transmission puts it off.
pub const AIR_INTERVAL: Duration = Duration::from_secs(1);

/// What a radio noticed of its channel since it told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AirQuality {
    /// Lowest power that was measured on the channel while no frame was being
    /// received, dBm; `None` if there was no such moment. Measured once a second.
    pub noise_dbm: Option<i16>,
    /// Frames whose payload failed its CRC.
    pub crc_failures: u32,
    /// Frames whose header failed its checksum.
    pub header_failures: u32,
    /// Frames that were received whole, whoever sent them.
    pub frames: u32,
}

/// A frame that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reception {
    /// The end of its last symbol or byte.
    pub ended: Instant,
    /// How it was heard.
    pub signal: Signal,
    /// Its bytes: 1 to [`FRAME_BYTES_MAX`], any content.
    pub bytes: Vec<u8>,
}

/// How a frame is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// As the link is set; a concentrator takes the spreading factor of the frame that
    /// it answers. With a CRC of the payload, IQ not inverted.
    Native,
    /// As a LoRaWAN pendant listens: IQ inverted, explicit header, no CRC of the payload,
    /// 8 symbols of preamble, coding rate 4/5, the sync word of public networks (LoRaWAN
    /// Regional Parameters RP002-1.0.4). Serial receivers cannot, nor can a radio of a
    /// private network, which hears no LoRaWAN pendant either.
    LoRaWan {
        /// Carrier frequency, Hz.
        frequency_hz: u32,
        /// Spreading factor, 7 to 12.
        spreading_factor: u8,
        /// Bandwidth, Hz: 125000, 250000 or 500000.
        bandwidth_hz: u32,
    },
}

/// Data rates that LoRaWAN pendants of today listen with (RP002-1.0.4).
const LORAWAN_SPREADING_FACTORS: RangeInclusive<u8> = 7..=12;
const LORAWAN_BANDWIDTHS_HZ: [u32; 3] = [125_000, 250_000, 500_000];

impl Wave {
    /// The shape of a frame that is sent so by a link whose own have this one; `None` if
    /// LoRaWAN has no such data rate.
    pub(crate) fn shape(self, native: Shape) -> Option<Shape> {
        match self {
            Self::Native => Some(native),
            Self::LoRaWan { spreading_factor, bandwidth_hz, .. } => {
                let exists = LORAWAN_SPREADING_FACTORS.contains(&spreading_factor)
                    && LORAWAN_BANDWIDTHS_HZ.contains(&bandwidth_hz);
                exists.then_some(Shape {
                    spreading_factor,
                    bandwidth_hz,
                    coding_rate_denominator: 5,
                    preamble_symbols: 8,
                    explicit_header: true,
                    payload_crc: false,
                })
            }
        }
    }

    /// Its carrier, of a link that sends its own on this one.
    pub(crate) fn frequency_hz(self, native_hz: u32) -> u32 {
        match self {
            Self::Native => native_hz,
            Self::LoRaWan { frequency_hz, .. } => frequency_hz,
        }
    }
}

/// The second chance of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    /// When its first symbol leaves.
    pub at: Instant,
    /// How it is sent then.
    pub wave: Wave,
}

/// A frame to send at a set time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// Comes back in [`LinkEvent::Sent`] or [`LinkEvent::NotSent`], exactly one
    /// of them, once. Tickets that are under way on one link differ in their
    /// low 32 bits.
    pub ticket: u64,
    /// When its first symbol or byte leaves.
    pub at: Instant,
    /// How it is sent.
    pub wave: Wave,
    /// When and how instead, if a radio is receiving or sending another frame at that time,
    /// or a packet forwarder has no room then; a chance in another wave also if this one is
    /// refused. Serial receivers take no heed of it.
    pub or: Option<Later>,
    /// Its bytes: 1 to [`FRAME_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl Transmission {
    /// One as the link is set, without a second chance.
    pub fn native(ticket: u64, at: Instant, bytes: Vec<u8>) -> Self {
        Self { ticket, at, wave: Wave::Native, or: None, bytes }
    }

    /// It at its second chance, which it then has no more; `None` if it has none.
    pub(crate) fn later(&self) -> Option<Self> {
        let Later { at, wave } = self.or?;
        Some(Self { ticket: self.ticket, at, wave, or: None, bytes: self.bytes.clone() })
    }

    /// The same, if that chance is in another wave: it may be granted where this one is
    /// refused.
    pub(crate) fn otherwise(&self) -> Option<Self> {
        self.later().filter(|later| later.wave != self.wave)
    }
}

/// What a link tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The device is there and listening.
    Up,
    /// The device cannot be used. Told once an outage; a second one before the
    /// next `Up` replaces the reason. The link goes on trying by itself.
    Down(LinkFault),
    /// A frame was heard.
    Received(Reception),
    /// A transmission left.
    Sent {
        /// Which.
        ticket: u64,
        /// When it began to leave.
        at: Instant,
    },
    /// A transmission did not leave, or nobody confirmed that it did.
    NotSent {
        /// Which.
        ticket: u64,
        /// Why.
        fault: SendFault,
    },
    /// Something was dropped and counted; at most once a second a kind.
    Counted(LinkCount),
    /// Radios: what the channel is like, every [`AIR_INTERVAL`] while the link is up.
    Air(AirQuality),
}

/// What was dropped, and how often since it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCount {
    /// Serial: what stood between two delimiters was not COBS.
    BadCobs(u32),
    /// Serial: more bytes than any frame has came without a delimiter.
    Oversize(u32),
    /// Serial: a COBS packet of an unknown type or a wrong length.
    BadEnvelope(u32),
    /// Serial: a line that the module's manual does not have, or `+RCV` with
    /// text that is not base64 of a frame.
    BadText(u32),
    /// Serial: what begins as a message of a Meshtastic radio or of an EchoStream receiver
    /// and is none.
    BadMessage(u32),
    /// Serial: a packet for which the Meshtastic radio has no key.
    Encrypted(u32),
    /// Radio: the payload failed the CRC of the physical layer.
    PhyCrc(u32),
    /// Radio: the header failed its checksum.
    PhyHeader(u32),
    /// Radio: a frame whose interrupt line never rose; found by asking the chip.
    LostIrq(u32),
    /// Concentrator: a datagram or a frame in it that the protocol does not have.
    BadDatagram(u32),
    /// Concentrator: a datagram of a forwarder that is not listened to.
    StrangeForwarder(u32),
    /// Frames that were dropped because the gateway did not take them in time.
    Overflow(u32),
}

impl LinkCount {
    /// A name for logs and metrics: lower case with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadCobs(_) => "bad_cobs",
            Self::Oversize(_) => "oversize",
            Self::BadEnvelope(_) => "bad_envelope",
            Self::BadText(_) => "bad_text",
            Self::BadMessage(_) => "bad_message",
            Self::Encrypted(_) => "encrypted",
            Self::PhyCrc(_) => "phy_crc",
            Self::PhyHeader(_) => "phy_header",
            Self::LostIrq(_) => "lost_irq",
            Self::BadDatagram(_) => "bad_datagram",
            Self::StrangeForwarder(_) => "strange_forwarder",
            Self::Overflow(_) => "overflow",
        }
    }

    /// How many since it was last told.
    pub fn n(self) -> u32 {
        match self {
            Self::BadCobs(n)
            | Self::Oversize(n)
            | Self::BadEnvelope(n)
            | Self::BadText(n)
            | Self::BadMessage(n)
            | Self::Encrypted(n)
            | Self::PhyCrc(n)
            | Self::PhyHeader(n)
            | Self::LostIrq(n)
            | Self::BadDatagram(n)
            | Self::StrangeForwarder(n)
            | Self::Overflow(n) => n,
        }
    }
}

/// Why a link is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// There is nothing at this path.
    Missing(PathBuf),
    /// The user of this process may not open this path.
    Denied(PathBuf),
    /// Another program holds this port.
    Busy(PathBuf),
    /// The path leads to something that is no such device.
    WrongKind(PathBuf),
    /// The device went away.
    Gone(PathBuf),
    /// The operating system reports another error.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        says: String,
    },
    /// The radio's BUSY line stayed high longer than any command takes.
    BusyStuck,
    /// SPI answers like a bus without a chip, or with noise.
    NoChip,
    /// Another chip answers than the configured one, or this one through noise.
    WrongChip {
        /// What it says in place of its greeting.
        says: u16,
    },
    /// The chip takes commands, but its oscillator does not start.
    Oscillator,
    /// There is no such SPI device.
    NoSpi(PathBuf),
    /// There is no such GPIO chip.
    NoGpio(PathBuf),
    /// A line cannot be had.
    Line {
        /// What it is for.
        role: &'static str,
        /// Its number on the GPIO chip.
        line: u32,
        /// Why not.
        why: LineFault,
    },
    /// The chip left the mode it was set to: a brown-out, or a reset.
    ChipReset,
    /// The interrupt line (DIO1; DIO0 of an SX127x) does not follow the chip's
    /// interrupts.
    IrqLine,
    /// A transmission was started and never ended.
    TransmitStuck,
    /// The driver refuses the settings; trying again does not help.
    Settings(String),
    /// A module on a serial port does not answer, or not that it listens.
    NotListening {
        /// What it says instead; `None`: nothing.
        says: Option<String>,
    },
    /// A UDP port cannot be had.
    Port {
        /// Which.
        address: SocketAddr,
        /// Whether another program has it.
        taken: bool,
        /// What the system says.
        says: String,
    },
    /// No packet forwarder has called at this address.
    NoForwarder(SocketAddr),
    /// The packet forwarder calls no more.
    ForwarderSilent,
    /// Another packet forwarder calls than the configured one.
    StrangeForwarder {
        /// What it says who it is.
        says: Eui,
    },
    /// The link's own code failed.
    Crashed,
}

impl fmt::Display for LinkFault {
    #[expect(clippy::too_many_lines, reason = "a sentence for each fault, and nothing else")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "{} does not exist: is the receiver plugged in?", path.display())
            }
            Self::Denied(path) => write!(
                f,
                "{} may not be opened by this user: add it to the group that owns the device \
                 (dialout, spi or gpio), and start the gateway again",
                path.display()
            ),
            Self::Busy(path) => write!(
                f,
                "{} is held by another program: end that (often ModemManager, or a console)",
                path.display()
            ),
            Self::WrongKind(path) => {
                write!(f, "{} is another kind of device: correct the path", path.display())
            }
            Self::Gone(path) => {
                write!(f, "{} went away: look at its cable and its supply", path.display())
            }
            Self::Io { doing, says } => write!(f, "{doing}: {says}"),
            Self::BusyStuck => f.write_str(
                "the radio's BUSY line stays high: check the lines of BUSY and RESET, the supply, \
                 and the voltage of the oscillator (tcxo_mv)",
            ),
            Self::NoChip => f.write_str(
                "no radio chip answers on SPI: check that the board sits right, the SPI device \
                 (its chip select) and the line of RESET",
            ),
            Self::WrongChip { says } => write!(
                f,
                "the chip on SPI says {says:#06x}, which the configured kind of chip does not: \
                 check `board` or `chip`; if they are right, lower spi_hz"
            ),
            Self::Oscillator => f.write_str(
                "the radio chip takes commands but does not carry them out; as a rule its \
                 oscillator does not start: set tcxo_mv as the board's maker says, 0 for a crystal",
            ),
            Self::NoSpi(path) => write!(
                f,
                "{} does not exist: switch SPI on (`dtparam=spi=on` in /boot/firmware/config.txt, \
                 and restart); `ls /dev/spidev*` shows what is there",
                path.display()
            ),
            Self::NoGpio(path) => write!(
                f,
                "{} does not exist: `gpiodetect` shows the GPIO chips that there are",
                path.display()
            ),
            Self::Line { role, line, why } => why.tell(f, role, *line),
            Self::ChipReset => f.write_str("the radio chip was reset: check its supply"),
            Self::IrqLine => f.write_str(
                "the radio's interrupt line (DIO1; DIO0 of an SX127x) does not follow its \
                 interrupts: check the line's number",
            ),
            Self::TransmitStuck => f.write_str(
                "the radio began to transmit and never ended: check its supply and its oscillator \
                 (tcxo_mv)",
            ),
            Self::Settings(what) => write!(f, "the radio refuses its settings: {what}"),
            Self::NotListening { says } => {
                match says {
                    Some(says) => {
                        write!(f, "the module answers {says} when it is told to listen: look")?;
                    }
                    None => f.write_str(
                        "the module does not answer: look at its cable and its supply (should it \
                         hang, take its power away and give it back),",
                    )?,
                }
                f.write_str(
                    " at `baud`, and whether it is in peer-to-peer mode (AT+NWM=0) with RUI3, or \
                     has its serial interface switched on with Meshtastic",
                )
            }
            Self::Port { address, says, .. } => write!(
                f,
                "UDP address {address} cannot be had: {says}; is another gateway or network server \
                 running, or the address not this machine's?"
            ),
            Self::NoForwarder(address) => write!(
                f,
                "no packet forwarder has called: set its server_address to this machine and \
                 serv_port_up and serv_port_down to {}, and look whether it runs",
                address.port()
            ),
            Self::ForwarderSilent => f.write_str(
                "the packet forwarder calls no more: look whether it runs, and at its log for the \
                 concentrator's faults",
            ),
            Self::StrangeForwarder { says } => write!(
                f,
                "the packet forwarder that calls is {says}, which is not the configured one: write \
                 eui = \"{says}\", if it is yours"
            ),
            Self::Crashed => f.write_str("the link's own code failed: please report this"),
        }
    }
}

impl std::error::Error for LinkFault {}

/// Why a GPIO line cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// The kernel or another program holds it.
    Taken {
        /// What the holder calls itself; empty if it does not say.
        by: String,
    },
    /// The GPIO chip has no line of that number.
    Absent,
    /// The GPIO chip cannot tell when this line rises.
    NoEdges,
    /// The operating system reports another error.
    Io(String),
}

impl LineFault {
    /// Says it of a line by what it is for and its number on the GPIO chip.
    fn tell(&self, f: &mut fmt::Formatter<'_>, role: &str, line: u32) -> fmt::Result {
        match self {
            Self::Taken { by } => {
                let by = if by.is_empty() { "somebody else" } else { &format!("`{by}`") };
                write!(
                    f,
                    "GPIO line {line} ({role}) is held by {by}: `gpioinfo` shows all holders; a \
                     chip select of SPI is held by the kernel, choose it by the SPI device"
                )
            }
            Self::Absent => write!(
                f,
                "the GPIO chip has no line {line} ({role}): check the number; it is that of the \
                 GPIO, not of the pin of the header"
            ),
            Self::NoEdges => write!(
                f,
                "GPIO line {line} ({role}) tells of no edges: is `gpiochip` the chip of the \
                 header? `gpiodetect` shows all"
            ),
            Self::Io(says) => write!(f, "GPIO line {line} ({role}): {says}"),
        }
    }
}

/// Why a transmission did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// The link is down.
    Down,
    /// It is empty, or longer than [`FRAME_BYTES_MAX`] (or what the module takes).
    Length,
    /// [`QUEUE_MAX`] others are waiting.
    QueueFull,
    /// Its time had passed by more than [`LATE_MS_MAX`].
    Late,
    /// The port did not take the bytes, or the module did not answer.
    Stalled,
    /// The receiver says that it did not send it.
    Refused,
    /// The link cannot send such a [`Wave`].
    Wave,
    /// The region allows nothing on this carrier, or less than the link can send with.
    Carrier,
    /// It would last longer than a single transmission may in this region.
    Dwell,
    /// The airtime that the region allows in an hour is spent.
    Airtime,
    /// The link was stopped.
    Stopped,
}

impl fmt::Display for SendFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "the link is down",
            Self::Length => "the frame is empty or too long",
            Self::QueueFull => "too many transmissions are waiting",
            Self::Late => "its time had passed",
            Self::Stalled => "the port did not take it or the receiver did not answer",
            Self::Refused => "the receiver refused it",
            Self::Wave => "the link cannot send it so",
            Self::Carrier => "the region does not allow it on this carrier",
            Self::Dwell => "it would last longer than the region allows",
            Self::Airtime => "the airtime that the region allows in an hour is spent",
            Self::Stopped => "the link was stopped",
        })
    }
}

/// A running link. Dropping it (and every clone of `transmit`) stops the link.
#[derive(Debug)]
pub struct LinkHandle {
    /// Takes what is to be sent.
    pub transmit: mpsc::Sender<Transmission>,
    ended: oneshot::Receiver<()>,
}

impl LinkHandle {
    /// A handle, and the two ends that the link's task keeps: what it is to send,
    /// and a token for as long as it runs.
    pub(crate) fn new(
        tag: u8,
        events: mpsc::Sender<(u8, LinkEvent)>,
    ) -> (Self, mpsc::Receiver<Transmission>, Running) {
        let (transmit, transmissions) = mpsc::channel(QUEUE_MAX);
        let (token, ended) = oneshot::channel();
        let running = Running { tag, events, _token: token };
        (Self { transmit, ended }, transmissions, running)
    }

    /// Stops the link and waits until it has answered for what was waiting and
    /// released its device. Clones of `transmit` must have been dropped, and
    /// somebody must still take the events, or have dropped their receiver.
    pub async fn stop(self) {
        drop(self.transmit);
        // The token is never sent, only dropped: the error is the news.
        let _ = self.ended.await;
    }
}

/// Held by a link's task while it runs. If the task panics, the link must not
/// fall silent without a word.
pub(crate) struct Running {
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    _token: oneshot::Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nothing more can be done if there is no room.
            let _ = self.events.try_send((self.tag, LinkEvent::Down(LinkFault::Crashed)));
        }
    }
}
