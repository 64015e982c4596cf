//! From the checked configuration to what the engine and the uplink are told.

use super::daemon::{StartError, cannot};
use super::tls::TlsFiles;
use super::uplink::{BrokerSettings, Credentials};
use crate::config::{Broker, Config, DownlinkRole, read_secret};
use crate::engine::command::CentreKeys;
use crate::engine::journal::Limits;
use crate::engine::settings::{CentreSettings, Chance, DeliverySettings, LinkSettings, Settings};
use std::num::NonZeroU32;

/// MQTT has room for 65,535 bytes of password.
const PASSWORD_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The engine's settings.
///
/// # Errors
/// The file of the centre's keys cannot be read or holds something else.
pub fn settings(config: &Config) -> Result<Settings, StartError> {
    let keys = match &config.centre.keys_file {
        None => CentreKeys::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(cannot(file.display()))?;
            CentreKeys::parse(&text).map_err(cannot(file.display()))?
        }
    };
    Ok(Settings {
        site: config.site.clone(),
        gateway: config.gateway.clone(),
        slot: config.slot,
        chance: match config.downlink_role {
            DownlinkRole::Only => Chance::Either,
            DownlinkRole::Primary => Chance::First,
            DownlinkRole::Secondary => Chance::Second,
        },
        brokers: config.brokers.iter().map(|broker| broker.name.clone()).collect(),
        links: config
            .links
            .iter()
            .map(|link| LinkSettings {
                name: link.name.clone(),
                acknowledges: link.acknowledge,
                speech: link.kind.speech(),
            })
            .collect(),
        centre: CentreSettings { silence_ms: u64::from(config.centre.silence_s) * 1000, keys },
        lorawan: config.lorawan.map(|lorawan| lorawan.plan()),
        policies: config.pendants.policies.clone(),
        devices: config.pendants.devices.clone(),
        delivery: DeliverySettings {
            receipts: config.delivery.receipts,
            receipt_wait_ms: u64::from(config.delivery.receipt_wait_s) * 1000,
            escalate_after_ms: u64::from(config.delivery.escalate_after_s) * 1000,
            release_interval_ms: u64::from(config.delivery.release_interval_s) * 1000,
            drain_per_s_max: NonZeroU32::new(config.delivery.drain_per_s_max),
        },
        journal: Limits {
            files_max: config.store.journal_mib_max,
            files_reserved: config.store.urgent_mib_reserved,
        },
    })
}

/// The settings of the line to one broker. `boot` is in the last will.
///
/// # Errors
/// The password file cannot be read, is open to others, or is no text.
pub fn broker_settings(
    config: &Config,
    broker: &Broker,
    boot: u64,
) -> Result<BrokerSettings, StartError> {
    let credentials = match (&broker.username, &broker.password_file) {
        (Some(user), Some(file)) => {
            let text =
                read_secret(file, PASSWORD_FILE_BYTES_MAX).map_err(cannot(file.display()))?;
            let text = std::str::from_utf8(&text).map_err(cannot(file.display()))?;
            let line = text.lines().next().unwrap_or("").to_owned();
            Some(Credentials { user: user.clone(), password: line.into() })
        }
        (Some(user), None) => {
            Some(Credentials { user: user.clone(), password: String::new().into() })
        }
        _ => None,
    };
    Ok(BrokerSettings {
        name: broker.name.clone(),
        host: broker.host.clone(),
        port: broker.port,
        mqtt: broker.mqtt,
        interface: broker.interface.clone(),
        server_name: broker.expected_name().to_owned(),
        client_id: broker.client_id.clone(),
        credentials,
        tls: TlsFiles {
            authority: broker.ca_file.clone(),
            certificate: broker.certificate_file.clone(),
            key: broker.key_file.clone(),
        },
        keep_alive_s: broker.keep_alive_s,
        session_expiry_s: broker.session_expiry_s,
        site: config.site.clone(),
        gateway: config.gateway.clone(),
        boot,
    })
}

/// Lets the engine leak, if a test asks for it by the environment.
#[cfg(feature = "leaks")]
pub(super) fn leaking(mut engine: crate::engine::Gateway) -> crate::engine::Gateway {
    let asked = std::env::var("PENDANT_GATEWAY_LEAK").ok();
    if let Some(leak) = asked.as_deref().and_then(crate::engine::leak::Leak::named) {
        engine.set_leak(leak);
    }
    engine
}
