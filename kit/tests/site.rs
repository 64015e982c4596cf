//! A site of 200 pendants in virtual time, under the real driver on a virtual
//! chip: who is heard, and that a seed repeats the run.

use pendant_hal::sim::ether::{
    Air, Antenna, Ether, Field, Handset, HandsetSettings, Jamming, Position, Wall,
};
use pendant_hal::sim::waves::Band;
use pendant_hal::sim::{spawn_radio, sx1262};
use pendant_hal::{LinkCount, LinkEvent, LinkHandle};
use pendant_kit::bench::Memory;
use pendant_kit::pendant::PendantIdentity;
use pendant_kit::sim::RADIO;
use pendant_kit::site::{Account, Loss, Site, SiteSettings, Walk, Wearer, Worn};
use pendant_protocol::{
    Body, DownlinkMessage, EnrolmentKey, Instruction, Outcome, PendantId, SealedUplink, Slot,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const PENDANTS: u32 = 200;
const KEY: [u8; 16] = [9; 16];

/// A works of 400 by 300 metres: two halls of metal, an office of brick.
fn works(seed: u64) -> Field {
    let wall = |x: f64, y: f64, to_x: f64, to_y: f64, loss_db| Wall {
        from: Position::new(x, y),
        to: Position::new(to_x, to_y),
        loss_db,
    };
    let hall = |x: f64, y: f64, loss_db: f64| {
        [
            wall(x, y, x + 80.0, y, loss_db),
            wall(x, y + 60.0, x + 80.0, y + 60.0, loss_db),
            wall(x, y, x, y + 60.0, loss_db),
            wall(x + 80.0, y, x + 80.0, y + 60.0, loss_db),
        ]
    };
    let walls =
        [hall(-180.0, -120.0, 20.0), hall(60.0, 40.0, 20.0), hall(-40.0, 60.0, 8.0)].concat();
    Field { exponent: 3.3, walls, seed, ..Field::default() }
}

/// Who walks about all over the works, or where they are told to.
fn wearers(count: u32, walk: &Walk) -> Vec<Wearer> {
    let wearer = |number| Wearer {
        identity: PendantIdentity {
            id: PendantId::new(number).expect("a number"),
            key: EnrolmentKey::from_bytes(KEY),
        },
        memory: Memory::Forgetful,
        remembered: 0,
        attempts_max: 50,
        walk: walk.clone(),
        habits: vec![
            (Body::Heartbeat { place: 0 }, Duration::from_secs(600)),
            (Body::CheckIn { place: 0 }, Duration::from_secs(3_600)),
        ],
    };
    (1..=count).map(wearer).collect()
}

/// The real driver hears; what it heard is answered by a transmitter of its own
/// at the same antenna.
struct Gateway {
    _link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    answers: mpsc::Sender<(Instant, Vec<u8>)>,
    salt: u16,
    frames: u32,
    failures: u32,
}

impl Gateway {
    fn start(ether: &Ether, antenna: &Antenna) -> Self {
        let (chip, _) = sx1262::at(ether, antenna, sx1262::BOARD);
        let (sender, events) = mpsc::channel(1024);
        let link = spawn_radio(RADIO, chip, 0, sender);
        let (answers, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(64);
        let air = Air::of(&RADIO);
        let settings = HandsetSettings {
            uplink: air,
            downlink: air,
            power_dbm: 14,
            offset_hz: 0,
            listens: Some(Duration::ZERO),
        };
        let mut transmitter = Handset::new(ether.port_at(antenna), settings);
        tokio::spawn(async move {
            while let Some((at, bytes)) = due.recv().await {
                if at >= Instant::now() {
                    sleep_until(at).await;
                    transmitter.send(&bytes).await;
                }
            }
        });
        Self { _link: link, events, answers, salt: 0, frames: 0, failures: 0 }
    }

    async fn work_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(until, self.events.recv()).await {
            match event.expect("the link lives").1 {
                LinkEvent::Received(reception) => self.answer(&reception.bytes, reception.ended),
                LinkEvent::Counted(LinkCount::PhyCrc(n) | LinkCount::PhyHeader(n)) => {
                    self.failures += n;
                }
                LinkEvent::Down(fault) => panic!("{fault}"),
                _ => {}
            }
        }
    }

    fn answer(&mut self, bytes: &[u8], ended: Instant) {
        // The radio hears the transmitter's answers too.
        let Ok(sealed) = SealedUplink::parse(bytes) else { return };
        self.frames += 1;
        self.salt = self.salt.wrapping_add(1);
        let (key, slot) = (EnrolmentKey::from_bytes(KEY), Slot::new(0).expect("a slot"));
        let message = DownlinkMessage {
            outcome: Outcome::Noted,
            instruction: Instruction::None,
            minutes_left: 0,
        };
        let (id, counter) = (sealed.pendant(), sealed.counter());
        let answer = message.seal(&key.downlink(slot), slot, id, counter, self.salt).to_vec();
        // Too many wait: the pendant repeats.
        drop(self.answers.try_send((ended + Duration::from_secs(1), answer)));
    }
}

struct Run {
    site: Site,
    gateway: Gateway,
}

impl Run {
    fn of(ether: &Ether, seed: u64, wearers: Vec<Wearer>) -> Self {
        let gateway = Antenna::at(Position::new(0.0, 0.0));
        let settings = SiteSettings { radio: RADIO, gateway: gateway.clone(), seed };
        let site = Site::start(&settings, ether, wearers, |_| ());
        let gateway = Gateway::start(ether, &gateway);
        Self { site, gateway }
    }

    fn at_works(seed: u64) -> Self {
        let area = [Position::new(-200.0, -150.0), Position::new(200.0, 150.0)];
        let all = wearers(PENDANTS, &Walk::Wanders { area, speed_m_s: 1.2 });
        Self::of(&Ether::in_field(works(seed)), seed, all)
    }

    fn lost(&self, loss: Loss) -> u64 {
        self.site.account().losses.get(&loss).copied().unwrap_or(0)
    }
}

/// Every transmission was answered or has its reason.
fn adds_up(account: &Account) -> bool {
    account.transmissions == account.answered + account.losses.values().sum::<u64>()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_walking_wearers_are_answered() {
    let mut run = Run::at_works(1);
    run.gateway.work_for(Duration::from_secs(3_600)).await;
    let worn = run.site.worn().into_iter().fold(Worn::default(), Worn::and);
    let share = f64::from(worn.answered) / f64::from(worn.said);
    let Gateway { frames, failures, .. } = run.gateway;
    println!("{worn:?}, answered {share:.4}; {frames} frames heard, {failures} broken");
    // 200 pendants, six heartbeats and a press an hour.
    assert!(worn.said > 1_000, "{worn:?}");
    assert!(share > 0.99, "{worn:?}");
    // Behind the halls, and while the gateway answers others, they repeat.
    assert!(worn.transmissions < worn.said * 3, "{worn:?}");
    let account = run.site.account();
    println!("{account:?}");
    assert!(adds_up(&account), "{account:?}");
    assert_eq!(account.said, u64::from(worn.said));
    for loss in [Loss::OutOfRange, Loss::Collision, Loss::GatewayDeaf] {
        assert!(run.lost(loss) > 0, "{loss}: {account:?}");
    }
    assert_eq!(run.lost(Loss::Noise), 0, "{account:?}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_run_and_another_does_not() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let mut run = Run::at_works(seed);
        run.gateway.work_for(Duration::from_secs(600)).await;
        runs.push((run.site.worn(), run.site.account(), run.gateway.frames, run.gateway.failures));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

/// One pendant, and one thing that goes wrong.
#[tokio::test(start_paused = true)]
async fn what_is_not_answered_has_its_reason() {
    let flat = || Ether::in_field(Field { shadowing_db: 0.0, fading_db: 0.0, ..Field::default() });
    let at = |x_m| wearers(1, &Walk::Stands(Position::new(x_m, 0.0)));
    let hour = Duration::from_secs(3_600);
    let only = |run: &Run, loss: Loss| {
        let account = run.site.account();
        let others = account.losses.iter().any(|(other, count)| *other != loss && *count > 0);
        assert!(run.lost(loss) > 3 && !others && adds_up(&account), "{loss}: {account:?}");
    };
    let mut far = Run::of(&flat(), 1, at(20_000.0));
    far.gateway.work_for(hour).await;
    only(&far, Loss::OutOfRange);

    let ether = flat();
    let band = Band::of(&Air::of(&RADIO));
    let _jammer = ether.jam(&Antenna::default(), band, 20, Jamming::Continuous);
    let mut drowned = Run::of(&ether, 1, at(100.0));
    drowned.gateway.work_for(hour).await;
    only(&drowned, Loss::Noise);

    // A gateway that hears and says nothing.
    let silent = Run::of(&flat(), 1, at(100.0));
    let Run { site, gateway } = silent;
    let answers = mpsc::channel(1).0;
    let mut silent = Run { site, gateway: Gateway { answers, ..gateway } };
    silent.gateway.work_for(hour).await;
    only(&silent, Loss::NotAnswered);

    // The pendant's side is jammed, where the gateway's is not.
    let ether = flat();
    let beside = Antenna::at(Position::new(401.0, 0.0));
    let _jammer = ether.jam(&beside, band, -50, Jamming::Continuous);
    let mut deaf = Run::of(&ether, 1, at(400.0));
    deaf.gateway.work_for(hour).await;
    only(&deaf, Loss::AnswerLost);
}
