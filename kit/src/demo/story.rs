//! What happens, in order.

use super::DemoError;
use super::daemon::{self, Installation};
use super::stage::{Record, Stage};
use super::verdict::{Verdict, View, table};
use crate::bench::{self, Memory, PendantHandle};
use crate::broker::{Broker, BrokerSettings};
use crate::centre::{
    CENTRE_WIRE_BYTES, COVERT_ADVICE, Centre, CentreSettings, EVENT_WIRE_BYTES, Event, Heard, News,
};
use crate::pendant::{Answer, Habits, Pendant, Windows};
use crate::pki::{Leaf, Pki};
use crate::sim::{RADIO, outcome_name, parse_enrolment};
use crate::wire::Wire;
use pendant_protocol::{Body, FRAME_BYTES, Instruction, Outcome, PinDigits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The wearers' PINs: safe, then duress.
const ALICE_PINS: [&str; 2] = ["4821", "930576"];
const BOB_PINS: [&str; 2] = ["7264", "185039"];

const START: Body = Body::SessionStart { minutes: 30, place: 7 };
const HEARTBEAT: Body = Body::Heartbeat { place: 7 };

/// Plays the demonstration; whether all was as expected.
///
/// # Errors
/// When it cannot be played to its end.
pub async fn play() -> Result<bool, DemoError> {
    let stage = Arc::new(Stage::new());
    let daemon = daemon::find(&stage).await?;
    let directory = tempfile::Builder::new().prefix("pendant-demo-").tempdir()?;
    let pki = Pki::new()?;
    let server = pki.issue(&Leaf::server())?;
    let broker = Broker::start(BrokerSettings::new(pki.server_config(&server)?)).await?;
    let installation = Installation::write(daemon, directory.path(), &pki, broker.port())?;
    stage.text("Made: an authority, certificates, a broker with mutual TLS, a configuration.");
    let alice = installation.enroll("00012f", "alice", &ALICE_PINS.join("\n")).await?;
    let bob = installation.enroll("0a0001", "bob", &BOB_PINS.join("\n")).await?;
    stage.text("Enrolled: alice's pendant on a serial line, bob's on the radio.");
    stage.heading("The gateway starts");
    stage.titles();
    let (serial, _) = Wire::pty(Some(&installation.port()))?;
    let radio = Wire::radio(&RADIO, &installation.air())?;
    let alice = wear("alice", serial, Windows::default(), &alice)?;
    let airtime = RADIO.shape().frame(FRAME_BYTES as u8);
    let bob = wear("bob", radio, Windows::fitting(airtime), &bob)?;
    let identity = pki.issue(&Leaf::client("centre"))?;
    let tls = pki.client_config(&identity)?;
    let settings = CentreSettings::new("localhost", broker.port(), "centre", tls);
    let (leave, left) = oneshot::channel();
    let watching = tokio::spawn(watch(Arc::clone(&stage), Centre::start(settings), left));
    stage.wait("the centre's connection", |record| record.centre_is_up.then_some(())).await?;
    let gateway = installation.run(&stage)?;
    let centre = Watching { leave, task: watching };
    let mut story = Story { stage, broker, installation, verdict: Verdict::default() };
    story.wait_until_ready().await?;
    story.shifts(&alice).await?;
    story.hidden_press(&bob).await?;
    story.cut(&alice).await?;
    story.stage.heading("The gateway is told to stop");
    gateway.stop().await?;
    story.end(centre).await
}

/// One pendant in its wearer's hand.
struct Worn {
    name: &'static str,
    handle: PendantHandle,
}

fn wear(
    name: &'static str,
    wire: Wire,
    windows: Windows,
    enrolment: &str,
) -> Result<Worn, DemoError> {
    let identity = parse_enrolment(enrolment).map_err(|why| DemoError::Daemon(why.into()))?;
    let habits = Habits { windows, ..Habits::default() };
    let pendant = Pendant::power_up(identity, habits, 0, 0);
    let mut handles = bench::spawn(wire, vec![(pendant, Memory::Forgetful)]);
    Ok(Worn { name, handle: handles.remove(0) })
}

/// The centre's column.
struct Watching {
    leave: oneshot::Sender<()>,
    task: JoinHandle<Vec<String>>,
}

/// Shows and records what the centre hears until it is told to leave; gives
/// what is missing then.
async fn watch(
    stage: Arc<Stage>,
    mut centre: Centre,
    mut left: oneshot::Receiver<()>,
) -> Vec<String> {
    loop {
        let news = tokio::select! {
            news = centre.next() => news,
            _ = &mut left => break,
        };
        let Some(news) = news else { break };
        match news {
            News::Up { .. } => {
                stage.centre("(connected to the broker)", false);
                stage.note(|record| record.centre_is_up = true);
            }
            News::Down(_) => {
                if stage.look(|record| record.centre_is_up) {
                    stage.centre("(the broker is gone)", false);
                }
                stage.note(|record| record.centre_is_up = false);
            }
            News::Heard(heard) => hear(&stage, heard),
            // This centre judges by itself.
            News::Message(_) => {}
            News::Deaf { gateway, .. } => {
                stage.note(|record| record.flaws.push(format!("{gateway} does not answer")));
            }
        }
    }
    let missing = centre.missing().iter().map(ToString::to_string).collect();
    centre.stop().await;
    missing
}

fn hear(stage: &Stage, heard: Heard) {
    match heard {
        Heard::Event { event, again: false, flaws, .. } => {
            let late = match (event.data.replayed, event.data.delay_ms) {
                (true, Some(delay_ms)) => format!(", kept for {delay_ms} ms"),
                _ => String::new(),
            };
            let line = format!("{} - {}{late}", event.headline(), event.who());
            stage.centre(&line, event.is_alarm());
            if event.data.covert && event.is_alarm() {
                stage.centre(COVERT_ADVICE, true);
            }
            stage.note(|record| {
                record.flaws.extend(flaws.iter().map(|flaw| format!("{flaw:?} of {}", event.id)));
                record.events.push(*event);
            });
        }
        Heard::Event { again: true, .. } => {}
        Heard::Answer { answer, flaws, .. } => stage.note(|record| {
            record.flaws.extend(flaws.iter().map(|flaw| format!("{flaw:?} of {answer:?}")));
        }),
        Heard::State { text, .. } => {
            let state: Option<serde_json::Value> = serde_json::from_str(&text).ok();
            let word = state.as_ref().and_then(|state| state.get("state")?.as_str());
            // The broker repeats it whenever the centre comes back.
            if stage.note_state(word.unwrap_or("?")) {
                stage.centre(&format!("gateway {}", word.unwrap_or("says nothing we know")), false);
            }
        }
        Heard::Malformed { topic, why } => {
            stage.note(|record| record.flaws.push(format!("{topic}: {why}")));
        }
    }
}

/// Where a stretch began.
struct Mark {
    site: usize,
    line: usize,
}

struct Story {
    stage: Arc<Stage>,
    broker: Broker,
    installation: Installation,
    verdict: Verdict,
}

impl Story {
    /// Links up, broker connected, its start told and receipted.
    async fn wait_until_ready(&self) -> Result<(), DemoError> {
        for text in ["link=\"serial\" up=true", "link=\"radio\" up=true", "broker connected"] {
            let said =
                |record: &Record| record.site.iter().any(|line| line.contains(text)).then_some(());
            self.stage.wait(text, said).await?;
        }
        let started = |record: &Record| {
            let mut kinds = record.events.iter().map(|event| event.data.kind.as_str());
            kinds.any(|kind| kind == "gateway_started").then_some(())
        };
        self.stage.wait("the gateway's first event", started).await?;
        self.settle().await
    }

    /// Waits until the centre has answered all that it has.
    async fn settle(&self) -> Result<(), DemoError> {
        let events = self.stage.look(|record| record.events.len());
        let receipts = self.broker.wait(|view| {
            let receipts = view.seen().filter(|seen| seen.topic.ends_with("/receipt")).count();
            (receipts >= events).then_some(())
        });
        let in_time = tokio::time::timeout(Duration::from_secs(10), receipts).await;
        in_time.map_err(|_| DemoError::Vain("the centre's receipts".into()))
    }

    /// Says something through a pendant and shows what its wearer sees.
    async fn say(
        &mut self,
        worn: &Worn,
        body: Body,
        expected: Outcome,
    ) -> Result<Answer, DemoError> {
        let said = tokio::time::timeout(Duration::from_secs(20), worn.handle.say(body)).await;
        let seen = said
            .map_err(|_| DemoError::Vain(format!("an answer to {}'s pendant", worn.name)))?
            .map_err(|error| DemoError::Pendant(error.to_string()))?;
        let answer = seen
            .answer
            .ok_or_else(|| DemoError::Vain(format!("an answer to {}'s pendant", worn.name)))?;
        let outcome = outcome_name(answer.message.outcome).replace('_', " ");
        let left = match answer.message.minutes_left {
            0 => String::new(),
            minutes => format!(", {minutes} min left"),
        };
        let instruction = match answer.message.instruction {
            Instruction::None => "",
            Instruction::Remind => ", reminds",
            Instruction::Vibrate => ", vibrates",
            Instruction::Led => ", blinks",
        };
        let sent = if seen.attempts > 1 {
            format!(" (sent {} times)", seen.attempts)
        } else {
            String::new()
        };
        let name = worn.name;
        self.stage.site(&format!("{name}'s pendant: {outcome}{left}{instruction}{sent}"));
        if answer.message.outcome != expected {
            let expected = outcome_name(expected);
            self.verdict.check(format!("{name}'s pendant shows {expected}, not {outcome}"), false);
        }
        Ok(answer)
    }

    /// Says something, and waits until the centre has it and has answered.
    async fn deliver(
        &mut self,
        worn: &Worn,
        body: Body,
        expected: Outcome,
    ) -> Result<Answer, DemoError> {
        let before = self.events_of(worn.name);
        let answer = self.say(worn, body, expected).await?;
        let name = worn.name;
        let came = |record: &Record| {
            let own = |event: &&Event| event.data.wearer.as_deref() == Some(name);
            (record.events.iter().filter(own).count() > before).then_some(())
        };
        self.stage.wait("the event at the centre", came).await?;
        self.settle().await?;
        Ok(answer)
    }

    fn events_of(&self, name: &str) -> usize {
        let own = |event: &&Event| event.data.wearer.as_deref() == Some(name);
        self.stage.look(|record| record.events.iter().filter(own).count())
    }

    fn mark(&self) -> Mark {
        Mark {
            site: self.stage.look(|record| record.site.len()),
            line: self.broker.look(|view| view.seen().count()),
        }
    }

    fn since(&self, mark: &Mark) -> View {
        View {
            site: self.stage.look(|record| record.site[mark.site..].to_vec()),
            line: self.broker.look(|view| {
                // What goes by the clock has one size, whatever happens: see the verdict.
                let sizes = view.seen().skip(mark.line).filter(|seen| !is_clockwork(&seen.topic));
                sizes.map(|seen| (seen.client.clone(), seen.size())).collect()
            }),
        }
    }

    /// One shift ends by the safe PIN, one by the duress PIN.
    async fn shifts(&mut self, alice: &Worn) -> Result<(), DemoError> {
        self.stage.heading("Alice switches her pendant on and tries it");
        // Its first answer lets it prove from now on that its frames are fresh.
        self.deliver(alice, Body::Test { place: 7 }, Outcome::Noted).await?;
        let [safe, duress] = ALICE_PINS;
        self.stage.heading("Alice works alone, and ends her shift with her safe PIN");
        let (safe_view, mut delays) = self.shift(alice, safe).await?;
        self.stage.heading("The same shift, but somebody forces her to end it: her duress PIN");
        let (duress_view, more) = self.shift(alice, duress).await?;
        let what = "Safe and duress PIN";
        self.verdict.same(&self.stage, what, &safe_view, &duress_view);
        delays.extend(more);
        let (first, last) = (delays.iter().min(), delays.iter().max());
        let ms = |delay: Option<&Duration>| delay.map_or(0, Duration::as_millis);
        let (first, last) = (ms(first), ms(last));
        self.verdict.check(
            format!("Answers came {first} to {last} ms after their frames, whatever was said"),
            first >= 1000 && last < 1200,
        );
        Ok(())
    }

    async fn shift(&mut self, alice: &Worn, pin: &str) -> Result<(View, Vec<Duration>), DemoError> {
        let pin = PinDigits::from_digits(pin).expect("the story's PINs are PINs");
        let mark = self.mark();
        let mut delays = Vec::new();
        for (body, expected) in [
            (START, Outcome::SessionStarted),
            (HEARTBEAT, Outcome::Noted),
            (Body::Pin(pin), Outcome::Ended),
            (HEARTBEAT, Outcome::Noted),
        ] {
            delays.push(self.deliver(alice, body, expected).await?.delay);
        }
        Ok((self.since(&mark), delays))
    }

    /// A heartbeat, then the hidden button.
    async fn hidden_press(&mut self, bob: &Worn) -> Result<(), DemoError> {
        self.stage.heading("Bob's pendant sends a heartbeat; then Bob presses the hidden button");
        let mark = self.mark();
        self.deliver(bob, HEARTBEAT, Outcome::Noted).await?;
        let heartbeat = self.since(&mark);
        let mark = self.mark();
        self.deliver(bob, Body::DiscreetPanic { place: 7 }, Outcome::Noted).await?;
        let press = self.since(&mark);
        // The lane stands in the topic, and the payload makes up for its length.
        self.verdict.same(&self.stage, "Heartbeat and discreet panic", &heartbeat, &press);
        Ok(())
    }

    /// The network fails; a press is kept; the network comes back.
    async fn cut(&mut self, alice: &Worn) -> Result<(), DemoError> {
        self.stage.heading("The network is cut; Alice presses panic");
        self.broker.stop().await;
        self.stage
            .wait("the gateway to notice", |record| {
                let gone = |line: &String| line.contains("broker gone");
                record.site.iter().any(gone).then_some(())
            })
            .await?;
        let before = self.events_of(alice.name);
        self.say(alice, Body::Panic { place: 7 }, Outcome::Noted).await?;
        let kept = self.events_of(alice.name) == before;
        self.verdict.check("The press in the outage was acknowledged to its wearer", kept);
        let status = self.installation.status().await?;
        let connected = status["brokers"][0]["connected"].as_bool();
        let words = if connected == Some(false) { "no broker" } else { "BROKER CONNECTED" };
        self.stage.site(&format!("status: {words}; events kept: {}", status["backlog"]));
        self.verdict
            .check("The gateway's status says that there is no broker", connected == Some(false));
        self.stage.heading("The network is back");
        self.broker.resume().await?;
        let name = alice.name;
        let arrived = |record: &Record| {
            let found = record.events.iter().find(|event| {
                event.data.kind == "panic" && event.data.wearer.as_deref() == Some(name)
            });
            found.map(|event| event.data.replayed)
        };
        let replayed = self.stage.wait("the kept press at the centre", arrived).await?;
        self.verdict.check("It reached the centre from the gateway's store", replayed);
        self.settle().await
    }

    /// The summary.
    async fn end(mut self, centre: Watching) -> Result<bool, DemoError> {
        drop(centre.leave);
        let missing = centre.task.await.map_err(|error| DemoError::Vain(error.to_string()))?;
        self.stage.heading("What the centre has");
        let (events, flaws) =
            self.stage.look(|record| (record.events.clone(), record.flaws.clone()));
        self.stage.text(&table(&events));
        self.stage.heading("Verdict");
        let kinds: Vec<(&str, &str)> = events
            .iter()
            .filter_map(|event| Some((event.data.wearer.as_deref()?, event.data.kind.as_str())))
            .collect();
        self.verdict.check(
            format!("Every one of {} things that pendants said is at the centre", STORY.len()),
            kinds == STORY,
        );
        self.verdict.check(
            format!("Nothing is missing, by the gateway's own numbers{}", listed(&missing)),
            missing.is_empty(),
        );
        let sizes = format!("Every event has {EVENT_WIRE_BYTES} bytes on the line");
        self.verdict.check(format!("{sizes}{}", listed(&flaws)), flaws.is_empty());
        let receipts: Vec<usize> = self
            .broker
            .seen()
            .iter()
            .filter(|seen| seen.topic.ends_with("/receipt"))
            .map(crate::broker::Seen::size)
            .collect();
        self.verdict.check(
            format!("Every event was answered alike: {} receipts of one size", receipts.len()),
            receipts.len() >= events.len() && receipts.iter().all(|size| *size == receipts[0]),
        );
        let messages = self.broker.seen();
        let messages = messages.iter().filter(|seen| seen.topic.ends_with("/command"));
        self.verdict.check(
            format!("Every message of the centre has {CENTRE_WIRE_BYTES} bytes on the line"),
            messages.into_iter().all(|seen| seen.size() == CENTRE_WIRE_BYTES),
        );
        Ok(self.verdict.tell(&self.stage))
    }
}

/// What pendants say in the story, as the centre must have it.
const STORY: [(&str, &str); 12] = [
    ("alice", "test"),
    ("alice", "session_started"),
    ("alice", "heartbeat"),
    ("alice", "session_ended"),
    ("alice", "heartbeat"),
    ("alice", "session_started"),
    ("alice", "heartbeat"),
    ("alice", "duress"),
    ("alice", "track_point"),
    ("bob", "heartbeat"),
    ("bob", "discreet_panic"),
    ("alice", "panic"),
];

/// The centre's message and its answer: they come at fixed times.
fn is_clockwork(topic: &str) -> bool {
    topic.ends_with("/command") || topic.ends_with("/answer")
}

fn listed(texts: &[String]) -> String {
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join("; ")) }
}
