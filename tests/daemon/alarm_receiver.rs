//! From a press to an alarm receiver that others wrote (pysiaalarm), and back to the
//! gateway as a receipt: real daemon, mosquitto, the bridge of the kit.

use crate::end_to_end::World;
use crate::mosquitto::VALID;
use crate::pendant::*;
use crate::site::{SOON, hear};
use crate::subscribers::in_project;
use pendant_kit::centre::CentreSettings;
use pendant_kit::dc09::{
    BridgeSettings, Cipher, Ended, Format, LinkSettings, Mapping, State, Transport, run,
};
use serde_json::Value;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The key's characters, as the receiver takes it, and their bytes in hexadecimal digits.
const KEY: (&str, &str) = ("0123456789ABCDEF", "30313233343536373839414243444546");

/// The receiver's program. Dropped, it is killed.
struct Receiver {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Receiver {
    async fn start(port: u16) -> Self {
        let mut child = Command::new(in_project("target/subscribers/python/bin/python"))
            .arg(in_project("tests/subscribers/python/receiver.py"))
            .args(["--account", "2001", "--key", KEY.0, "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the receiver can be started: install python3");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut receiver = Self { _child: child, lines, port };
        let port = receiver.says().await["listening"].as_u64().expect("a port");
        receiver.port = port.try_into().expect("a port");
        receiver
    }

    async fn says(&mut self) -> Value {
        let line = timeout(SOON, self.lines.next_line()).await.expect("a word in time");
        let line = line.expect("text").expect("it goes on; its stderr says why not");
        serde_json::from_str(&line).expect("JSON")
    }

    /// The code of the next event that it acknowledged, and that message's number.
    async fn takes(&mut self) -> (String, String) {
        loop {
            let said = self.says().await;
            if said["type"] != "NULL" {
                let text = |field: &str| said[field].as_str().expect("text").to_owned();
                assert_eq!((text("account"), text("message")), ("2001".into(), "303".into()));
                return (text("code"), text("sequence"));
            }
        }
    }
}

struct Bridge {
    task: JoinHandle<io::Result<Ended>>,
    stop: oneshot::Sender<()>,
}

impl Bridge {
    fn start(world: &World, receiver_port: u16) -> Self {
        let who = world.authority.issue("centre", &[], VALID);
        let tls = pendant_kit::pki::client_config_of_files(
            &world.authority.file(),
            &who.certificate,
            &who.key,
        );
        let broker_port = world.site.broker.port;
        let centre = CentreSettings::new("localhost", broker_port, "bridge", tls.expect("TLS"));
        let settings = BridgeSettings {
            centre,
            mapping: Mapping::new(Format::Sia, "2001").expect("an account"),
            link: LinkSettings {
                receiver: format!("127.0.0.1:{receiver_port}"),
                transport: Transport::Tcp,
                answer_wait: Duration::from_secs(2),
            },
            receiver_number: "0".into(),
            line_number: "0".into(),
            cipher: Some(Cipher::parse(KEY.1).expect("a key")),
            supervision: Duration::from_secs(60),
        };
        let state = State::open(&world.site.path("bridge")).expect("a file");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        Self { task: tokio::spawn(run(settings, state, drop, stopped)), stop }
    }

    async fn stop(self) -> Ended {
        drop(self.stop);
        self.task.await.expect("no panic").expect("a state that can be written")
    }
}

#[tokio::test]
async fn a_press_is_at_the_alarm_receiver_and_only_then_receipted() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    let mut receiver = Receiver::start(0).await;
    let port = receiver.port;
    let bridge = Bridge::start(&world, port);
    for (body, code, sequence) in
        [(HEARTBEAT, None, ""), (DISCREET, Some("HA"), "0001"), (PANIC, Some("PA"), "0002")]
    {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
        if let Some(code) = code {
            assert_eq!(receiver.takes().await, (code.to_owned(), sequence.to_owned()));
        }
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;

    // The receiver is away: pendants are answered, the gateway keeps their events.
    drop(receiver);
    for body in [start(30), pin(DURESS), PANIC] {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
    }
    let status = world.site.until("events are kept", |s| s["backlog"] != 0).await;
    assert!(status["backlog"].as_u64() >= Some(3), "{status}");
    assert_eq!(bridge.stop().await.refused, 0);

    // Bridge and receiver begin anew; what was there before does not come again.
    let mut receiver = Receiver::start(port).await;
    let bridge = Bridge::start(&world, port);
    let mut codes = [receiver.takes().await.0, receiver.takes().await.0];
    codes.sort();
    assert_eq!(codes, ["HA", "PA"]);
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    assert_eq!(receiver.takes().await, ("PA".to_owned(), "0005".to_owned()));
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert_eq!(bridge.stop().await, Ended { waiting: 0, refused: 0 });
    assert!(world.site.terminate().success());
}
