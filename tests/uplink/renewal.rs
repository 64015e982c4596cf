//! New certificates while the line stands, good ones and bad ones, against a real
//! mosquitto.

use crate::mosquitto::{self, Authority, EXPIRED, Identity, Mosquitto, VALID, replace};
use crate::support::{OPEN_TO_ALL, RECEIPT, Running, STATE, Site, URGENT};
use pendant_gateway::engine::certificate::{CertificateOf, Unfit};
use pendant_gateway::engine::seam::BrokerInput;
use pendant_gateway::shell::uplink::{BrokerFault, BrokerSettings};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// The longest gap that is allowed.
const GAP_MAX: Duration = Duration::from_secs(5);

/// A gateway whose files can be replaced, at a broker that logs who comes.
struct Renewing {
    site: Site,
    broker: Mosquitto,
    files: Identity,
    authority: std::path::PathBuf,
    running: Running,
    folder: TempDir,
}

impl Renewing {
    async fn new(more: &str) -> Self {
        let site = Site::new();
        let more = format!("{OPEN_TO_ALL}\nuse_identity_as_username true\n{more}");
        let broker = site.broker(&more).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let put = |from: &std::path::Path, name: &str| {
            let path = folder.path().join(name);
            fs::copy(from, &path).expect("it can be copied");
            path
        };
        let files = Identity {
            certificate: put(&site.gateway.certificate, "gateway.pem"),
            key: put(&site.gateway.key, "gateway.key"),
        };
        let authority = put(&site.authority.file(), "ca.pem");
        let settings = Self::settings(&site, broker.port, &files, &authority);
        Self { running: Running::start(settings), site, broker, files, authority, folder }
    }

    fn settings(
        site: &Site,
        port: u16,
        files: &Identity,
        authority: &std::path::Path,
    ) -> BrokerSettings {
        let mut settings = site.settings(port);
        settings.tls.certificate = files.certificate.clone();
        settings.tls.key = files.key.clone();
        settings.tls.authority = authority.to_owned();
        settings
    }

    async fn up() -> Self {
        let mut renewing = Self::new("").await;
        renewing.running.up().await;
        renewing
    }

    /// The line is the first one still, and takes events.
    async fn still_up(&mut self, event: u64) {
        self.running.offer(event, URGENT, "an event");
        assert_eq!(self.running.refused().await.0, event, "it is answered");
        let status = self.running.status(|status| status.certificate_trouble.is_some()).await;
        assert_eq!((status.connected, status.connections), (true, 1), "{status:?}");
    }

    /// Restarts the broker, so that the line must be made anew.
    async fn restart_broker(&mut self) {
        let port = self.broker.port;
        let more = format!("{OPEN_TO_ALL}\nuse_identity_as_username true");
        // What listens on the port must be gone first.
        self.broker.kill();
        self.running.down().await;
        self.broker =
            Mosquitto::restart(port, &self.site.authority, &self.site.server, &more).await;
    }

    async fn stop(self) {
        self.running.handle.stop().await;
        drop(self.folder);
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_into_use_and_what_was_sent_meanwhile_is_not_lost() {
    let mut site = Renewing::up().await;
    let mut centre = site.site.subscriber(&mut site.broker, "lonework/#").await;
    centre.next().await;
    let new = site.site.authority.issue("gw-1-renewed", &[], VALID);
    new.replace(&site.files);
    site.running.handle.look_at_files();
    // The library's answers and the broker's come while the new line is made.
    site.running.offer(1, URGENT, "before");
    let mut gone = None;
    let gap = loop {
        match site.running.next().await {
            BrokerInput::Down => gone = Some(Instant::now()),
            BrokerInput::Up { .. } => break gone.expect("down first").elapsed(),
            BrokerInput::Taken(_) => {}
            other => panic!("{other:?}"),
        }
    };
    println!("gap: {gap:?}");
    assert!(gap < GAP_MAX, "{gap:?}");
    site.broker.logged("u'gw-1-renewed'").await;
    site.running.offer(2, URGENT, "after");
    site.running.taken(2).await;
    // What the centre says reaches the new line: the session is the old one.
    let (authority, who) = (&site.site.authority, &site.site.centre);
    mosquitto::publish(site.broker.port, authority, who, RECEIPT, "receipt".into()).await;
    assert!(matches!(site.running.next().await, BrokerInput::Receipt(_)));
    let status = site.running.status(|status| status.connected).await;
    assert_eq!((status.connections, status.certificate_trouble), (2, None));
    // For the centre the gateway was there all the time.
    let states = std::iter::from_fn(|| centre.try_next()).filter(|(_, topic, _)| topic == STATE);
    let states: Vec<_> = states.map(|(_, _, state)| state).collect();
    assert!(states.iter().all(|state| state.contains("online")), "{states:?}");
    assert_eq!(states.len(), 1, "{states:?}");
    site.stop().await;
}

/// Without a reload.
#[tokio::test]
async fn that_files_have_changed_is_noticed() {
    let mut site = Renewing::up().await;
    site.site.authority.issue("gw-1-renewed", &[], VALID).replace(&site.files);
    site.running.down().await;
    site.running.up().await;
    site.broker.logged("u'gw-1-renewed'").await;
    let status = site.running.status(|status| status.connected).await;
    assert_eq!(status.certificate_trouble, None);
    site.stop().await;
}

/// Each fault planted in turn while one line stands; then the line breaks, and comes
/// back by what is in memory, although the files are unusable.
#[tokio::test]
async fn bad_files_are_refused_and_the_old_ones_stay_in_use_from_memory() {
    let mut site = Renewing::up().await;
    let stranger = Authority::new("another authority");
    let (old, old_authority) = (site.site.gateway.clone(), site.site.authority.file());
    let other = site.site.authority.issue("gw-2", &[], VALID);
    let whole = fs::read_to_string(&other.certificate).expect("just written");
    let half = site.folder.path().join("half.pem");
    fs::write(&half, &whole[..whole.len() / 2]).expect("written");
    let empty = site.folder.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    let expired = site.site.authority.issue("gw-1-old", &[], EXPIRED);
    let foreign = stranger.issue("gw-1", &[], VALID);
    let server_only = stranger.file();

    let of = CertificateOf::Gateway;
    let with = |certificate: &std::path::Path, key: &std::path::Path| Identity {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let faults = [
        (with(&half, &other.key), &old_authority, (of, Unfit::Damaged)),
        (with(&empty, &other.key), &old_authority, (of, Unfit::Damaged)),
        (with(&other.certificate, &old.key), &old_authority, (of, Unfit::WrongKey)),
        (expired, &old_authority, (of, Unfit::Ended)),
        (foreign, &old_authority, (of, Unfit::BrokerRefused)),
        (other, &server_only, (CertificateOf::Authority, Unfit::BrokerUntrusted)),
        (old.clone(), &half, (CertificateOf::Authority, Unfit::Damaged)),
    ];
    let mut event = 0;
    for (files, authority, verdict) in faults {
        files.replace(&site.files);
        replace(authority, &site.authority);
        site.running.handle.look_at_files();
        assert_eq!(site.running.verdict().await, Some(verdict), "{files:?}");
        event += 1;
        site.still_up(event).await;
        // Mended: the former files again.
        old.replace(&site.files);
        replace(&old_authority, &site.authority);
        site.running.handle.look_at_files();
        assert_eq!(site.running.verdict().await, None, "mended after {verdict:?}");
        site.running.status(|status| status.certificate_trouble.is_none()).await;
    }

    fs::remove_file(&site.files.key).expect("removed");
    site.running.handle.look_at_files();
    assert_eq!(site.running.verdict().await, Some((of, Unfit::Unreadable)));
    site.restart_broker().await;
    site.running.up().await;
    let status = site.running.status(|status| status.connected).await;
    let trouble = status.certificate_trouble.expect("still so");
    assert!(
        trouble.contains("gateway.key") && trouble.contains("the former ones are"),
        "{trouble}"
    );
    site.stop().await;
}

/// New files come while the broker is away, and it does not take them.
#[tokio::test]
async fn what_the_broker_refuses_does_not_keep_the_line_from_coming_back() {
    let mut site = Renewing::up().await;
    let stranger = Authority::new("another authority");
    let foreign = stranger.issue("gw-1", &[], VALID);
    site.broker.kill();
    site.running.down().await;
    foreign.replace(&site.files);
    site.running.handle.look_at_files();
    let port = site.broker.port;
    site.broker =
        Mosquitto::restart(port, &site.site.authority, &site.site.server, OPEN_TO_ALL).await;
    site.running.up().await;
    let refused = (CertificateOf::Gateway, Unfit::BrokerRefused);
    assert_eq!(site.running.verdict().await, Some(refused), "tried beside the line, once it stood");
    let status = site.running.status(|status| status.certificate_trouble.is_some()).await;
    assert!(status.connected, "{status:?}");
    site.stop().await;
}

/// The broker lets the new one in, but it has another client's rights.
#[tokio::test]
async fn one_that_may_not_publish_gives_the_line_back_to_the_old_one() {
    let rights = tempfile::NamedTempFile::new().expect("a file");
    fs::write(rights.path(), "user gw-1\ntopic readwrite lonework/#\n").expect("written");
    let mut site = Renewing::new(&format!("acl_file {}", rights.path().display())).await;
    site.running.up().await;
    let other = site.site.authority.issue("gw-without-rights", &[], VALID);
    other.replace(&site.files);
    site.running.handle.look_at_files();
    site.running.down().await;
    let gone = Instant::now();
    site.running.up().await;
    println!("gap: {:?}", gone.elapsed());
    assert!(gone.elapsed() < GAP_MAX, "{:?}", gone.elapsed());
    let status = site.running.status(|status| status.certificate_trouble.is_some()).await;
    let trouble = status.certificate_trouble.expect("told");
    assert!(trouble.contains("takes nothing that they publish"), "{trouble}");
    site.stop().await;
}

#[tokio::test]
async fn a_gateway_that_was_refused_from_the_start_comes_up_with_new_files() {
    let site = Renewing::up().await;
    let expired = site.site.authority.issue("gw-1-old", &[], EXPIRED);
    expired.replace(&site.files);
    let settings = Renewing::settings(&site.site, site.broker.port, &site.files, &site.authority);
    let mut late = Running::start(BrokerSettings { client_id: "gw-late".into(), ..settings });
    let fault = late.fault().await;
    assert!(matches!(fault, BrokerFault::ClientCertificateExpired(_)), "{fault:?}");
    site.site.authority.issue("gw-late", &[], VALID).replace(&site.files);
    late.handle.look_at_files();
    late.up().await;
    late.handle.stop().await;
    site.stop().await;
}
