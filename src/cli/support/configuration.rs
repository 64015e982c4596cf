//! What of the configuration may be shown to others, and the certificates' dates.

use crate::config::{Config, Page};
use crate::shell::tls::validity;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The settings that are shown, by section (the empty one is the top of the file). What
/// a site has decided of alarms and of pendants' signs is not among them: who knows that
/// knows the silent ones. Files are named, never read.
const SHOWN: &[(&str, &[&str])] = &[
    ("", &["site", "gateway", "slot", "downlink_role"]),
    ("policy", &["grace_s", "pre_alarm_s", "heartbeat_interval_s", "heartbeats_missed_max"]),
    ("pendant", &["number", "device", "heartbeat_interval_s", "heartbeats_missed_max"]),
    ("lorawan", &["region", "sub_band"]),
    (
        "store",
        &[
            "directory",
            "key_file",
            "journal_mib_max",
            "urgent_mib_reserved",
            "history_mib_max",
            "history_days",
        ],
    ),
    (
        "delivery",
        &[
            "receipts",
            "receipt_wait_s",
            "escalate_after_s",
            "release_interval_s",
            "drain_per_s_max",
        ],
    ),
    ("centre", &["silence_s", "keys_file", "export_key_file"]),
    ("log", &["level", "target"]),
    ("control", &["socket"]),
    ("page", &["listen", "certificate_file", "key_file"]),
    ("metrics", &["listen"]),
    ("lamps", &["directory", "power", "network", "reception"]),
    (
        "link",
        &[
            "name",
            "kind",
            "acknowledge",
            "path",
            "baud",
            "codec",
            "envelope",
            "unauthenticated",
            "board",
            "chip",
            "spi",
            "spi_hz",
            "gpiochip",
            "irq_line",
            "reset_line",
            "busy_line",
            "transmit_line",
            "receive_line",
            "enable_lines",
            "tcxo_mv",
            "dcdc",
            "dio2_switches_antenna",
            "pa_boost",
            "receive_boost",
            "listen",
            "eui",
            "socket",
            "region",
            "frequency_hz",
            "downlink_frequency_hz",
            "spreading_factor",
            "bandwidth_hz",
            "coding_rate",
            "power_dbm",
            "antenna_gain_dbi",
            "network",
        ],
    ),
    (
        "broker",
        &[
            "name",
            "host",
            "port",
            "mqtt",
            "interface",
            "client_id",
            "server_name",
            "ca_file",
            "certificate_file",
            "key_file",
            "password_file",
            "keep_alive_s",
            "session_expiry_s",
        ],
    ),
];

/// The effective settings, as far as they are shown.
pub(super) fn text(config: &Config) -> String {
    let all = serde_json::to_value(config).expect("every field has a form in JSON");
    let mut text = String::new();
    for (section, keys) in SHOWN {
        let tables = match if section.is_empty() { Some(&all) } else { all.get(section) } {
            None => continue,
            Some(Value::Array(tables)) => tables.iter().collect(),
            Some(table) => vec![table],
        };
        for table in tables {
            if !section.is_empty() {
                text += &format!("[{section}]\n");
            }
            for key in *keys {
                if let Some(value) = table.get(key) {
                    text += &format!("{key} = {value}\n");
                }
            }
        }
    }
    text
}

/// Dates and fingerprints of all certificates that the configuration names.
pub(super) fn certificates(config: &Config) -> String {
    let named =
        config.brokers.iter().flat_map(|broker| [&broker.ca_file, &broker.certificate_file]);
    // Brokers may share files.
    let mut files: BTreeSet<_> = named.collect();
    let mut own = String::new();
    match &config.page {
        Some(Page::Interface { certificate: Some(page), .. }) => {
            files.insert(&page.certificate_file);
        }
        Some(Page::Interface { certificate: None, .. }) => {
            own += "the page's: made by the gateway itself, anew before its end\n";
        }
        Some(Page::Loopback { .. }) | None => {}
    }
    files.into_iter().map(|path| certificates_in(path)).collect::<String>() + &own
}

fn certificates_in(path: &Path) -> String {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) => found.iter().map(|one| format!("{shown}: {}\n", certificate(one))).collect(),
        // The library's own words may repeat lines of the file.
        Err(_) => format!("{shown}: cannot be read as PEM\n"),
    }
}

fn certificate(der: &CertificateDer<'_>) -> String {
    let date = |unix_s: i64| {
        let since = u64::try_from(unix_s).ok().map(Duration::from_secs);
        let time = since.and_then(|since| UNIX_EPOCH.checked_add(since));
        time.map_or("?".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
    };
    let dates = validity(der).map_or("its dates cannot be read".to_owned(), |dates| {
        format!("valid {} to {}", date(dates.not_before_unix_s), date(dates.not_after_unix_s))
    });
    let fingerprint: String =
        Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{dates}, SHA-256 {fingerprint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_certificate_is_among_them() {
        let told = |page: &str| {
            let text = include_str!("../../../config/gateway.toml");
            let text =
                text.replace("EDIT-ME", "gw1").replace("\n[page]\n", &format!("\n[page]\n{page}"));
            certificates(&Config::parse(&text, "gateway.toml").expect("it is well formed"))
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page.pem");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["gw1".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let made = params.self_signed(&key).expect("a certificate");
        std::fs::write(&file, made.pem()).expect("free");
        let file = file.display();
        let files = format!("certificate_file = \"{file}\"\nkey_file = \"{file}\"\n");
        let text = told(&format!("listen = \"0.0.0.0:8443\"\n{files}"));
        let line = text.lines().find(|line| line.contains("page.pem")).expect("it is named");
        assert!(line.contains(" to 2031-02-03T00:00:00Z"), "{line}");
        assert!(told("listen = \"0.0.0.0:8443\"\n").contains("the page's: made by the gateway"));
        assert!(!told("listen = \"127.0.0.1:8080\"\n").contains("the page's"));
    }
}
