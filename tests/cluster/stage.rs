//! What every cluster has: certificates, programs in groups of their own, a page that
//! tells how a node fares, and the site.

use crate::clerk::Clerk;
use crate::load::Load;
use crate::mosquitto::{Authority, Identity, VALID, client_of};
use crate::pendant::*;
use crate::rights::Rights;
use crate::site::{BrokerFiles, SOON, Site};
use pendant_kit::centre::{Centre, CentreSettings, Heard, MqttVersion, News};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// An authority, and who has its certificates.
pub(crate) struct People {
    pub(crate) authority: Authority,
    pub(crate) server: Identity,
    pub(crate) gateway: Identity,
    pub(crate) centre: Identity,
}

impl People {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("cluster authority");
        Self {
            server: authority.issue("server", &["localhost", "127.0.0.1"], VALID),
            gateway: authority.issue("gw1", &[], VALID),
            centre: authority.issue("centre", &[], VALID),
            authority,
        }
    }

    /// A site whose brokers are these ports, in MQTT 3.1.1. In a cluster each line needs a
    /// client id of its own: the nodes know one another's clients.
    pub(crate) fn site(&self, ports: &[u16]) -> Site {
        let Identity { certificate, key } = self.gateway.clone();
        let files = BrokerFiles::local(ports[0], self.authority.file(), certificate, key);
        let site = Site::new(files);
        let mut more = "mqtt = \"3.1.1\"\n".to_owned();
        for (place, port) in (1..).zip(&ports[1..]) {
            write!(
                more,
                "[[broker]]\nname = \"node-{place}\"\nhost = \"localhost\"\nport = {port}\n\
                 client_id = \"gw1-{place}\"\nmqtt = \"3.1.1\"\nca_file = \"{}\"\n\
                 certificate_file = \"{}\"\nkey_file = \"{}\"\nkeep_alive_s = 5\n",
                self.authority.file().display(),
                self.gateway.certificate.display(),
                site.broker.key.display(),
            )
            .expect("a text takes all");
        }
        site.configure(&more);
        site
    }
}

/// The gateway's certificate is replaced: the new line takes the session over from the old
/// one, whose last will 3.1.1 cannot delay. In the end the gateway is said to be online.
pub(crate) async fn a_new_certificate_leaves_it_online(people: &People, port: u16) {
    let mut site = people.site(&[port]);
    site.start().await;
    let connections = async |count: u64| {
        let made = |s: &serde_json::Value| s["brokers"][0]["connections"] == count;
        site.until("the line is made", made).await;
        site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    };
    connections(1).await;
    // Under the same name, in the same place.
    let new = people.authority.issue("gw1", &[], VALID);
    let beside = site.path("beside");
    fs::copy(&new.key, &beside).expect("copied");
    fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("closed");
    fs::rename(&beside, &site.broker.key).expect("replaced");
    connections(2).await;
    let state = "lonework/v1/ward-3/gw1/state";
    let mut listening = client_of("311", "mosquitto_sub", port, &people.authority, &people.centre);
    // What stands there, and what comes within so long.
    let said = listening
        .args(["-i", "centre", "-q", "1", "-t", state, "-W", "5", "-F", "%r %p"])
        .output()
        .expect("mosquitto_sub can be started");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    println!("after a new certificate: {said}");
    assert!(said.lines().last().is_some_and(|last| last.contains("online")), "{said}");
}

/// The kit's centre, in MQTT 3.1.1, hears a press, receipts it, and is answered.
pub(crate) async fn the_kit_s_centre_is_served(people: &People, port: u16) {
    let mut site = people.site(&[port]);
    let mut wire = site.wire();
    let mut pendant = Pendant::enrolled(site.enroll("00012f", SAFE, DURESS));
    let tls = people.authority.client_tls(&people.centre);
    let mut centre = Centre::start(CentreSettings {
        mqtt: MqttVersion::V311,
        message_interval: Some(Duration::from_secs(1)),
        ..CentreSettings::new("localhost", port, "centre", tls)
    });
    site.start().await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let panic =
        async { while centre.next_event().await.expect("it goes on").data.kind != "panic" {} };
    timeout(SOON, panic).await.expect("the press is heard in time");
    site.until("all receipted and released", |s| s["backlog"] == 0).await;
    site.until("the centre's messages come", |s| s["centre_heard"] == true).await;
    let answer =
        async { while !matches!(centre.next().await, Some(News::Heard(Heard::Answer { .. }))) {} };
    timeout(SOON, answer).await.expect("the gateway answers in time");
}

/// A program that is killed with all that it started.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it; it writes to this file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(log).expect("a log");
        let again = log.try_clone().expect("the same file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .process_group(0)
            .spawn()
            .expect("it can be started");
        Self(child)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().expect("its state").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a page on this machine says, if it answers.
pub(crate) fn page(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A gateway's certificate gives it nothing of another's, by the broker's example.
pub(crate) async fn gateways_are_kept_apart(people: &People, port: u16) {
    let People { authority, gateway, centre, .. } = people;
    let (version, forger, victim) = ("311", (gateway, "gw1-3"), "gw2");
    Rights { version, port, authority, gateway, centre, forger, victim }.judge().await;
}

/// The end of a run under load in which a broker died at these times: everything that was
/// acknowledged has come, once.
pub(crate) async fn nothing_was_lost(
    seed: u64,
    site: Site,
    load: Load,
    clerk: &Clerk,
    deaths: &[Duration],
) {
    let acknowledged = load.finish().await;
    site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let wrong = clerk.judge(&acknowledged).await;
    println!(
        "seed {seed}: {} times killed, {} presses acknowledged, {:?}\n{}",
        deaths.len(),
        acknowledged.len(),
        clerk.counts(),
        clerk.delays(deaths)
    );
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}\n{}", site.log());
    assert!(acknowledged.len() > 200, "there was load");
}
