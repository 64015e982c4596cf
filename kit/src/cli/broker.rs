//! How a command that is a centre reaches its broker.

use super::Refusal;
use crate::centre::{CentreSettings, MqttVersion, SigningKey};
use crate::pki;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(clap::Args)]
pub(super) struct BrokerArguments {
    /// The broker's name, as in its certificate
    #[arg(long)]
    host: String,
    /// The broker's port
    #[arg(long, default_value_t = 8883)]
    port: u16,
    /// The version of MQTT that the broker speaks
    #[arg(long, value_name = "VERSION", value_enum, default_value = "5")]
    mqtt: MqttVersion,
    /// The authority that signed the broker's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// This centre's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Only this site
    #[arg(long, default_value = "+")]
    site: String,
    /// Only this gateway
    #[arg(long, default_value = "+")]
    gateway: String,
    /// Sign what is sent to gateways with this Ed25519 key (PEM, PKCS #8)
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The name by which gateways know that key
    #[arg(long, default_value = "centre")]
    signing_name: String,
}

impl BrokerArguments {
    /// A centre under this name at the broker.
    pub(super) fn centre(self, client_id: &str) -> Result<CentreSettings, Refusal> {
        let tls = pki::client_config_of_files(&self.ca, &self.certificate, &self.key)?;
        let key = self.signing_key.as_deref();
        let key = key.map(|file| SigningKey::from_pem_file(&self.signing_name, file)).transpose();
        Ok(CentreSettings {
            mqtt: self.mqtt,
            site: self.site,
            gateway: self.gateway,
            signing_key: key.map_err(Refusal)?.map(Arc::new),
            ..CentreSettings::new(&self.host, self.port, client_id, tls)
        })
    }
}
