//! What the operator's desk bears: events a second and the way from a press to its
//! receipt, over floors of the same run. Through mosquitto, with TLS on both sides; and
//! from a source that has no other work than to send, which is what the desk bears itself.
//!
//! `cargo bench -p pendant-kit --bench watch [FOLDER]` prints lines `name value unit`; the
//! desk's state is kept in FOLDER, by default in the folder for temporary files.

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../../tests/support/mosquitto.rs"]
mod mosquitto;

use bytes::BytesMut;
use mosquitto::{Authority, Identity, Mosquitto, VALID};
use pendant_kit::centre::{Centre, CentreSettings, EVENT_WIRE_BYTES, Since};
use pendant_kit::pki::{Leaf, Pki};
use pendant_kit::watch::{Desk, Lines, Settings, Show, Store, Told, UnixMs, run};
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Packet, PubAck, Publish, SubAck,
    SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{self, QoS};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::ServerName;
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const EVENTS: u64 = 100_000;
const PRESSES: usize = 3_000;
/// The window of `docs/watch.md`. Without a line in the log for each packet: writing them
/// costs the broker, and reading them costs this process, as much as the events.
const SETTINGS: &str = "log_type none\nlog_type information\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 1024\nmax_queued_messages 1000000\n";
const RECEIPT: &str = r#"{"received":"0190a1b2-c3d4-8e5f-9a0b-000000000000","boot":"00ff"}"#;

struct Rig {
    authority: Authority,
    broker: Mosquitto,
    folder: PathBuf,
}

fn topic(gateway: &str, rest: &str) -> String {
    format!("lonework/v1/plant/{gateway}/{rest}")
}

/// An event as long as a gateway's, with the fields of one.
fn event(gateway: &str, kind: &str, number: u64) -> String {
    let lane = if kind == "heartbeat" { "routine" } else { "urgent" };
    let text = format!(
        r#"{{"specversion":"1.0","id":"0190a1b2-c3d4-8e5f-9a0b-{number:012x}","source":"/lonework/plant/{gateway}","type":"lonework.v1.{kind}","subject":"pendant/{pendant:06x}","time":"2026-01-02T03:04:05.678Z","datacontenttype":"application/json","data":{{"lane":"{lane}","kind":"{kind}","covert":false,"test":false,"boot":"00000000000000ff","room":"{lane}","number":{number},"clock":{{"source":"ntp","uncertainty_ms":24}},"mono_ms":61250,"replayed":false,"delay_ms":3,"pendant":"{pendant:06x}","enrolment":"5afe000000000001","wearer":"nurse-7","counter":{number},"authentication":"aes-ccm-64","fresh":true,"battery_percent":85,"place":7,"link":"lora","rssi_dbm":-107,"snr_db":-3.25,"frequency_hz":868100000,"spreading_factor":10,"frequency_error_hz":-1240}}}}"#,
        pendant = number % 200,
    );
    let length = EVENT_WIRE_BYTES - topic(gateway, "event/").len() - lane.len();
    format!("{text:<length$}")
}

impl Rig {
    fn identity(&self, name: &str) -> Identity {
        self.authority.issue(name, &[], VALID)
    }

    fn client(&self, name: &str, clean: bool) -> (AsyncClient, EventLoop) {
        let who = self.identity(name);
        let tls = self.authority.client_tls(&who);
        let mut options = MqttOptions::new(name, "localhost", self.broker.port);
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)))
            .set_keep_alive(Duration::from_secs(60))
            .set_clean_start(clean)
            .set_session_expiry_interval(Some(3600))
            .set_receive_maximum(Some(1024));
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        AsyncClient::new(options, 4096)
    }

    /// What the broker, which has one thread, has worked so far.
    fn broker_cpu_s(&self) -> f64 {
        let path = format!("/proc/{}/schedstat", self.broker.process());
        let text = std::fs::read_to_string(path).expect("Linux");
        let ns: f64 = text.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
        ns / 1e9
    }

    async fn stream(&self, name: &str) -> TlsStream<TcpStream> {
        let who = self.identity(name);
        let tls = self.authority.client_tls(&who);
        let socket = TcpStream::connect(("127.0.0.1", self.broker.port)).await.expect("a broker");
        socket.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(tls).connect(name, socket).await.expect("TLS")
    }

    fn centre(&self, name: &str) -> CentreSettings {
        let who = self.identity(name);
        let tls = self.authority.client_tls(&who);
        CentreSettings {
            message_interval: Some(Duration::from_secs(20)),
            since: Since::FirstHeard,
            ..CentreSettings::new("localhost", self.broker.port, name, tls)
        }
    }

    /// Publishes events, and waits until the broker has them all.
    async fn fill(&self) {
        let (requests, mut events) = self.client("gate-1", true);
        let sending = async {
            for number in 1..=EVENTS {
                let payload = event("gate-1", "heartbeat", number);
                let topic = topic("gate-1", "event/routine");
                requests.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("room");
            }
        };
        let acknowledging = async {
            let mut count = 0;
            while count < EVENTS {
                let event = events.poll().await.expect("a connection that lasts");
                count += u64::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
            }
        };
        tokio::join!(sending, acknowledging);
    }

    fn settings(&self, name: &str) -> (Settings, TempDir) {
        let state = tempfile::tempdir_in(&self.folder).expect("a folder");
        let opened = Store::open(state.path(), Since::FirstHeard, 64 << 20).expect("a state");
        let settings = Settings {
            centre: self.centre(name),
            opened: Some(opened),
            operator: "bench".into(),
            grace: Duration::from_secs(30),
        };
        (settings, state)
    }
}

/// Writes JSON nowhere, and counts events.
struct Counts {
    lines: Lines,
    events: Rc<Cell<u64>>,
    until: u64,
    reached: Rc<Notify>,
    up: Rc<Notify>,
}

impl Show for Counts {
    fn tell(&mut self, told: &Told, desk: &Desk, at_ms: UnixMs) {
        self.lines.tell(told, desk, at_ms);
        match told {
            Told::Event { .. } => self.events.set(self.events.get() + 1),
            Told::Up { .. } => self.up.notify_one(),
            _ => {}
        }
        if self.events.get() == self.until {
            self.reached.notify_one();
        }
    }

    fn flush(&mut self, desk: &Desk, at_ms: UnixMs) -> io::Result<Vec<u64>> {
        self.lines.flush(desk, at_ms)
    }

    fn tick(&mut self, desk: &Desk, at_ms: UnixMs) {
        self.lines.tick(desk, at_ms);
    }
}

fn counts(until: u64) -> (Counts, Rc<Notify>, Rc<Notify>) {
    let (reached, up) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
    let lines = Lines::json(Box::new(io::sink()));
    let events = Rc::new(Cell::new(0));
    let counts = Counts { lines, events, until, reached: Rc::clone(&reached), up: Rc::clone(&up) };
    (counts, reached, up)
}

/// Events a second of a subscriber that only acknowledges.
async fn bare_rate(rig: &Rig) -> Rates {
    drop(subscriber(rig, "bare", false).await);
    rig.fill().await;
    let (_requests, mut events) = rig.client("bare", false);
    let begin = Begin::now(rig);
    let mut count = 0;
    while count < EVENTS {
        let event = events.poll().await.expect("a connection that lasts");
        count += u64::from(matches!(event, Event::Incoming(Packet::Publish(_))));
    }
    begin.rates()
}

/// Events a second of a subscriber that receipts and acknowledges each at once and knows
/// nothing else, by hand over one buffer: what this broker bears with receipts.
async fn receipted_rate(rig: &Rig) -> Rates {
    drop(subscriber(rig, "receipted", false).await);
    rig.fill().await;
    let mut stream = rig.stream("receipted").await;
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let connect = Connect {
        keep_alive: 60,
        client_id: "receipted".into(),
        clean_start: false,
        properties: Some(ConnectProperties {
            session_expiry_interval: Some(3600),
            receive_maximum: Some(1024),
            ..ConnectProperties::new()
        }),
    };
    Packet::Connect(connect, None, None).write(&mut output, None).expect("a packet");
    let begin = Begin::now(rig);
    let (mut count, mut acknowledged) = (0, 0);
    while acknowledged < EVENTS {
        stream.write_all_buf(&mut output).await.expect("it writes");
        stream.flush().await.expect("it writes");
        input.reserve(1 << 16);
        assert!(stream.read_buf(&mut input).await.expect("it reads") > 0);
        loop {
            match Packet::read(&mut input, None) {
                Ok(Packet::Publish(publish)) => {
                    let topic = topic("gate-1", "receipt");
                    let mut receipt = Publish::new(topic, QoS::AtLeastOnce, RECEIPT, None);
                    // As many may be open as the events that they answer.
                    receipt.pkid = u16::try_from(count % 1024 + 1).expect("small");
                    receipt.write(&mut output).expect("a packet");
                    PubAck::new(publish.pkid, None).write(&mut output).expect("a packet");
                    count += 1;
                }
                Ok(Packet::PubAck(_)) => acknowledged += 1,
                Ok(_) => {}
                Err(mqttbytes::Error::InsufficientBytes(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    begin.rates()
}

/// Events a second, and the work on each here and at the broker, which does it on one core:
/// what there is without others on the same cores.
#[derive(Clone, Copy)]
struct Rates {
    per_s: f64,
    cpu_us: f64,
    broker_cpu_us: f64,
}

struct Begin<'a> {
    rig: &'a Rig,
    at: Instant,
    cpu_s: f64,
    broker_cpu_s: f64,
}

fn cpu_s() -> f64 {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9
}

impl<'a> Begin<'a> {
    fn now(rig: &'a Rig) -> Self {
        let broker_cpu_s = rig.broker_cpu_s();
        Self { rig, at: Instant::now(), cpu_s: cpu_s(), broker_cpu_s }
    }

    fn rates(&self) -> Rates {
        let count = EVENTS as f64;
        Rates {
            per_s: count / self.at.elapsed().as_secs_f64(),
            cpu_us: (cpu_s() - self.cpu_s) / count * 1e6,
            broker_cpu_us: (self.rig.broker_cpu_s() - self.broker_cpu_s) / count * 1e6,
        }
    }
}

/// Events a second of the desk, from a backlog at the broker until all are shown, durable
/// and receipted.
async fn desk_rate(rig: &Rig) -> Rates {
    let mut centre = Centre::start(rig.centre("desk"));
    while !matches!(centre.next().await, Some(pendant_kit::centre::News::Up { .. })) {}
    centre.stop().await;
    rig.fill().await;
    let (settings, _state) = rig.settings("desk");
    let (mut show, reached, _) = counts(EVENTS);
    let (_lines_in, mut lines) = mpsc::channel(1);
    let begin = Begin::now(rig);
    // What is open at its end is made durable and receipted before it returns.
    run(settings, &mut lines, &mut show, reached.notified()).await.expect("it runs");
    begin.rates()
}

/// Sends events to whoever comes, as many ahead of acknowledgements as mosquitto would,
/// takes receipts, and does nothing else; ends when all is acknowledged and receipted.
async fn source(listener: TcpListener, tls: TlsAcceptor) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut stream = tls.accept(stream).await?;
    let events: Vec<String> =
        (1..=EVENTS).map(|number| event("gate-1", "heartbeat", number)).collect();
    let topic = topic("gate-1", "event/routine");
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let (mut sent, mut acknowledged, mut receipted) = (0_u64, 0_u64, 0_u64);
    let mut is_heard = false;
    while acknowledged < EVENTS || receipted < EVENTS {
        while is_heard && sent < EVENTS && sent - acknowledged < 1024 && output.len() < 1 << 16 {
            let payload = events[usize::try_from(sent).expect("small")].clone();
            let mut publish = Publish::new(&topic, QoS::AtLeastOnce, payload, None);
            publish.pkid = u16::try_from(sent % 1024 + 1).expect("small");
            publish.write(&mut output).expect("a packet");
            sent += 1;
        }
        stream.write_all_buf(&mut output).await?;
        stream.flush().await?;
        if is_heard && sent < EVENTS && sent - acknowledged < 1024 {
            continue;
        }
        input.reserve(1 << 16);
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::Error::other("the desk went away"));
        }
        // Behind the last comes a farewell that this codec cannot read.
        while acknowledged < EVENTS || receipted < EVENTS {
            match Packet::read(&mut input, None) {
                Ok(Packet::Connect(..)) => {
                    let code = ConnectReturnCode::Success;
                    let answer = ConnAck { session_present: false, code, properties: None };
                    answer.write(&mut output).expect("a packet");
                }
                Ok(Packet::Subscribe(subscribe)) => {
                    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
                    let return_codes = vec![granted; subscribe.filters.len()];
                    let answer = SubAck { pkid: subscribe.pkid, return_codes, properties: None };
                    answer.write(&mut output).expect("a packet");
                    is_heard = true;
                }
                Ok(Packet::PubAck(_)) => acknowledged += 1,
                Ok(Packet::Publish(publish)) => {
                    receipted += u64::from(publish.topic.ends_with(b"/receipt"));
                    PubAck::new(publish.pkid, None).write(&mut output).expect("a packet");
                }
                Ok(_) => {}
                Err(mqttbytes::Error::InsufficientBytes(_)) => break,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
    stream.write_all_buf(&mut output).await?;
    stream.flush().await
}

/// Events a second of the desk from that source, which has a thread of its own.
async fn own_rate(rig: &Rig) -> f64 {
    let authority = Pki::new().expect("an authority");
    let server = authority.issue(&Leaf::server()).expect("a certificate");
    let client = authority.issue(&Leaf::client("desk-3")).expect("a certificate");
    let tls = TlsAcceptor::from(authority.server_config(&server).expect("TLS"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("ours");
    let port = listener.local_addr().expect("an address").port();
    let source = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { source(TcpListener::from_std(listener)?, tls).await })
    });
    let (mut settings, _state) = rig.settings("desk-3");
    settings.centre.port = port;
    settings.centre.tls = authority.client_config(&client).expect("TLS");
    let (mut show, reached, _) = counts(EVENTS);
    let (_lines_in, mut lines) = mpsc::channel(1);
    let begin = Begin::now(rig);
    run(settings, &mut lines, &mut show, reached.notified()).await.expect("it runs");
    let rate = begin.rates().per_s;
    source.join().expect("no panic").expect("all is acknowledged and receipted");
    rate
}

/// From each press to its receipt, in order of length.
async fn press_to_receipt(rig: &Rig, gateway: &str) -> Vec<Duration> {
    let (requests, mut events) = rig.client(gateway, true);
    requests.subscribe(topic(gateway, "receipt"), QoS::AtLeastOnce).await.expect("room");
    while !matches!(events.poll().await.expect("a broker"), Event::Incoming(Packet::SubAck(_))) {}
    let mut took = Vec::new();
    for number in 1..=PRESSES as u64 {
        let payload = event(gateway, "session_started", number);
        let topic = topic(gateway, "event/urgent");
        let begin = Instant::now();
        requests.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("room");
        while !matches!(
            events.poll().await.expect("a connection that lasts"),
            Event::Incoming(Packet::Publish(_))
        ) {}
        took.push(begin.elapsed());
        // Presses do not come in a stream.
        let pause = async { while events.poll().await.is_ok() {} };
        drop(tokio::time::timeout(Duration::from_millis(1), pause).await);
    }
    took.sort();
    took
}

/// One that hears all events from now on.
async fn subscriber(rig: &Rig, name: &str, clean: bool) -> (AsyncClient, EventLoop) {
    let (requests, mut events) = rig.client(name, clean);
    requests.subscribe(topic("+", "event/+"), QoS::AtLeastOnce).await.expect("room");
    while !matches!(events.poll().await.expect("a broker"), Event::Incoming(Packet::SubAck(_))) {}
    (requests, events)
}

/// Answers every event at once by a receipt's bytes.
async fn echo((requests, mut events): (AsyncClient, EventLoop)) {
    loop {
        let event = events.poll().await.expect("a connection that lasts");
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let text = String::from_utf8_lossy(&publish.topic).into_owned();
            let gateway = text.split('/').nth(3).expect("a gateway").to_owned();
            let topic = topic(&gateway, "receipt");
            requests.try_publish(topic, QoS::AtLeastOnce, false, RECEIPT).expect("room");
        }
    }
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * share) as usize].as_secs_f64() * 1e6
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::args().skip(1).find(|it| !it.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, |it| Path::new(&it).to_owned());
    std::fs::create_dir_all(&folder).expect("a folder for the desk's state");
    let authority = Authority::new("bench authority");
    let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
    let broker = Mosquitto::start(&authority, &server, SETTINGS).await;
    let rig = Rig { authority, broker, folder };

    let echoing = subscriber(&rig, "echo", true).await;
    let bare = tokio::select! {
        took = press_to_receipt(&rig, "gate-2") => took,
        () = echo(echoing) => unreachable!("it goes on"),
    };
    let (settings, _state) = rig.settings("desk-2");
    let (mut show, _, up) = counts(u64::MAX);
    let (_lines_in, mut lines) = mpsc::channel(1);
    let stop = Notify::new();
    let (desk, ended) = tokio::join!(
        async {
            // To a new session that is told when it is subscribed.
            up.notified().await;
            let took = press_to_receipt(&rig, "gate-3").await;
            stop.notify_one();
            took
        },
        run(settings, &mut lines, &mut show, stop.notified())
    );
    ended.expect("it runs");
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (bare, desk) = (at(&bare, share), at(&desk, share));
        println!("watch.bare_round_trip_{name} {bare:.0} us");
        println!("watch.press_to_receipt_{name} {desk:.0} us");
        println!("watch.press_to_receipt_{name}_ratio {:.2} ratio", desk / bare);
    }

    let bare = bare_rate(&rig).await;
    let receipted = receipted_rate(&rig).await;
    let desk = desk_rate(&rig).await;
    println!("watch.bare_events_per_s {:.0} 1/s", bare.per_s);
    println!("watch.bare_receipted_events_per_s {:.0} 1/s", receipted.per_s);
    println!("watch.events_per_s {:.0} 1/s", own_rate(&rig).await);
    println!("watch.through_mosquitto_events_per_s {:.0} 1/s", desk.per_s);
    println!(
        "watch.through_mosquitto_events_per_s_ratio {:.2} ratio",
        desk.per_s / receipted.per_s
    );
    for (name, rates) in [("bare_", bare), ("bare_receipted_", receipted), ("", desk)] {
        println!("watch.{name}cpu_per_event {:.1} us", rates.cpu_us);
        println!("watch.{name}broker_cpu_per_event {:.1} us", rates.broker_cpu_us);
    }
}
