//! The configuration: what the shipped file says, and what an installer is told
//! about every kind of mistake.

mod concentrator;
mod devices;
mod every_field;
mod fields;
mod files;
mod lorawan;
mod mistakes;
mod page;
mod policy;
mod radio;

use pendant_gateway::config::{Config, DEFAULT_TEXT, LinkKind, Problem, SerialCodec};
use pendant_gateway::engine::event::Kind;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::policy::Policies;
use proptest::prelude::*;
use std::path::Path;

/// Nothing but what has no default.
const LEAST: &str = r#"site = "harbour"
gateway = "crane-2"
slot = 0
[[link]]
name = "serial-1"
kind = "serial"
path = "/dev/serial/by-id/usb-receiver"
[[broker]]
host = "mqtt.example.org"
ca_file = "/etc/pendant-gateway/tls/ca.pem"
certificate_file = "/etc/pendant-gateway/tls/gateway.pem"
key_file = "/etc/pendant-gateway/tls/gateway.key"
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, "gateway.toml").unwrap_or_else(|errors| panic!("refused:\n{errors}"))
}

fn refusals(text: &str) -> Vec<Problem> {
    match Config::parse(text, "gateway.toml") {
        Ok(_) => panic!("taken:\n{text}"),
        Err(errors) => errors.problems().to_vec(),
    }
}

/// `LEAST` with one line put in the place of the one that begins with `key`, or
/// added behind the header `key`.
fn with(key: &str, line: &str) -> String {
    let mut text = String::new();
    for old in LEAST.lines() {
        if old == key && key.starts_with('[') {
            text += &format!("{old}\n{line}\n");
        } else if old.starts_with(key) {
            text += &format!("{line}\n");
        } else {
            text += &format!("{old}\n");
        }
    }
    assert_ne!(text, LEAST, "{key} is in the text");
    text
}

/// The only problem, as an installer sees it.
fn refusal(text: &str) -> String {
    let problems = refusals(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].to_string()
}

fn edited_default() -> String {
    DEFAULT_TEXT
        .replace("site = \"EDIT-ME\"", "site = \"harbour\"")
        .replace("gateway = \"EDIT-ME\"", "gateway = \"crane-2\"")
        .replace("by-id/EDIT-ME", "by-id/usb-receiver")
        .replace("EDIT-ME.example.org", "mqtt.example.org")
}

#[test]
fn the_shipped_file_says_what_the_defaults_are() {
    let shipped = parse(&edited_default());
    assert_eq!(effective(&shipped), effective(&parse(LEAST)));
    assert_eq!(shipped.pendants.policies, Policies::default());
}

fn effective(config: &Config) -> String {
    config.to_text()
}

/// A text with all that stands in comments as a setting.
fn switched_on(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn what_the_shipped_file_shows_as_off_is_understood_when_switched_on() {
    let text = switched_on(&edited_default());
    let config = parse(&text);
    assert_eq!(config.brokers[0].username.as_deref(), Some("my-gateway"));
    assert_eq!(config.brokers[0].client_id, "my-gateway");
    assert!(config.brokers[0].password_file.is_some() && config.brokers[0].server_name.is_some());
    assert_eq!(config.brokers[1].interface.as_deref(), Some("wwan0"));
    let response = &config.pendants.policies.site.response;
    assert_eq!(response.procedure(Kind::Duress).map(Name::as_str), Some("police-silent"));
    assert!(response.do_not_call(Kind::Panic));
    assert_eq!(config.pendants.policies.pendants.len(), 2);
    assert_eq!(config.pendants.devices.len(), 1);
    assert_eq!(config.lamps.network.as_deref(), Some("lonework:green:network"));
    assert_eq!(config.page.map(|page| page.address().port()), Some(8080));
    assert_eq!(config.metrics.map(|metrics| metrics.listen.address().port()), Some(9464));
}

#[test]
fn the_shipped_file_is_refused_until_it_is_edited() {
    let problems = refusals(DEFAULT_TEXT);
    let lines: Vec<&str> = problems.iter().map(|problem| problem.shown.as_str()).collect();
    assert_eq!(
        lines,
        [
            "site = \"EDIT-ME\"",
            "gateway = \"EDIT-ME\"",
            "path = \"/dev/serial/by-id/EDIT-ME\"",
            "host = \"EDIT-ME.example.org\""
        ]
    );
    assert!(problems.iter().all(|problem| problem.text.contains("placeholder")));
}

#[test]
fn the_defaults_are_those_of_the_documents() {
    let config = parse(LEAST);
    assert_eq!(config.store.key_file, Path::new("/var/lib/pendant-gateway/store.key"));
    assert_eq!((config.store.journal_mib_max, config.store.urgent_mib_reserved), (640, 8));
    assert!(config.delivery.receipts);
    assert_eq!((config.delivery.receipt_wait_s, config.delivery.release_interval_s), (60, 20));
    assert_eq!((config.delivery.escalate_after_s, config.delivery.drain_per_s_max), (30, 200));
    assert_eq!((config.brokers.len(), config.brokers[0].name.as_str()), (1, "broker-1"));
    assert_eq!((config.brokers[0].port, config.brokers[0].keep_alive_s), (8883, 30));
    assert_eq!(config.brokers[0].client_id, "crane-2");
    assert_eq!(config.brokers[0].expected_name(), "mqtt.example.org");
    assert!(config.links[0].acknowledge);
    let LinkKind::Serial { baud, codec, envelope, .. } = &config.links[0].kind else {
        panic!("a serial link")
    };
    assert_eq!((*baud, *codec, *envelope), (115_200, SerialCodec::Cobs, false));
}

#[test]
fn every_codec_has_its_name_and_what_nobody_authenticates_has_none() {
    for (name, expected) in [
        ("cobs", SerialCodec::Cobs),
        ("rylr998", SerialCodec::Rylr998),
        ("rak-p2p", SerialCodec::RakP2p),
        ("e22", SerialCodec::E22),
    ] {
        let config = parse(&with("[[link]]", &format!("codec = \"{name}\"")));
        for config in [parse(&config.to_text()), config] {
            let LinkKind::Serial { codec, .. } = config.links[0].kind else { panic!("{name}") };
            assert_eq!(codec, expected);
        }
    }
}

/// Nobody gets what could be anybody's by choosing a codec.
#[test]
fn a_receiver_without_authentication_must_be_asked_for() {
    for (name, codec) in
        [("meshtastic", SerialCodec::Meshtastic), ("echostream", SerialCodec::EchoStream)]
    {
        let line = format!("codec = \"{name}\"");
        let refusal = refusal(&with("[[link]]", &line));
        assert!(refusal.contains("no authentication"), "{refusal}");
        assert!(refusal.contains("write: unauthenticated = true"), "{refusal}");
        let config = parse(&with("[[link]]", &format!("{line}\nunauthenticated = true")));
        assert_eq!(effective(&parse(&config.to_text())), effective(&config));
        let LinkKind::Serial { codec: read, .. } = config.links[0].kind else { panic!("{name}") };
        assert_eq!((read, config.links[0].acknowledge), (codec, false));
    }
    let needless = refusal(&with("[[link]]", "unauthenticated = true"));
    assert!(needless.contains("prove who they are"), "{needless}");
}

#[test]
fn the_effective_configuration_reads_back_to_the_same() {
    let text =
        with("[[broker]]", "username = \"u\"\npassword_file = \"/p\"\nserver_name = \"::1\"");
    let text = text + "[store]\ndirectory = \"/data/gateway\"\n[log]\nlevel = \"debug\"\n";
    let config = parse(&text);
    assert_eq!(effective(&parse(&config.to_text())), effective(&config));
    assert_eq!(config.store.key_file, Path::new("/data/gateway/store.key"));
}

#[test]
fn a_message_is_whole_file_line_column_line_marks_and_remedy() {
    assert_eq!(
        refusal(&with("[[broker]]", "  keep_alive_s = \"30s\"")),
        "gateway.toml:9:18: `keep_alive_s` is a whole number of seconds, 5 to 3600, not \"30s\"\n\
         \x20     keep_alive_s = \"30s\"\n\
         \x20                    ^^^^^\n\
         \x20 -> write: keep_alive_s = 30"
    );
}

#[test]
fn what_works_but_should_be_changed_is_a_warning() {
    let config = parse(&with("path", "path = \"/dev/ttyUSB0\""));
    assert_eq!(config.warnings.len(), 1);
    let told = config.warnings[0].to_string();
    assert!(told.starts_with("gateway.toml:7:8: /dev/ttyUSB0 may be another adapter"), "{told}");
    assert!(told.contains("/dev/serial/by-id"), "{told}");
    let config = parse(&format!("{LEAST}[delivery]\nreceipts = false\n"));
    assert!(config.warnings[0].to_string().starts_with("gateway.toml:14:12: without receipts"));
    assert!(parse(LEAST).warnings.is_empty());
}

#[cfg(feature = "sim")]
#[test]
fn a_virtual_radio_is_read_and_its_mistakes_are_told() {
    let radio = |line: &str| {
        LEAST
            .replace("kind = \"serial\"", &format!("kind = \"virtual-radio\"\n{line}"))
            .replace("path = ", "socket = ")
    };
    let config = parse(&radio("frequency_hz = 868_300_000\ncoding_rate = \"4/7\"\npower_dbm = 0"));
    let LinkKind::VirtualRadio(settings) = &config.links[0].kind else { panic!("a virtual radio") };
    let settings = &settings.air;
    assert_eq!((settings.frequency_hz, settings.coding_rate_denominator), (868_300_000, 7));
    assert_eq!(
        (settings.spreading_factor, settings.bandwidth_hz, settings.power_dbm),
        (9, 125_000, 0)
    );
    assert_eq!(effective(&parse(&config.to_text())), effective(&config));
    for (line, place, remedy) in [
        (
            "frequency_hz = \"868.1MHz\"",
            "7:16: `frequency_hz` is a whole number of hertz",
            "frequency_hz = 868100000",
        ),
        ("frequency_hz = 868.1", "7:16: `frequency_hz`", "frequency_hz = 868100000"),
        ("bandwidth_hz = \"125 kHz\"", "7:16: `bandwidth_hz`", "bandwidth_hz = 125000"),
        ("bandwidth_hz = 100000", "7:16: `bandwidth_hz` is one of", "bandwidth_hz = 125000"),
        ("spreading_factor = 13", "7:20: `spreading_factor` is a whole number, 5 to 12", "5 to 12"),
        ("spreading_factor = \"SF9\"", "7:20: `spreading_factor`", "5 to 12"),
        ("coding_rate = 5", "7:15: `coding_rate` is a text", "coding_rate = \"5\""),
        ("coding_rate = \"5\"", "7:15: `coding_rate` is one of", "4/5"),
        ("power_dbm = \"14dBm\"", "7:13: `power_dbm`", "power_dbm = 14"),
        ("power_dbm = 30", "7:13: `power_dbm` is a whole number of dBm, 0 to 22", "0 to 22"),
        ("region = \"EU863\"", "7:10: `region` is one of", "\"EU868\", \"US915\""),
    ] {
        let told = refusal(&radio(line));
        assert!(told.starts_with(&format!("gateway.toml:{place}")), "{told}");
        assert!(told.contains(remedy), "{told}");
    }
}

proptest! {
    /// Whatever an editor leaves behind is refused or taken, never a crash, and
    /// every problem points into the text.
    #[test]
    fn no_text_makes_it_panic(
        at in 0..DEFAULT_TEXT.len(),
        gone in 0..40usize,
        put in prop::sample::select(vec![
            "", "=", "\"", "[", "]]", "\n", "\u{0}", "ä", "-1", "1e400", "[[link]]\n", "'", "0x", "{a=1}", "[1,\n2]",
        ]),
    ) {
        let mut text = edited_default();
        // The shipped text is ASCII, so every place is a character's.
        let start = at.min(text.len());
        let end = (at + gone).min(text.len());
        text.replace_range(start..end, put);
        if let Err(errors) = Config::parse(&text, "gateway.toml") {
            prop_assert!(!errors.problems().is_empty());
            for problem in errors.problems() {
                prop_assert!(problem.line <= text.split('\n').count() && !problem.remedy.is_empty());
            }
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}
