//! Text to checked configuration.
//!
//! [`Config::parse`] looks at the text alone, [`Config::read`] also at the files
//! that it names. Both report all that is wrong at once, each with file, line,
//! column, the offending line and what to write instead. Units stand in the
//! keys; values are bare numbers. Secrets never stand in the text, only the
//! paths of the files that hold them.
//!
//! Every field bears the name of its key in the text, and serialising a
//! [`Config`] gives a text that reads back to the same one.

mod brokers;
mod concentrator;
mod credential;
pub mod devices;
mod files;
mod lamps;
mod links;
mod lorawan;
mod page;
mod pendant_device;
mod policy;
mod problem;
mod quantity;
mod radio;
mod reader;
mod sections;

pub use credential::{is_credential, read_closed_secret, read_secret};
pub use files::secret_file_fault;
pub use lamps::Lamps;
pub use page::{Loopback, Metrics, Page, PageCertificate};
pub use policy::Pendants;
pub use problem::{ConfigErrors, Problem};

use crate::engine::claimed::Speech;
use crate::engine::lorawan::SubBand;
use crate::engine::name::Name;
use pendant_hal::concentrator::Eui;
use pendant_hal::radio::boards::ChipKind;
use pendant_hal::region::Region;
use pendant_protocol::Slot;
use problem::Report;
use serde::{Deserialize, Serialize, Serializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The shipped file: every default, documented, with placeholders for what only
/// the site knows. `config/gateway.toml` of the project.
pub const DEFAULT_TEXT: &str = include_str!("../config/gateway.toml");

/// Where the configuration is, unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/pendant-gateway/gateway.toml";

/// Where the running gateway is asked, unless `[control]` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/pendant-gateway/control.sock";

/// Every section of the text as an installer knows it, with the keys that it may have.
pub const SECTIONS: &[(&str, &[&str])] = sections::HOMES;

/// Longest text that is read. The shipped file has about 16 KiB; 16 links with
/// long comments stay far below.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The customer's site: first part of the topics.
    pub site: Name,
    /// This gateway: second part of the topics. Unique on the site.
    pub gateway: Name,
    /// This gateway's number on the air. Part of every downlink's key.
    #[serde(serialize_with = "slot_number")]
    pub slot: Slot,
    /// In which of a pendant's listening windows this gateway answers.
    pub downlink_role: DownlinkRole,
    /// What the site has decided of its pendants.
    #[serde(flatten)]
    pub pendants: Pendants,
    /// Pendants that speak LoRaWAN; `None`: they are not listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lorawan: Option<LoRaWan>,
    /// Where events and enrolments are kept.
    pub store: Store,
    /// When an event counts as delivered.
    pub delivery: Delivery,
    /// How the centre's regular messages are judged.
    pub centre: Centre,
    /// What is logged, and where to.
    pub log: Log,
    /// How other commands reach the running gateway.
    pub control: Control,
    /// Which lamps show how the gateway is.
    pub lamps: Lamps,
    /// Where the local page is to be had; `None`: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Where metrics are to be had; `None`: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Receivers of pendants, in the order of the text.
    #[serde(rename = "link")]
    pub links: Vec<Link>,
    /// The centre's brokers, in order of precedence: at least one.
    #[serde(rename = "broker")]
    pub brokers: Vec<Broker>,
    /// What should be changed although it works.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
    #[serde(skip)]
    named_files: Vec<files::NamedFile>,
}

/// In which of a pendant's two listening windows a gateway answers, so that two of
/// one site never answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DownlinkRole {
    /// The site's only gateway: in the first, and in the second where that is missed.
    Only,
    /// In the first alone.
    Primary,
    /// In the second alone.
    Secondary,
}

/// `[lorawan]`: pendants that speak LoRaWAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoRaWan {
    /// Whose band plan.
    #[serde(serialize_with = "name_of_region")]
    pub region: Region,
    /// In US915 the eight channels that the receivers hear, 1 to 8.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "sub_band_number")]
    pub sub_band: Option<SubBand>,
}

/// `[store]`: where events and enrolments are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Store {
    /// Directory of journal, history and keyring.
    pub directory: PathBuf,
    /// The key under which all in it is sealed.
    pub key_file: PathBuf,
    /// Most room for events that wait, mebibytes.
    pub journal_mib_max: u32,
    /// How much of it is kept free for urgent events, mebibytes.
    pub urgent_mib_reserved: u32,
    /// Most room for weeks of signal quality, mebibytes.
    pub history_mib_max: u32,
    /// How long signal quality is kept, days.
    pub history_days: u32,
}

/// `[delivery]`: when an event counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Whether the centre answers each event; else the broker's word suffices.
    pub receipts: bool,
    /// How long the centre may take before an event is offered again, seconds.
    pub receipt_wait_s: u32,
    /// After this long without one, fresh events go to the next broker as well,
    /// seconds.
    pub escalate_after_s: u32,
    /// How often it is journalled which events were delivered, seconds.
    pub release_interval_s: u32,
    /// Most events of the backlog a second; 0: as many as the line takes.
    pub drain_per_s_max: u32,
}

/// `[centre]`: the centre's regular message, the only carrier of its commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Centre {
    /// Without a message for so long the centre counts as lost, seconds.
    pub silence_s: u32,
    /// File of the keys of which one must have signed each message: a line each,
    /// name and Ed25519 public key. Without it no signature is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// File of the X25519 public key for which `queue export` seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_key_file: Option<PathBuf>,
}

/// `[[link]]`: one receiver of pendants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name in events, log and status. Unique.
    pub name: Name,
    /// Whether pendants are acknowledged through it.
    pub acknowledge: bool,
    /// What it is.
    #[serde(flatten)]
    pub kind: LinkKind,
}

/// What a link is, with the settings of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LinkKind {
    /// A serial port.
    Serial {
        /// The port's device file.
        path: PathBuf,
        /// Speed, baud.
        baud: u32,
        /// How frames stand among the bytes.
        codec: SerialCodec,
        /// Whether the receiver adds age and signal to each frame.
        envelope: bool,
        /// Whether the site takes what nobody vouches for.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        unauthenticated: bool,
    },
    /// A radio on this machine's pins.
    Radio(Radio),
    /// The packet forwarder of a LoRa concentrator.
    Concentrator(Concentrator),
    /// A simulated radio behind a socket; only in builds with feature `sim`.
    VirtualRadio(VirtualRadio),
}

impl LinkKind {
    /// What pendants speak there.
    #[must_use]
    pub const fn speech(&self) -> Speech {
        match self {
            Self::Serial { codec, .. } => codec.speech(),
            _ => Speech::LoRa,
        }
    }

    /// What it does on the air, if it is a radio.
    #[must_use]
    pub fn air(&self) -> Option<&Air> {
        match self {
            Self::Serial { .. } => None,
            Self::Radio(radio) => Some(&radio.air),
            Self::Concentrator(concentrator) => Some(&concentrator.air),
            Self::VirtualRadio(radio) => Some(&radio.air),
        }
    }
}

/// How frames stand among a serial port's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SerialCodec {
    /// COBS, ended by zero bytes.
    Cobs,
    /// REYAX RYLR998 and kin: `+RCV=` lines.
    Rylr998,
    /// RAK modules in peer-to-peer mode: `+EVT:RXP2P` lines.
    #[serde(rename = "rak-p2p")]
    RakP2p,
    /// Ebyte E22 in transparent mode: COBS, and a byte of signal strength behind it.
    E22,
    /// A Meshtastic radio, whose packets nobody vouches for.
    Meshtastic,
    /// An Inovonics EchoStream receiver, whose messages nobody vouches for.
    EchoStream,
}

impl SerialCodec {
    /// What pendants speak there.
    #[must_use]
    pub const fn speech(self) -> Speech {
        match self {
            Self::Cobs | Self::Rylr998 | Self::RakP2p | Self::E22 => Speech::LoRa,
            Self::Meshtastic => Speech::Meshtastic,
            Self::EchoStream => Speech::EchoStream,
        }
    }
}

/// Settings of a concentrator behind a packet forwarder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concentrator {
    /// UDP address that the forwarder calls.
    pub listen: SocketAddr,
    /// The forwarder's number.
    #[serde(serialize_with = "eui_text")]
    pub eui: Eui,
    /// How pendants are answered, at the spreading factor at which each was heard. They
    /// are heard on all channels of the forwarder's own configuration.
    #[serde(flatten)]
    pub air: Air,
}

/// Settings of a simulated radio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualRadio {
    /// The ether's Unix socket.
    pub socket: PathBuf,
    /// What it does on the air.
    #[serde(flatten)]
    pub air: Air,
}

/// Settings of a radio on this machine's pins. What the board decides is written
/// out, so that it can be seen and changed. Lines are numbered as on the GPIO chip, not
/// as on the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Radio {
    /// The board by its name, if it is one that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// The chip.
    #[serde(serialize_with = "chip_name")]
    pub chip: ChipKind,
    /// The SPI device: bus and chip select.
    pub spi: PathBuf,
    /// Clock of the SPI bus, hertz.
    pub spi_hz: u32,
    /// The GPIO chip that has the lines.
    pub gpiochip: PathBuf,
    /// Line of DIO1 (DIO0 of an SX1276).
    pub irq_line: u32,
    /// Line of NRESET.
    pub reset_line: u32,
    /// Line of BUSY; an SX1276 has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_line: Option<u32>,
    /// Line that is high while transmitting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_line: Option<u32>,
    /// Line that is high while receiving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_line: Option<u32>,
    /// Lines that are always high.
    pub enable_lines: Vec<u32>,
    /// Supply of the oscillator on DIO3 of an SX126x, millivolts; of an SX1276
    /// whether there is one. 0: a crystal.
    pub tcxo_mv: u32,
    /// Whether an SX126x uses its DC-DC converter.
    pub dcdc: bool,
    /// Whether DIO2 of an SX126x switches the antenna.
    pub dio2_switches_antenna: bool,
    /// Whether the antenna of an SX1276 is on PA_BOOST.
    pub pa_boost: bool,
    /// More sensitivity for a few milliamperes.
    pub receive_boost: bool,
    /// What it does on the air.
    #[serde(flatten)]
    pub air: Air,
}

/// What a radio does on the air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Air {
    /// Whose rules are kept. `None` only on a bench: no rules.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "region_name")]
    pub region: Option<Region>,
    /// Carrier on which pendants are heard, hertz.
    pub frequency_hz: u32,
    /// Carrier on which they are answered, hertz.
    pub downlink_frequency_hz: u32,
    /// LoRa spreading factor, 5 to 12.
    pub spreading_factor: u8,
    /// LoRa bandwidth, hertz.
    pub bandwidth_hz: u32,
    /// LoRa coding rate 4/n: n, 5 to 8. Written "4/5" in the text.
    #[serde(rename = "coding_rate", serialize_with = "four_over")]
    pub coding_rate_denominator: u8,
    /// Transmitting power at the chip, dBm.
    pub power_dbm: i8,
    /// Gain of the antenna less the loss of its cable, dBi.
    pub antenna_gain_dbi: i8,
    /// Whom a radio hears. A concentrator's forwarder decides that for itself.
    #[serde(skip_serializing_if = "Network::is_native")]
    pub network: Network,
}

/// Whose frames a radio hears: they differ in their sync word, and a radio knows one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Native pendants.
    #[default]
    Native,
    /// LoRaWAN pendants, on this one channel and at this one spreading factor.
    LoRaWan,
}

impl Network {
    fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

/// `[[broker]]`: an MQTT broker of the centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broker {
    /// Its name in events, log and status. Unique.
    pub name: Name,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The version of MQTT that it speaks.
    pub mqtt: MqttVersion,
    /// The network interface through which it is reached; any if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// MQTT client identifier; unique at the broker.
    pub client_id: String,
    /// The authorities that may have signed the broker's certificate, PEM.
    pub ca_file: PathBuf,
    /// This gateway's certificate (and those between), PEM.
    pub certificate_file: PathBuf,
    /// The certificate's private key, PEM.
    pub key_file: PathBuf,
    /// The name that the broker's certificate must bear, if it is not `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// MQTT keep-alive, seconds.
    pub keep_alive_s: u16,
    /// How long the broker keeps our session while we are away, seconds.
    pub session_expiry_s: u32,
    /// User name, if the broker asks for one besides the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File whose first line is the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum MqttVersion {
    /// 5.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// 3.1.1, which cannot tell a refused publish: only with receipts.
    #[serde(rename = "3.1.1")]
    V3_1_1,
}

impl Broker {
    /// The name that the broker's certificate must bear.
    #[must_use]
    pub fn expected_name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }
}

/// `[log]`: what is logged, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The least grave that is logged.
    pub level: LogLevel,
    /// Where to.
    pub target: LogTarget,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something fails.
    Error,
    /// Something will fail.
    Warn,
    /// What an installer wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// From the gravest on.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// As it stands in the text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// The journal where there is one, else standard error.
    Auto,
    /// systemd's journal.
    Journald,
    /// Standard error.
    Stderr,
}

/// `[control]`: how other commands reach the running gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    /// The Unix socket on which it listens.
    pub socket: PathBuf,
}

impl Config {
    /// Reads a file and looks at every file that it names.
    ///
    /// # Errors
    /// All that is wrong, missing files and unsafe permissions included.
    pub fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let config = Self::read_text(path)?;
        let problems = config.file_problems();
        if problems.is_empty() { Ok(config) } else { Err(ConfigErrors::Refused(problems)) }
    }

    /// Reads a file, but not those that it names: for commands that need only a
    /// part of them.
    ///
    /// # Errors
    /// All that is wrong in the text.
    pub fn read_text(path: &Path) -> Result<Self, ConfigErrors> {
        let unreadable = |error| ConfigErrors::Unreadable { path: path.to_owned(), error };
        let text = files::read_bounded(path, TEXT_BYTES_MAX).map_err(unreadable)?;
        let shown = path.display().to_string();
        let text = String::from_utf8(text).map_err(|error| problem::not_utf_8(&error, &shown))?;
        Self::parse(&text, &shown)
    }

    /// Checks a text; `file_name` is what messages call it.
    ///
    /// # Errors
    /// All that is wrong in the text, in order of lines. After a breach of
    /// TOML's grammar only that one: what follows would be guesses.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut report = Report::new(text, file_name);
        let config = reader::table(text, &mut report)
            .and_then(|table| sections::config(table.get_ref(), &mut report));
        report.judged(config)
    }

    /// What is wrong with the files that the text names: missing, unreadable,
    /// or, where they hold secrets, open to others.
    #[must_use]
    pub fn file_problems(&self) -> Vec<Problem> {
        self.named_files.iter().filter_map(files::NamedFile::problem).collect()
    }

    /// Whether a link brings what could be anybody's.
    #[must_use]
    pub fn hears_unvouched(&self) -> bool {
        self.links.iter().any(|link| link.kind.speech().is_unvouched())
    }

    /// The effective configuration as text that reads back to the same one.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("every field has a form in TOML")
    }
}

fn slot_number<S: Serializer>(slot: &Slot, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(slot.get())
}

fn four_over<S: Serializer>(denominator: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("4/{denominator}"))
}

fn eui_text<S: Serializer>(eui: &Eui, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(eui)
}

fn chip_name<S: Serializer>(chip: &ChipKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(chip.name())
}

fn region_name<S: Serializer>(region: &Option<Region>, serializer: S) -> Result<S::Ok, S::Error> {
    match region {
        Some(region) => name_of_region(region, serializer),
        None => serializer.serialize_none(),
    }
}

fn name_of_region<S: Serializer>(region: &Region, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(region.name())
}

fn sub_band_number<S: Serializer>(
    sub_band: &Option<SubBand>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    sub_band.map(SubBand::get).serialize(serializer)
}
