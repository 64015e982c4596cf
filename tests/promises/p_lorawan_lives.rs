//! LoRaWAN under power cuts, lost frames and lost answers: many lives of one gateway, drawn
//! at random, with devices that are as their firmware is.

use crate::lorawan::*;
use crate::rig::*;
use pendant_gateway::engine::lorawan::DevNonceRule;
#[cfg(feature = "mutants")]
use pendant_gateway::engine::mutant::{Mutant, plant};
use pendant_kit::lorawan::Asks;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    /// A press of which button, confirmed or not, sent so often; which transmissions and
    /// answers are lost.
    Press { who: usize, confirmed: bool, sent: u8, lost: u8, deaf: u8 },
    /// A join; whether the answer is lost.
    Join { who: usize, deaf: bool },
    /// The power goes; which sectors of the commit under way reach the medium.
    PowerCut { reached: u64 },
    /// Both press, so soon after each other; so much later the power goes.
    CutShort { gap_ms: u64, cut_ms: u64, reached: u64 },
    /// The broker goes away, or comes back.
    Broker { there: bool },
    /// Time goes by, ms.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize, any::<bool>(), 1..4u8, any::<u8>(), any::<u8>()).prop_map(
            |(who, confirmed, sent, lost, deaf)| Step::Press { who, confirmed, sent, lost, deaf }
        ),
        2 => (0..2usize, any::<bool>()).prop_map(|(who, deaf)| Step::Join { who, deaf }),
        1 => any::<u64>().prop_map(|reached| Step::PowerCut { reached }),
        2 => (0..300u64, 0..2_500u64, any::<u64>())
            .prop_map(|(gap_ms, cut_ms, reached)| Step::CutShort { gap_ms, cut_ms, reached }),
        1 => any::<bool>().prop_map(|there| Step::Broker { there }),
        1 => (0..20_000u64).prop_map(Step::Wait),
    ]
}

/// Whether a downlink acknowledged, and the application's port and bytes.
type Text = (bool, Option<(u8, Vec<u8>)>);

/// What the devices know of it all.
#[derive(Default)]
struct Account {
    /// Presses that were acknowledged: pendant and how many it has made until then.
    owed: BTreeSet<(u32, u32)>,
    /// Of each session (pendant, DevNonce) and FCntDown, what it said.
    said: BTreeMap<(u32, u16, u32), Text>,
    join_nonces: BTreeMap<u32, u32>,
}

struct World {
    rig: Rig,
    buttons: [Button; 2],
    account: Account,
    /// Presses made, of each button.
    presses: [u32; 2],
}

impl World {
    fn new() -> Self {
        let buttons = [Button::new(1, DevNonceRule::Random), Button::new(2, DevNonceRule::Rising)];
        let mut rig = off(&buttons.each_ref(), true);
        rig.start();
        rig.run_ms(200);
        Self { rig, buttons, account: Account::default(), presses: [0; 2] }
    }

    fn join(&mut self, who: usize, deaf: bool) -> Result<(), TestCaseError> {
        let button = &mut self.buttons[who];
        let request = button.device.join();
        self.rig.frame(0, &request);
        self.rig.run_ms(6_500);
        for downlink in self.rig.downlinks.drain(..).filter(|_| !deaf) {
            let Some(joined) = button.device.accept(&downlink.frame) else { continue };
            let last = self.account.join_nonces.insert(button.id.get(), joined.join_nonce);
            prop_assert!(last.is_none_or(|last| last < joined.join_nonce), "a JoinNonce twice");
        }
        Ok(())
    }

    /// A press; its number is what its battery says, so that the centre's event names it.
    /// `None` without a session.
    fn frame(&mut self, who: usize, asks: Asks) -> Option<Vec<u8>> {
        let button = &mut self.buttons[who];
        button.device.session.as_ref()?;
        self.presses[who] += 1;
        Some(button.say(&[0x01, 0x75, self.presses[who] as u8, 0xFF, 0x2E, 1], asks))
    }

    fn press(&mut self, who: usize, asks: Asks, times: [u8; 3]) -> Result<(), TestCaseError> {
        let [sent, lost, deaf] = times;
        let Some(frame) = self.frame(who, asks) else { return Ok(()) };
        for n in 0..sent {
            if lost >> n & 1 == 0 {
                self.rig.frame(0, &frame);
            }
            self.rig.run_ms(2_300);
            if deaf >> n & 1 == 0 {
                self.listen(who)?;
            }
            self.rig.downlinks.clear();
        }
        Ok(())
    }

    /// A device hears what was sent of late.
    fn listen(&mut self, who: usize) -> Result<(), TestCaseError> {
        let button = &mut self.buttons[who];
        let nonce = button.device.dev_nonce;
        for downlink in &self.rig.downlinks {
            // Repetitions of one answer are alike; the device takes the first.
            let before = button.session().down;
            let Some(heard) = button.session().hear(&downlink.frame) else { continue };
            prop_assert!(before.is_none_or(|before| before < heard.counter));
            let said = (heard.acknowledges, heard.payload.clone());
            let key = (button.id.get(), nonce, heard.counter);
            let other = self.account.said.insert(key, said.clone());
            prop_assert!(other.is_none_or(|other| other == said), "one FCntDown, two texts");
            if heard.acknowledges {
                self.account.owed.insert((button.id.get(), self.presses[who]));
            }
        }
        Ok(())
    }

    /// The devices repeat what was not acknowledged before the power went.
    fn cut_short(&mut self, gap_ms: u64, cut_ms: u64, reached: u64) -> Result<(), TestCaseError> {
        let frames = [0, 1].map(|who| self.frame(who, CONFIRMED));
        for frame in frames.iter().flatten() {
            self.rig.frame(0, frame);
            self.rig.run_ms(gap_ms);
        }
        self.rig.run_ms(cut_ms);
        let said: Vec<usize> = (0..2).filter(|who| frames[*who].is_some()).collect();
        for who in &said {
            self.listen(*who)?;
        }
        self.rig.downlinks.clear();
        self.power_cut(reached)?;
        for who in said {
            let press = (self.buttons[who].id.get(), self.presses[who]);
            if let Some(frame) =
                frames[who].as_ref().filter(|_| !self.account.owed.contains(&press))
            {
                self.rig.frame(0, frame);
                self.rig.run_ms(2_300);
                self.listen(who)?;
                self.rig.downlinks.clear();
            }
        }
        Ok(())
    }

    fn power_cut(&mut self, reached: u64) -> Result<(), TestCaseError> {
        self.rig.power_cut(|sector| reached >> (sector % 64) & 1 == 1);
        self.rig.start();
        prop_assert_eq!(self.rig.report.expect("started").damaged, 0);
        Ok(())
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Join { who, deaf } => self.join(who, deaf)?,
            Step::Press { who, confirmed, sent, lost, deaf } => {
                let asks = if confirmed { CONFIRMED } else { UNCONFIRMED };
                self.press(who, asks, [sent, lost, deaf])?;
            }
            Step::PowerCut { reached } => self.power_cut(reached)?,
            Step::CutShort { gap_ms, cut_ms, reached } => {
                self.cut_short(gap_ms, cut_ms, reached)?;
            }
            Step::Broker { there: true } => self.rig.broker_back(),
            Step::Broker { there: false } => self.rig.broker_away(),
            Step::Wait(ms) => self.rig.run_ms(ms),
        }
        Ok(())
    }

    /// All is well from now on: what is owed is told, once, and everybody can be heard.
    fn judge(mut self) -> Result<(), TestCaseError> {
        self.rig.broker_back();
        self.rig.run_ms(120_000);
        for who in 0..2 {
            self.join(who, false)?;
            for _ in 0..2 {
                self.press(who, CONFIRMED, [3, 0, 0])?;
                let press = (self.buttons[who].id.get(), self.presses[who]);
                prop_assert!(self.account.owed.contains(&press), "{press:?} is not heard any more");
            }
        }
        self.rig.run_ms(120_000);
        let mut told: BTreeMap<(u32, u32), BTreeSet<String>> = BTreeMap::new();
        for seen in self.rig.seen.iter().filter(|seen| seen.kind() == "panic") {
            let data = &seen.json["data"];
            let pendant = data["pendant"].as_str().expect("a pendant");
            let pendant = u32::from_str_radix(pendant, 16).expect("hexadecimal");
            let press = data["battery_percent"].as_u64().expect("its number") as u32;
            told.entry((pendant, press)).or_default().insert(seen.id().to_owned());
        }
        for press in &self.account.owed {
            prop_assert!(told.contains_key(press), "{press:?} was acknowledged and is lost");
        }
        for (press, ids) in &told {
            prop_assert!(ids.len() == 1, "{press:?} is told as {ids:?}");
        }
        let ids: usize = told.values().map(BTreeSet::len).sum();
        let all: BTreeSet<&String> = told.values().flatten().collect();
        prop_assert_eq!(all.len(), ids, "two presses share an id");
        Ok(())
    }
}

fn live(steps: &[Step], commit_us: u64) -> Result<(), TestCaseError> {
    let mut world = World::new();
    world.rig.disk.commit_us = commit_us;
    for step in steps {
        world.carry_out(step)?;
    }
    world.rig.disk.commit_us = 200;
    world.judge()
}

fn lives() -> impl Strategy<Value = (Vec<Step>, u64)> {
    // Below 100 presses of each, so that each has a number of its own.
    (prop::collection::vec(step(), 1..80), prop_oneof![Just(200), 200..1_500_000u64])
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn what_was_acknowledged_is_told_once_and_no_counter_comes_again((steps, commit_us) in lives()) {
        live(&steps, commit_us)?;
    }
}

/// The judge sees what it is there for.
#[cfg(feature = "mutants")]
#[test]
fn what_is_planted_is_seen() {
    let mutants = [Mutant::AnswerBeforeSync, Mutant::ChanceInEventId];
    for mutant in mutants.into_iter().chain(Mutant::LORAWAN) {
        plant(Some(mutant));
        let mut runner = proptest::test_runner::TestRunner::new(cases(200));
        let seen = runner.run(&lives(), |(steps, commit_us)| live(&steps, commit_us)).is_err();
        plant(None);
        assert!(seen, "{mutant:?} was not seen");
    }
}
