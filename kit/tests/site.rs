//! A site of 200 pendants in virtual time, under the real driver on a virtual
//! chip: who is heard, and that a seed repeats the run.

use pendant_hal::sim::ether::{Antenna, Ether, Field, Handset, HandsetSettings, Position, Wall};
use pendant_hal::sim::{spawn_radio, sx1262};
use pendant_hal::{LinkCount, LinkEvent, LinkHandle};
use pendant_kit::bench::Memory;
use pendant_kit::pendant::PendantIdentity;
use pendant_kit::sim::RADIO;
use pendant_kit::site::{Site, SiteSettings, Worn};
use pendant_kit::wire;
use pendant_protocol::{
    DownlinkMessage, EnrolmentKey, Instruction, Outcome, PendantId, SealedUplink, Slot,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const PENDANTS: u32 = 200;
const KEY: [u8; 16] = [9; 16];

/// A works of 400 by 300 metres: two halls of metal, an office of brick.
fn works(seed: u64) -> SiteSettings {
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
    SiteSettings {
        radio: RADIO,
        field: Field { exponent: 3.3, walls, seed, ..Field::default() },
        gateway: Position::new(0.0, 0.0),
        area: [Position::new(-200.0, -150.0), Position::new(200.0, 150.0)],
        speed_m_s: 1.2,
        heartbeat: Duration::from_secs(600),
        press: Duration::from_secs(3_600),
        attempts_max: 50,
        seed,
    }
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
        let air = wire::air(&RADIO);
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
    fn of(settings: &SiteSettings) -> Self {
        let ether = Ether::in_field(settings.field.clone());
        let pendants = (1..=PENDANTS).map(|number| {
            let id = PendantId::new(number).expect("a number");
            let key = EnrolmentKey::from_bytes(KEY);
            (PendantIdentity { id, key }, Memory::Forgetful, 0)
        });
        let site = Site::start(settings, &ether, pendants.collect());
        let gateway = Gateway::start(&ether, site.gateway());
        Self { site, gateway }
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_walking_wearers_are_answered() {
    let mut run = Run::of(&works(1));
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
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_run_and_another_does_not() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let mut run = Run::of(&works(seed));
        run.gateway.work_for(Duration::from_secs(600)).await;
        runs.push((run.site.worn(), run.gateway.frames, run.gateway.failures));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
