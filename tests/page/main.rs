//! The local page in a real browser: Debian's Chromium without a screen looks at the
//! real daemon's page, with a broker, a centre, a serial port and a virtual radio.
//!
//! Needs chromium, node and what `tests/page/install` puts into target/; it is run by
//! `tests/page/run` in the long mode of `tests/run`. What is looked at stands in
//! `browse.js`; screenshots go to target/page.

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/site.rs"]
mod site;

use mosquitto::{Authority, Identity, Mosquitto, VALID, free_port};
use pendant::*;
use pendant_gateway::engine::seam::{LinkId, Signal};
use pendant_gateway::shell::history::{Fact, History, HistoryLimits, Sample};
use pendant_hal::radio::RadioSettings;
use pendant_kit::centre::{Centre, CentreSettings};
use pendant_kit::wire::Wire;
use pendant_protocol::PendantId;
use serde_json::Value;
use site::{BrokerFiles, SOON, Site};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// Far enough for a signal that looks like one.
const RADIO: RadioSettings = RadioSettings { power_dbm: -8, ..pendant_kit::sim::RADIO };
/// A whole session in the browser; some waits of seconds each.
const BROWSING: Duration = Duration::from_secs(180);

/// The site with a page at `listen`, its broker and its centre.
async fn site(listen: &str) -> (Site, Mosquitto, Centre, Authority) {
    let authority = Authority::new("test authority");
    let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
    let mosquitto = Mosquitto::start(&authority, &server, "allow_anonymous true\n").await;
    let Identity { certificate, key } = authority.issue("gw1", &[], VALID);
    let files = BrokerFiles::local(mosquitto.port, authority.file(), certificate, key);
    let site = Site::new(files);
    let who = authority.issue("centre", &[], VALID);
    let tls = authority.client_tls(&who);
    let settings = CentreSettings::new("localhost", mosquitto.port, "centre", tls);
    let centre = Centre::start(settings);
    site.configure(&format!(
        "[page]\nlisten = \"{listen}\"\n\
         [[link]]\nname = \"roof\"\nkind = \"virtual-radio\"\nsocket = \"{}\"\n\
         frequency_hz = {}\nspreading_factor = {}\nbandwidth_hz = {}\n",
        site.path("air").display(),
        RADIO.frequency_hz,
        RADIO.spreading_factor,
        RADIO.bandwidth_hz
    ));
    (site, mosquitto, centre, authority)
}

/// A day in which people came and went, as the daemon would have counted it.
async fn a_day_before(site: &Site) {
    #[expect(clippy::disallowed_methods, reason = "the daemon reads the same clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = now.as_secs();
    let history = History::open(site.path("store/history"), HistoryLimits::default());
    let mut status = history.status();
    status.wait_for(|status| status.open).await.expect("it opens");
    for quarter in 1..96_u64 {
        // Nobody was there for two hours, and the radio once went away.
        if (30..38).contains(&quarter) {
            continue;
        }
        let at = now - quarter * 900;
        let wave = i16::try_from(quarter * 37 % 23).expect("small");
        for (pendant, offset) in [(0x12f, 0), (0x130, 9)] {
            let signal = Signal { rssi_dbm: Some(-84 - offset - wave), ..Signal::default() };
            let pendant = PendantId::new(pendant).expect("a number");
            let fact = Fact::Heard(pendant, signal);
            history.record(Sample { unix_s: at, link: LinkId(1), fact });
            history.record(Sample { unix_s: at, link: LinkId(0), fact });
        }
        if quarter == 29 {
            history.record(Sample { unix_s: at, link: LinkId(1), fact: Fact::LinkLost });
        }
    }
    assert_eq!(history.dropped(), 0);
    history.close().await;
}

/// Node with `browse.js`: it says what it waits for, a line of JSON each.
struct Browsing {
    child: Child,
    input: ChildStdin,
    words: mpsc::UnboundedReceiver<String>,
}

impl Browsing {
    fn start(words: &[&str]) -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = project.join("target/page/node/node_modules");
        assert!(modules.exists(), "{} is missing: run tests/page/install", modules.display());
        let mut child = Command::new("node")
            .env("NODE_PATH", modules)
            .arg(project.join("tests/page/browse.js"))
            .arg(project.join("target/page"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node can be started");
        let input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let (send, words) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        Self { child, input, words }
    }

    /// What it wants or has found next.
    async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(BROWSING, self.words.recv()).await.expect("a word in time");
        let line = line.expect("the browser goes on; its stderr says why not");
        println!("{line}");
        serde_json::from_str(&line).expect("JSON")
    }

    fn done(&mut self) {
        self.input.write_all(b"done\n").expect("it reads");
    }

    fn end(&mut self) {
        assert!(self.child.wait().expect("it ends").success(), "its stderr says what was wrong");
    }
}

impl Drop for Browsing {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_installer_sees_the_gateway_and_walks_with_a_phone() {
    let port = free_port();
    let (mut site, _mosquitto, _centre, _authority) = site(&format!("127.0.0.1:{port}")).await;
    let mut serial = site.wire();
    let mut air = Wire::radio(&RADIO, &site.path("air")).expect("an air");
    let mut alice = Pendant::enrolled(site.enroll("00012f", SAFE, DURESS));
    let mut bob = Pendant::enrolled(site.enroll("000130", SAFE, DURESS));
    a_day_before(&site).await;
    site.start().await;
    site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    site.until("the radio is up", |s| s["links"][1]["up"] == true).await;
    serial.send(&bob.say(HEARTBEAT)).await.expect("the wire holds");
    site.until("it is heard", |s| s["counters"]["frames_heard"] == 1).await;

    let mut browsing = Browsing::start(&["look", &format!("http://127.0.0.1:{port}")]);
    loop {
        let said = browsing.says().await;
        if said["measured"].is_object() {
            continue;
        }
        match said["wants"].as_str() {
            Some("frame") => {
                air.send(&alice.say(HEARTBEAT)).await.expect("the air carries");
                // One of two is lost on the way to the serial receiver.
                serial.send(&alice.say(HEARTBEAT)).await.expect("the wire holds");
            }
            Some("end") => assert!(site.terminate().success()),
            Some(other) => panic!("{other} is not to be had"),
            None => {
                assert_eq!(said["found"], "all", "{said}");
                break;
            }
        }
        browsing.done();
    }
    browsing.end();
}

#[tokio::test]
async fn a_phone_is_let_in_by_its_code() {
    let port = free_port();
    let (mut site, _mosquitto, _centre, _authority) = site(&format!("0.0.0.0:{port}")).await;
    let _serial = site.wire();
    let _air = Wire::radio(&RADIO, &site.path("air")).expect("an air");
    site.start().await;
    let told = site.command(&["page", "code", "--json"]).output().expect("it runs");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let code = told["code"].as_str().expect("a code");
    let fingerprint = told["fingerprint_sha256"].as_str().expect("a fingerprint");
    let address = format!("https://127.0.0.1:{port}");
    let mut browsing = Browsing::start(&["enter", &address, code, fingerprint]);
    let said = tokio::time::timeout(SOON * 3, browsing.says()).await.expect("in time");
    assert_eq!(said["found"], "all", "{said}");
    browsing.end();
}
