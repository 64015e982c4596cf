//! What the uplink tells of its certificates.

use super::fault::BrokerFault;
use super::identity::Verdict;
use super::renewal::Looked;
use super::{Gone, Uplink};
use crate::engine::certificate::CertificateOf;
use crate::engine::seam::BrokerInput;
use crate::shell::clock::unix_s;
use crate::shell::tls::ClientTls;
use std::sync::Arc;

impl Uplink {
    /// Takes what was found in the certificate files.
    pub(super) async fn take(&mut self, looked: Looked) -> Result<(), Gone> {
        let verdict = self.identity.take(looked, unix_s());
        self.say_certificates(verdict).await
    }

    /// The broker lets us in with this.
    pub(super) async fn accepted(&mut self, tls: &Arc<ClientTls>) -> Result<(), Gone> {
        let verdict = self.identity.accepted(tls);
        self.say_certificates(verdict).await
    }

    /// The broker did not let us in with this. True if others are to be tried at once.
    pub(super) async fn failed(
        &mut self,
        tls: &Arc<ClientTls>,
        fault: &BrokerFault,
    ) -> Result<bool, Gone> {
        let (verdict, others) = self.identity.failed(tls, fault);
        self.say_certificates(verdict).await?;
        Ok(others)
    }

    /// Tells which certificates are in use, and what became of new ones.
    async fn say_certificates(&mut self, verdict: Option<Verdict>) -> Result<(), Gone> {
        let trouble = self.identity.trouble();
        let ends: Vec<_> = self.identity.ends();
        let broker = self.settings.name.as_str();
        match verdict {
            Some(Verdict::Refused(of, why)) => {
                let text = trouble.as_deref().unwrap_or_default();
                tracing::error!(broker, "{text}");
                self.news(BrokerInput::CertificateRefused { of, why }).await?;
            }
            Some(Verdict::Accepted) => {
                tracing::info!(broker, "the certificate files are good again");
                self.news(BrokerInput::CertificateAccepted).await?;
            }
            None => {}
        }
        let own = ends.iter().find(|(of, _)| *of == CertificateOf::Gateway).map(|(_, ends)| *ends);
        self.status.send_if_modified(|status| {
            let changed =
                status.certificate_trouble != trouble || status.certificate_ends_unix_s != own;
            (status.certificate_trouble, status.certificate_ends_unix_s) = (trouble, own);
            changed
        });
        for (of, ends_unix_s) in ends {
            self.news(BrokerInput::Certificate { of, ends_unix_s }).await?;
        }
        Ok(())
    }
}
