//! What is answered to the control socket and to the local page: apparent facts alone.

use super::{Daemon, LinkState};
use crate::engine::certificate::Expiry;
use crate::engine::seam::{BrokerId, Input, LinkId};
use crate::engine::time::Wall;
use crate::engine::{LastTest, TestFate, TestRefusal};
use crate::shell::control::{Asked, Question};
use crate::shell::lamps::LampPanel;
use crate::shell::uplink::UplinkHandle;
use crate::shell::{certificate_words, journal_words};
use pendant_hal::radio::account::Balance;
use serde_json::{Value, json};
use std::time::Duration;

impl Daemon {
    pub(super) fn answer(&mut self, asked: Asked) {
        let answer = match asked.question {
            Question::Status => self.status(),
            Question::Survey => {
                let mut answer = self.survey.rows(self.clock.now().mono, self.teller.links());
                answer["boot"] = boot_text(self.engine.status().boot).into();
                answer
            }
            Question::Page => self.page.about(),
            Question::PageCode => self.page.code(),
            Question::Test => self.test(),
            Question::Log(order) => self.log.order(order),
            Question::Reload => match self.reload() {
                Ok(pendants) => json!({ "pendants": pendants }),
                Err(error) => json!({ "error": error }),
            },
        };
        // Who asked may have gone away.
        drop(asked.answer.send(answer));
    }

    /// A test alarm of the gateway itself. Who asks is answered at once; `status` says
    /// what becomes of it.
    fn test(&mut self) -> Value {
        let now = self.clock.now();
        match self.engine.may_test(now) {
            Ok(()) => {
                tracing::info!("test alarm asked for");
                self.input(Input::Test);
                json!({ "number": self.engine.status().last_test.map(|test| test.count) })
            }
            Err(TestRefusal::TooSoon { wait_ms }) => json!({ "error": format!(
                "the last test alarm was a moment ago, or is still on its way; ask again in {} s",
                wait_ms.div_ceil(1000)
            ) }),
            Err(TestRefusal::NoBroker) => json!({
                "error": "no broker is connected, so no test alarm was sent; `pendant-gateway status` \
                          says what is wrong with each"
            }),
        }
    }

    fn status(&mut self) -> Value {
        let engine = self.engine.status();
        let brokers = BrokerId::all().zip(&self.uplinks).map(|(id, (name, uplink))| {
            broker_json(name, uplink, self.engine.ending_certificate(id))
        });
        let brokers: Vec<Value> = brokers.collect();
        let links: Vec<Value> = self
            .link_states
            .iter()
            .map(|(tag, state)| {
                let link = LinkId(*tag);
                state.json(self.links.balance(link), self.engine.suspects_jamming(link))
            })
            .collect();
        let now = self.clock.now();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "boot": boot_text(engine.boot),
            "uptime_s": now.mono.us() / 1_000_000,
            "clock": match now.wall {
                Wall::Unset => json!({ "set": false }),
                Wall::Set { source, uncertainty_ms, .. } => {
                    json!({ "set": true, "source": source.as_str(), "uncertainty_ms": uncertainty_ms })
                }
            },
            "pendants": engine.pendants,
            "backlog": engine.backlog,
            "journal_works": engine.journal_works,
            "journal_at_start": journal_words::words(&self.findings),
            "centre_heard": engine.centre_heard,
            "centre_messages": engine.centre_messages,
            "reception_suspect": engine.reception_suspect,
            "jamming_suspected": engine.jamming_suspected,
            "last_test": engine.last_test.map(|test| test_json(&test)),
            "lamps": self.lamps_json(),
            "brokers": brokers,
            "links": links,
            "log": self.log.json(),
            "history_open": self.history.status().borrow().open,
            "history_trouble": self.history.status().borrow().trouble.as_ref().map(ToString::to_string),
            "served": self.page.status(),
            "counters": self.teller.counters,
        })
    }

    /// Also where no lamp is wired: what one would show.
    fn lamps_json(&self) -> Value {
        let lamps = self.engine.lamps();
        json!({
            "power": lamps.power.as_str(),
            "network": lamps.network.as_str(),
            "reception": lamps.reception.as_str(),
            "fault": self.lamps.as_ref().and_then(LampPanel::trouble),
        })
    }
}

impl LinkState {
    /// `balance` is of what answers on the air. A concentrator measures no channel.
    fn json(&self, balance: Option<Balance>, jamming_suspected: bool) -> Value {
        let mut state = json!({ "name": self.name, "up": self.up, "fault": self.fault });
        if let Some(balance) = balance {
            state["noise_dbm"] = json!(self.noise_dbm);
            state["jamming_suspected"] = json!(jamming_suspected);
            state["deaf_permille"] = json!(balance.deaf_permille);
            state["airtime"] = balance.airtime.map_or(Value::Null, |airtime| {
                json!({
                    "spent_ms": whole_ms(airtime.spent),
                    "allowed_ms_per_hour": whole_ms(airtime.allowed),
                })
            });
        }
        state
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tells the runs of a gateway apart.
fn boot_text(boot: u64) -> String {
    format!("{boot:016x}")
}

/// Of the gateway's own test alarm alone: the fate of no other event is shown (P5).
fn test_json(test: &LastTest) -> Value {
    let asked_unix_s = match test.asked.wall {
        Wall::Unset => None,
        Wall::Set { unix_ms, .. } => Some(unix_ms / 1000),
    };
    let after_ms = match test.fate {
        TestFate::Reached { after_ms } => Some(after_ms),
        TestFate::OnItsWay | TestFate::Stuck => None,
    };
    json!({
        "number": test.count,
        "asked_unix_s": asked_unix_s,
        "on_its_way": test.fate == TestFate::OnItsWay,
        "reached_centre": after_ms.is_some(),
        "after_ms": after_ms,
    })
}

fn broker_json(name: &str, uplink: &UplinkHandle, ending: Option<Expiry>) -> Value {
    let status = uplink.status();
    let status = status.borrow();
    let trouble = status.certificate_trouble.clone();
    let troubles: Vec<String> =
        trouble.into_iter().chain(ending.map(certificate_words::words)).collect();
    json!({
        "name": name,
        "connected": status.connected,
        "fault": status.fault.as_ref().map(ToString::to_string),
        "connections": status.connections,
        "certificate_ends_unix_s": status.certificate_ends_unix_s,
        "certificate_trouble": (!troubles.is_empty()).then(|| troubles.join("; ")),
    })
}
