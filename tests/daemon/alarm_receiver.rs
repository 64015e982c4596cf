//! From a press to an alarm receiver that others wrote (pysiaalarm), and back to the
//! gateway as a receipt: real daemon, mosquitto, the bridge of the kit.

use crate::end_to_end::World;
use crate::mosquitto::VALID;
use crate::pendant::*;
use crate::receiver::Receiver;
use crate::site::hear;
use pendant_kit::centre::CentreSettings;
use pendant_kit::dc09::{
    BridgeSettings, Cipher, Ended, Format, LinkSettings, Mapping, State, Transport, run,
};
use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The key's characters, as the receiver takes it, and their bytes in hexadecimal digits.
const KEY: (&str, &str) = ("0123456789ABCDEF", "30313233343536373839414243444546");

/// On any port if it is 0.
async fn receiver(port: u16) -> Receiver {
    Receiver::start(&["--account", "2001", "--key", KEY.0, "--port", &port.to_string()]).await
}

/// The code of the next event that it acknowledged, and that message's number.
async fn takes(receiver: &mut Receiver) -> (String, String) {
    let said = receiver.takes().await;
    let text = |field: &str| said[field].as_str().expect("text").to_owned();
    assert_eq!((text("account"), text("message")), ("2001".into(), "303".into()));
    (text("code"), text("sequence"))
}

struct Bridge {
    task: JoinHandle<io::Result<Ended>>,
    stop: oneshot::Sender<()>,
}

impl Bridge {
    fn start(world: &World, receiver_port: u16) -> Self {
        let who = world.authority.issue("centre", &[], VALID);
        let tls = world.authority.client_tls(&who);
        let broker_port = world.site.broker.port;
        let centre = CentreSettings::new("localhost", broker_port, "bridge", tls);
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
    let mut receiver = self::receiver(0).await;
    let port = receiver.port;
    let bridge = Bridge::start(&world, port);
    for (body, code, sequence) in
        [(HEARTBEAT, None, ""), (DISCREET, Some("HA"), "0001"), (PANIC, Some("PA"), "0002")]
    {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
        if let Some(code) = code {
            assert_eq!(takes(&mut receiver).await, (code.to_owned(), sequence.to_owned()));
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
    let mut receiver = self::receiver(port).await;
    let bridge = Bridge::start(&world, port);
    let mut codes = [takes(&mut receiver).await.0, takes(&mut receiver).await.0];
    codes.sort();
    assert_eq!(codes, ["HA", "PA"]);
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    assert_eq!(takes(&mut receiver).await, ("PA".to_owned(), "0005".to_owned()));
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert_eq!(bridge.stop().await, Ended { waiting: 0, refused: 0 });
    assert!(world.site.terminate().success());
}
