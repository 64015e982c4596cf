//! The simulated centre. It sends its message every 20 s, by its clock and by
//! nothing else, and what stands in the message depends on what it has learnt:
//! it tracks, makes pendants move, and closes what it knows to be open.
//!
//! It keeps the rules of `docs/commands.md`, "Commands that show": what can be
//! seen on site depends on nothing that is covert, and goes before what cannot
//! be seen, which would put it off otherwise. One rule it breaks on purpose: it
//! asks pendants to move whose covert incident is open, and the gateway must not
//! let it. But it asks so only in the boot that told the alarm: another boot may
//! not know of an alarm that no journal has. Nor does it ask so when the enrolment has
//! ended meanwhile, and what was open with it.

use super::Seen;
use pendant_protocol::PendantId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Between two messages.
pub const EVERY_US: u64 = 20_000_000;
/// What one message holds.
const COMMANDS_MAX: usize = 8;

/// A centre, and what it knows.
#[derive(Default)]
pub struct Centre {
    /// How it reacts, as a number.
    pub mood: u64,
    /// The gateway's boot, as of its last answer.
    boot: Option<String>,
    learnt: usize,
    known: BTreeSet<String>,
    /// Open covert incidents: counter of each one's newest alarm.
    open: BTreeMap<String, u64>,
    /// Counter of each pendant's newest covert alarm.
    newest: BTreeMap<String, u64>,
    messages: u64,
    commands: u64,
    /// Not answered yet: what can be seen on site, and what cannot.
    seen_on_site: VecDeque<Value>,
    unseen: VecDeque<Value>,
    /// Whom it asks no more to move.
    left_alone: BTreeSet<String>,
    /// Whose covert incident is to be closed, by the message that brings it.
    closings: Vec<(u64, String)>,
    /// What it asked for of its own accord, by kind.
    pub asked: BTreeMap<String, u64>,
    /// How commands were answered.
    pub answers: BTreeMap<String, u64>,
}

impl Centre {
    /// A centre that knows nothing.
    pub fn new(mood: u64) -> Self {
        Self { mood, ..Self::default() }
    }

    /// The gateway's answer. What was answered is not asked again.
    pub fn hear(&mut self, answer: &Value) {
        let boot = answer["boot"].as_str().map(str::to_owned);
        if self.boot != boot {
            self.unseen.retain(|command| !moves(command));
            self.boot = boot;
        }
        for result in answer["results"].as_array().into_iter().flatten() {
            let reason = result["reason"].as_str().or(result["result"].as_str());
            *self.answers.entry(reason.unwrap_or("?").to_owned()).or_default() += 1;
            let open = |command: &Value| command["id"] != result["id"];
            self.seen_on_site.retain(open);
            self.unseen.retain(open);
        }
    }

    /// This pendant's enrolment ends, or begins again.
    pub fn leave_alone(&mut self, pendant: PendantId) {
        let pendant = pendant.to_string();
        self.unseen.retain(|command| !moves(command) || command["pendant"] != pendant.as_str());
        self.left_alone.insert(pendant);
    }

    /// The message that is due: always one, whatever was learnt from `seen`.
    pub fn message(&mut self, now_us: u64, seen: &[Seen]) -> Value {
        for event in &seen[self.learnt..] {
            if self.known.insert(event.id().to_owned()) {
                self.learn(event);
            }
        }
        self.learnt = seen.len();
        self.messages += 1;
        let now = self.messages;
        let closings = std::mem::take(&mut self.closings);
        let (due, later): (Vec<_>, Vec<_>) = closings.into_iter().partition(|(at, _)| *at <= now);
        self.closings = later;
        for (_, pendant) in due {
            if let Some(counter) = self.open.remove(&pendant) {
                self.ask("close", &pendant, json!({ "incident": counter }));
            }
        }
        let commands = self.seen_on_site.iter().chain(&self.unseen).take(COMMANDS_MAX);
        json!({
            "message": format!("0190a1b2-c3d4-7e5f-8a0b-{now:012x}"),
            "boot": self.boot.as_deref().unwrap_or("0000000000000000"),
            "number": now_us,
            "commands": commands.collect::<Vec<_>>(),
        })
    }

    fn learn(&mut self, event: &Seen) {
        let data = &event.json["data"];
        let Some(pendant) = data["pendant"].as_str() else { return };
        let counter = data["counter"].as_u64().unwrap_or_default();
        let chance = mix(self.mood ^ mix(counter) ^ mix(u64::from(event.kind().as_bytes()[0])));
        match event.kind() {
            "duress" | "discreet_panic" | "wrong_pin_repeated" => {
                self.alarmed(pendant, counter, chance);
                if self.boot.as_deref() == Some(event.boot()) && !self.left_alone.contains(pendant)
                {
                    self.disturb(pendant, chance);
                }
            }
            "track_point" => self.follow(pendant, chance),
            "session_ended" | "heartbeat" if chance % 5 == 0 => {
                self.ask("track", pendant, json!({ "on": chance % 2 == 0 }));
            }
            // Everybody on site knows of these, so the reaction may be seen.
            "panic" | "man_down" | "fall" if chance % 2 == 0 => {
                let close = self.command("close", pendant, json!({ "incident": counter }));
                self.seen_on_site.push_back(close);
            }
            "session_started" if chance % 4 == 0 => {
                let wearer = format!("porter-{}", chance % 7);
                let rebind = self.command("rebind", pendant, json!({ "wearer": wearer }));
                self.seen_on_site.push_back(rebind);
            }
            _ => {}
        }
    }

    /// A covert alarm: the centre's console comes alive.
    fn alarmed(&mut self, pendant: &str, counter: u64, chance: u64) {
        self.ask("track", pendant, json!({ "on": true }));
        if chance % 3 == 0 {
            self.ask("listen", pendant, json!({}));
        }
        // A console that was made by somebody else.
        match chance % 7 {
            0 => self.ask("dance", pendant, json!({})),
            1 => self.ask("listen", pendant, json!({ "on": true })),
            2 => self.ask("track", "00ffff", json!({ "on": true })),
            3 if !self.left_alone.contains(pendant) => {
                self.ask("led", pendant, json!({ "expires": "2001-01-01T00:00:00Z" }));
            }
            _ => {}
        }
        // A closing that was asked for before this alarm was known is not meant for it.
        let closes = |it: &Value| it["kind"] == "close" && it["pendant"] == pendant;
        self.unseen.retain(|command| !closes(command));
        let newest = self.newest.entry(pendant.to_owned()).or_default();
        *newest = counter.max(*newest);
        if self.open.insert(pendant.to_owned(), *newest).is_none() {
            self.closings.push((self.messages + 2 + chance % 5, pendant.to_owned()));
        }
    }

    /// Nothing may move in this hand.
    fn disturb(&mut self, pendant: &str, chance: u64) {
        let moves = if chance % 2 == 0 { "vibrate" } else { "led" };
        for _ in 0..chance % 4 {
            self.ask(moves, pendant, json!({}));
        }
    }

    fn follow(&mut self, pendant: &str, chance: u64) {
        match chance % 6 {
            0 => self.ask("track", pendant, json!({ "on": chance % 4 == 0 })),
            1 => {
                let wrong = json!({ "incident": 4_000_000_000u32 });
                self.ask("close", pendant, wrong);
            }
            _ => {}
        }
    }

    fn ask(&mut self, kind: &str, pendant: &str, more: Value) {
        let command = self.command(kind, pendant, more);
        self.unseen.push_back(command);
    }

    fn command(&mut self, kind: &str, pendant: &str, more: Value) -> Value {
        *self.asked.entry(kind.to_owned()).or_default() += 1;
        self.commands += 1;
        let id = format!("0190a1b2-c3d4-7e5f-8a0c-{:012x}", self.commands);
        let mut command = json!({ "id": id, "kind": kind, "pendant": pendant });
        for (key, value) in more.as_object().into_iter().flatten() {
            command[key] = value.clone();
        }
        command
    }
}

/// Whether a command makes a pendant move.
fn moves(command: &Value) -> bool {
    command["kind"] == "vibrate" || command["kind"] == "led"
}

/// Spreads a number over all others (splitmix64's last step).
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}
