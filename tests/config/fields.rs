//! The fields of the configuration: each line `key = value` of texts that show all.

use super::{edited_default, switched_on};
use pendant_gateway::config::SECTIONS;
use toml::Value;

/// What the shipped file cannot show beside the rest.
const OTHERS: &str = r#"site = "harbour"
gateway = "crane-2"
slot = 0

[lorawan]
region = "US915"
sub_band = 2

[page]
listen = "0.0.0.0:8443"
certificate_file = "/etc/pendant-gateway/tls/page.pem"
key_file = "/etc/pendant-gateway/tls/page.key"

[[pendant]]
number = "000130"
device = "milesight-ws101"
silence = true
triggers.press_long = "session_start 30 min"
grace_s = 120
wrong_pins_to_alarm = 4
pre_alarm_s = 10
heartbeat_interval_s = 300
heartbeats_missed_max = 6
panic_is_covert = false
procedure = "yard"
procedures.man_down = "first-aid-yard"
listen_in = "tel:+441632960961"
do_not_call.panic = true

[[link]]
name = "mesh"
kind = "serial"
acknowledge = false
path = "/dev/serial/by-id/usb-mesh"
baud = 115200
codec = "meshtastic"
envelope = false
unauthenticated = true

[[link]]
name = "roof"
kind = "concentrator"
acknowledge = true
listen = "127.0.0.1:1700"
eui = "aa555a0000000101"
region = "US915"
frequency_hz = 903900000
downlink_frequency_hz = 923300000
spreading_factor = 9
bandwidth_hz = 500000
coding_rate = "4/5"
power_dbm = 14
antenna_gain_dbi = 2

[[link]]
name = "hall"
kind = "radio"
acknowledge = true
board = "waveshare-sx1262-hat"
transmit_line = 4
receive_line = 5
region = "US915"

[[broker]]
host = "mqtt.example.org"
ca_file = "/etc/pendant-gateway/tls/ca.pem"
certificate_file = "/etc/pendant-gateway/tls/gateway.pem"
key_file = "/etc/pendant-gateway/tls/gateway.key"
"#;

/// Only builds with the simulator have it.
const SIMULATED: &str = r#"
[[link]]
name = "air"
kind = "virtual-radio"
acknowledge = true
socket = "/run/ether"
region = "US915"
frequency_hz = 915000000
downlink_frequency_hz = 915000000
spreading_factor = 9
bandwidth_hz = 125000
coding_rate = "4/5"
power_dbm = 14
antenna_gain_dbi = 2
network = "native"
"#;

pub(super) fn texts() -> Vec<String> {
    let simulated = if cfg!(feature = "sim") { SIMULATED } else { "" };
    vec![switched_on(&edited_default()), format!("{OTHERS}{simulated}")]
}

/// A line `key = value` of a text.
#[derive(Clone)]
pub(super) struct Field {
    /// Counted from 0, as the one of its section's header.
    pub(super) line: usize,
    pub(super) header: Option<usize>,
    /// As in [`SECTIONS`].
    pub(super) section: String,
    /// Without what stands behind a dot.
    pub(super) key: String,
    /// What stands behind it, with the dot.
    pub(super) rest: String,
    pub(super) value: Value,
}

impl Field {
    /// The text with other lines in the place of this one.
    pub(super) fn replaced(&self, text: &str, lines: &str) -> String {
        let with = |(n, line)| if n == self.line { lines } else { line };
        text.lines().enumerate().map(with).collect::<Vec<_>>().join("\n") + "\n"
    }

    pub(super) fn set(&self, text: &str, value: &str) -> String {
        self.replaced(text, &format!("{}{} = {value}", self.key, self.rest))
    }

    /// What a message about it calls it.
    pub(super) fn name(&self) -> &str {
        self.rest.strip_prefix('.').unwrap_or(&self.key)
    }

    pub(super) fn value_column(&self) -> usize {
        self.key.len() + self.rest.len() + " = ".len() + 1
    }

    pub(super) fn keys(&self) -> &'static [&'static str] {
        let known = SECTIONS.iter().find(|(title, _)| *title == self.section);
        known.unwrap_or_else(|| panic!("{} is in SECTIONS", self.section)).1
    }
}

pub(super) fn fields(text: &str) -> Vec<Field> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let (mut header, mut section) = (None, "the top of the file".to_owned());
    for (line, written) in lines.iter().enumerate() {
        if written.starts_with('[') {
            (header, section) = (Some(line), title(&lines[line..]));
        } else if let Some((key, _)) =
            written.split_once(" = ").filter(|_| !written.starts_with('#'))
        {
            let rest = key.find('.').map_or("", |dot| &key[dot..]);
            let name = key.trim_end_matches(rest).to_owned();
            let mut value =
                written.parse::<toml::Table>().expect("one line is a text").remove(&name);
            if let (Some(Value::Table(table)), false) = (&value, rest.is_empty()) {
                value = table.values().next().cloned();
            }
            let value = value.expect("its value");
            let (rest, section) = (rest.to_owned(), section.clone());
            found.push(Field { line, header, section, key: name, rest, value });
        }
    }
    found
}

/// A link's title bears its kind.
fn title(lines: &[&str]) -> String {
    let own = lines[1..].iter().take_while(|line| !line.starts_with('['));
    let kind = own.into_iter().find_map(|line| line.strip_prefix("kind = "));
    match kind {
        Some(kind) if kind != "\"serial\"" => format!("a [[link]] of kind {kind}"),
        _ => lines[0].to_owned(),
    }
}
