//! One broker, and who we are to it.

use crate::config::MqttVersion;
use crate::engine::name::Name;
use crate::shell::tls::TlsFiles;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// The state message's length, whatever it says.
pub const STATE_BYTES: usize = 64;

/// User name and password, where the broker wants them beside the certificate.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ user: {:?}, .. }}", self.user)
    }
}

/// One broker, and who we are to it.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Its name in the log.
    pub name: Name,
    /// Host name or address to dial.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The version of MQTT that it speaks.
    pub mqtt: MqttVersion,
    /// The network interface to dial through; the routing table's choice if `None`.
    pub interface: Option<String>,
    /// The name that the broker's certificate must bear.
    pub server_name: String,
    /// MQTT client id; unique at the broker.
    pub client_id: String,
    /// Login, if the broker wants one.
    pub credentials: Option<Credentials>,
    /// Certificates and key.
    pub tls: TlsFiles,
    /// Seconds of silence after which the line is probed; below 5 counts as 5.
    pub keep_alive_s: u16,
    /// Seconds for which the broker keeps receipts while we are away. In MQTT 3.1.1 the
    /// broker decides.
    pub session_expiry_s: u32,
    /// Part of every topic.
    pub site: Name,
    /// Part of every topic.
    pub gateway: Name,
    /// This boot, as in every event.
    pub boot: u64,
}

impl BrokerSettings {
    pub(super) fn topic(&self, last: &str) -> String {
        format!("lonework/v1/{}/{}/{last}", self.site, self.gateway)
    }

    /// The retained state message: JSON followed by spaces.
    pub(super) fn state(&self, state: &str) -> Vec<u8> {
        let mut text = format!(r#"{{"state":"{state}","boot":"{:016x}"}}"#, self.boot).into_bytes();
        debug_assert!(text.len() <= STATE_BYTES, "{} bytes of state", text.len());
        text.resize(STATE_BYTES, b' ');
        text
    }

    /// Silence after which the line is probed. The library asserts the lower limit.
    pub(super) fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_s.max(5).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_message_has_one_length() {
        let name = |text| Name::new(text).expect("a fine name");
        let settings = BrokerSettings {
            name: name("broker-1"),
            host: "broker".into(),
            port: 8883,
            mqtt: MqttVersion::V5,
            interface: None,
            server_name: "broker".into(),
            client_id: "gateway".into(),
            credentials: None,
            tls: TlsFiles { authority: "a".into(), certificate: "b".into(), key: "c".into() },
            keep_alive_s: 30,
            session_expiry_s: 60,
            site: name("north"),
            gateway: name("gw-1"),
            boot: u64::MAX,
        };
        for state in ["online", "offline"] {
            let bytes = settings.state(state);
            assert_eq!(bytes.len(), STATE_BYTES);
            let text: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(text["state"], state);
            assert_eq!(text["boot"], "ffffffffffffffff");
        }
        assert_eq!(settings.topic("state"), "lonework/v1/north/gw-1/state");
    }
}
