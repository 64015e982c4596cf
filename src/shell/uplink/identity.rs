//! Who we are to the broker: the certificates in use, and what is to take their
//! place. New ones are first tried beside the line that stands. What the broker has
//! accepted stays in memory until it accepts another, whatever becomes of the files.

use super::fault::BrokerFault;
use super::renewal::{Looked, look};
use crate::engine::certificate::{CertificateOf, Unfit};
use crate::shell::tls::{ClientTls, TlsFiles};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The broker may learn later to accept what it refused: it is asked again.
const TRY_REFUSED_EVERY: Duration = Duration::from_secs(300);
/// After an attempt that failed for another reason than the certificates.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// A line that stands shows what the broker's certificate was when it was made. One
/// that is said to end so soon may have been replaced since: then the line is made
/// anew each day, so that what is told of it is so.
const SEE_AGAIN_S: i64 = 32 * 86_400;
const SEE_AGAIN_EVERY: Duration = Duration::from_secs(86_400);

/// MQTT 5 reason codes of a DISCONNECT (section 3.14.2.1).
const UNSPECIFIED: u8 = 0x80;
const NOT_AUTHORIZED: u8 = 0x87;

/// What the centre is to know of new certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are not used.
    Refused(CertificateOf, Unfit),
    /// What was refused is mended.
    Accepted,
}

pub(super) struct Identity {
    looked: mpsc::Receiver<Looked>,
    looking: JoinHandle<()>,
    /// What is dialled with. Once the broker has accepted it, only what the broker
    /// accepts replaces it.
    in_use: Option<Arc<ClientTls>>,
    accepted: bool,
    /// The broker would not have `in_use` the last time.
    unwanted: bool,
    next: Option<Next>,
    /// When the broker's certificate was seen long ago.
    see_at: Instant,
    /// What is wrong with the files as they are now.
    unfit: Option<String>,
}

/// Good as far as we can see, and not accepted by the broker yet.
struct Next {
    tls: Arc<ClientTls>,
    refused: Option<String>,
    try_at: Instant,
}

impl Identity {
    /// Begins to look at the files; at once when `now` says so.
    pub(super) fn new(files: TlsFiles, server_name: String, now: Arc<Notify>) -> Self {
        let (found, looked) = mpsc::channel(1);
        let looking = tokio::spawn(look(files, server_name, found, now));
        Self {
            looked,
            looking,
            in_use: None,
            accepted: false,
            unwanted: false,
            next: None,
            see_at: Instant::now() + SEE_AGAIN_EVERY,
            unfit: None,
        }
    }

    /// What is new in the files; cancelled, nothing is lost.
    pub(super) async fn looked(&mut self) -> Looked {
        match self.looked.recv().await {
            Some(looked) => looked,
            None => pending().await,
        }
    }

    /// Takes what was found in the files. `now_unix_s` is the clock's.
    pub(super) fn take(&mut self, looked: Looked, now_unix_s: i64) -> Option<Verdict> {
        let before = self.trouble();
        let (of, why) = match looked {
            Ok(tls) => {
                let ended = |tls: &ClientTls| tls.has_ended(now_unix_s);
                if ended(&tls) && self.in_use.as_ref().is_some_and(|in_use| !ended(in_use)) {
                    self.unfit = Some("client certificate: it has ended already".to_owned());
                    (CertificateOf::Gateway, Unfit::Ended)
                } else {
                    self.unfit = None;
                    self.put(tls);
                    return self.verdict(before);
                }
            }
            Err(error) => {
                self.unfit = Some(error.to_string());
                (error.which.of(), error.unfit)
            }
        };
        (self.trouble() != before).then_some(Verdict::Refused(of, why))
    }

    fn put(&mut self, tls: Arc<ClientTls>) {
        let is_in_use = self.in_use.as_ref().is_some_and(|in_use| in_use.is_same(&tls));
        let is_next = self.next.as_ref().is_some_and(|next| next.tls.is_same(&tls));
        if is_in_use || !self.accepted {
            self.next = None;
        }
        if !self.accepted {
            self.in_use = Some(tls);
        } else if !is_in_use && !is_next {
            self.next = Some(Next { tls, refused: None, try_at: Instant::now() });
        }
    }

    /// What to dial with; `None` as long as the files held nothing usable.
    pub(super) fn to_dial(&self) -> Option<Arc<ClientTls>> {
        // What the broker accepted before brings the line back soonest.
        let next = self.next.as_ref().filter(|_| self.unwanted).map(|next| &next.tls);
        next.or(self.in_use.as_ref()).map(Arc::clone)
    }

    /// When to ask what to try beside the line that stands.
    pub(super) fn try_at(&self) -> Instant {
        self.next.as_ref().map_or(self.see_at, |next| next.try_at.min(self.see_at))
    }

    /// What to try beside the line that stands.
    pub(super) fn attempt(&mut self, now_unix_s: i64) -> Option<Arc<ClientTls>> {
        let now = Instant::now();
        if let Some(next) = self.next.as_ref().filter(|next| next.try_at <= now) {
            return Some(Arc::clone(&next.tls));
        }
        if self.see_at > now {
            return None;
        }
        self.see_at = now + SEE_AGAIN_EVERY;
        let ends_soon = |tls: &&Arc<ClientTls>| {
            let of_broker = |(of, _): &(CertificateOf, i64)| *of == CertificateOf::Broker;
            let ends = tls.ends().find(of_broker).map(|(_, ends)| ends);
            ends.is_some_and(|ends| ends.saturating_sub(now_unix_s) <= SEE_AGAIN_S)
        };
        self.in_use.as_ref().filter(ends_soon).map(Arc::clone)
    }

    /// Whether these are to take the place of others that the broker has accepted.
    pub(super) fn is_on_trial(&self, tls: &Arc<ClientTls>) -> bool {
        self.next.as_ref().is_some_and(|next| Arc::ptr_eq(&next.tls, tls))
    }

    /// The broker let us in with this.
    pub(super) fn accepted(&mut self, tls: &Arc<ClientTls>) -> Option<Verdict> {
        let before = self.trouble();
        (self.accepted, self.unwanted) = (true, false);
        self.see_at = Instant::now() + SEE_AGAIN_EVERY;
        if self.is_on_trial(tls) {
            self.next = None;
            self.in_use = Some(Arc::clone(tls));
        }
        self.verdict(before)
    }

    /// An attempt with this failed. True beside the verdict if there is another to be
    /// tried at once.
    pub(super) fn failed(
        &mut self,
        tls: &Arc<ClientTls>,
        fault: &BrokerFault,
    ) -> (Option<Verdict>, bool) {
        let about = about(fault);
        let before = self.trouble();
        let Some(next) = self.next.as_mut().filter(|next| Arc::ptr_eq(&next.tls, tls)) else {
            self.unwanted |= about.is_some();
            return (None, false);
        };
        self.unwanted = false;
        let Some((of, why)) = about else {
            next.try_at = Instant::now() + TRY_AGAIN;
            return (None, false);
        };
        next.try_at = Instant::now() + TRY_REFUSED_EVERY;
        next.refused = Some(match fault {
            BrokerFault::StateRefused(reason) => format!(
                "the broker lets them in and takes nothing that they publish (reason \
                 0x{reason:02x}): are they this gateway's?"
            ),
            fault => fault.to_string(),
        });
        let told = before == self.trouble();
        ((!told).then_some(Verdict::Refused(of, why)), true)
    }

    fn verdict(&self, before: Option<String>) -> Option<Verdict> {
        (before.is_some() && self.trouble().is_none()).then_some(Verdict::Accepted)
    }

    /// The certificates in use, and the last second of each.
    pub(super) fn ends(&self) -> Vec<(CertificateOf, i64)> {
        self.in_use.iter().flat_map(|tls| tls.ends()).collect()
    }

    /// What is wrong with the files, or with what they held.
    pub(super) fn trouble(&self) -> Option<String> {
        let refused = self.next.as_ref().and_then(|next| next.refused.as_ref());
        let why = self.unfit.as_ref().or(refused)?;
        Some(if self.in_use.is_some() {
            format!("the new certificate files are not used, the former ones are: {why}")
        } else {
            format!("the certificate files cannot be used: {why}")
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

/// Whether a fault can come of the certificates, and of which.
fn about(fault: &BrokerFault) -> Option<(CertificateOf, Unfit)> {
    match fault {
        BrokerFault::TlsUntrusted => Some((CertificateOf::Authority, Unfit::BrokerUntrusted)),
        BrokerFault::ClientCertificateExpired(_)
        | BrokerFault::ClientCertificateNotYetValid(_)
        | BrokerFault::ClientCertificateRefused(_)
        | BrokerFault::Tls(_)
        | BrokerFault::LoginRefused
        | BrokerFault::Refused(_)
        | BrokerFault::SubscribeRefused
        | BrokerFault::StateRefused(_)
        | BrokerFault::ClosedEarly
        // So many answer what is not allowed; the other reasons are none of ours.
        | BrokerFault::Closed(None | Some(UNSPECIFIED | NOT_AUTHORIZED))
        | BrokerFault::ClosedUntold => Some((CertificateOf::Gateway, Unfit::BrokerRefused)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tls::client_tls;
    use rcgen::{CertificateParams, KeyPair};
    use tokio::time::sleep_until;

    const NOW_UNIX_S: i64 = 1_800_000_000;

    #[tokio::test(start_paused = true)]
    async fn a_broker_s_certificate_that_ends_soon_is_seen_again_each_day() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["gw-1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, closed).expect("ours");
            path
        };
        let files = TlsFiles {
            authority: put("ca.pem", &certificate),
            certificate: put("gateway.pem", &certificate),
            key: put("gateway.key", &key.serialize_pem()),
        };
        let tls = Arc::new(client_tls(&files, "broker.site").expect("good files"));
        let mut identity = Identity::new(files, "broker.site".into(), Arc::default());
        // Days of looks would take a while.
        identity.looking.abort();
        identity.take(Ok(Arc::clone(&tls)), NOW_UNIX_S);
        identity.accepted(&tls);
        for (days_left, seen_again) in [(90, false), (33, false), (32, true), (7, true), (-1, true)]
        {
            tls.show(NOW_UNIX_S + days_left * 86_400);
            assert!(identity.attempt(NOW_UNIX_S).is_none(), "not before a day has passed");
            let at = identity.try_at();
            assert_eq!(at, Instant::now() + SEE_AGAIN_EVERY);
            sleep_until(at).await;
            let attempt = identity.attempt(NOW_UNIX_S);
            assert_eq!(attempt.is_some(), seen_again, "{days_left} days before its end");
        }
    }
}
