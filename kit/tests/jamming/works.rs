//! A works in virtual time: 200 pendants, a gateway's radio under the real driver,
//! people with LoRa of their own, bursts of interference; and the gateway's
//! judgement of the air.

use pendant_gateway::engine::air::{AirNews, AirReport, AirWatch, Rate};
use pendant_gateway::engine::seam::LinkId;
use pendant_gateway::engine::time::Mono;
use pendant_hal::airtime::Shape;
use pendant_hal::sim::chance::Chance;
use pendant_hal::sim::ether::{
    Air, Antenna, Ether, Field, Handset, HandsetSettings, Jammer, Jamming, Position,
};
use pendant_hal::sim::waves::Band;
use pendant_hal::sim::{spawn_radio, sx1262};
use pendant_hal::{LinkEvent, LinkHandle, Reception, Transmission};
use pendant_kit::sim::RADIO;
use pendant_protocol::{Battery, Body, EnrolmentKey, Message, PendantId, SealedUplink, Status};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub(crate) const PENDANTS: u32 = 200;
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(600);
/// Intervals are cut at so many means (docs/protocol.md, section 9).
pub(crate) const MEANS_MAX: f64 = 4.0;
/// Transmissions of a frame that nobody answers, and the end of the second window
/// after each (sections 10 and 11).
const ATTEMPTS: u32 = 5;
const LISTENS: Duration = Duration::from_millis(2_300);

/// Somebody's bursts: how often, and how long, both exponential.
const BURST_EVERY: Duration = Duration::from_secs(60);
const BURST: Duration = Duration::from_secs(1);
/// Others with LoRa on the same frequency, and how often each sends.
const OTHERS: u32 = 6;
const OTHERS_EVERY: Duration = Duration::from_secs(30);

fn place(chance: &mut Chance, half_m: f64) -> Position {
    let (x, y) = (chance.fraction(), chance.fraction());
    Position::new((2.0 * x - 1.0) * half_m, (2.0 * y - 1.0) * half_m)
}

/// The last frame of each pendant that was answered.
type Answered = Arc<Mutex<BTreeMap<u32, u32>>>;

pub(crate) struct Works {
    ether: Ether,
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    begun: Instant,
    watch: AirWatch,
    /// The newest counter of each pendant.
    heard: BTreeMap<PendantId, u32>,
    /// Answers under way, by ticket.
    asked: BTreeMap<u64, (u32, u32)>,
    tickets: u64,
    answered: Answered,
    /// All reports so far.
    pub(crate) reports: Vec<AirReport>,
    /// New frames so far.
    pub(crate) fresh: u32,
    _running: JoinSet<()>,
}

impl Works {
    pub(crate) async fn start(seed: u64) -> Self {
        let ether = Ether::in_field(Field { exponent: 3.3, seed, ..Field::default() });
        let (chip, _) = sx1262::at(&ether, &Antenna::default(), sx1262::BOARD);
        let (sender, mut events) = mpsc::channel(1024);
        let link = spawn_radio(RADIO, chip, 0, sender);
        assert_eq!(events.recv().await, Some((0, LinkEvent::Up)));
        let mut chance = Chance(seed);
        let mut running = JoinSet::new();
        let answered = Answered::default();
        for number in 1..=PENDANTS {
            let id = PendantId::new(number).expect("a number");
            let antenna = Antenna::at(place(&mut chance, 200.0));
            let handset = handset(&ether, &antenna, Air::of(&RADIO));
            running.spawn(wear(id, handset, Arc::clone(&answered), Chance(chance.next())));
        }
        for other in 0..OTHERS {
            // Strangers' frames of the same spreading, and of others.
            let spreading_factor = [9, 7, 12][other as usize % 3];
            let shape = Shape { spreading_factor, ..Air::of(&RADIO).shape };
            let air = Air { sync_word: 0x3444, shape, ..Air::of(&RADIO) };
            let antenna = Antenna::at(place(&mut chance, 400.0));
            running.spawn(stranger(handset(&ether, &antenna, air), Chance(chance.next())));
        }
        running.spawn(bursts(ether.clone(), Chance(chance.next())));
        Self {
            ether,
            link,
            events,
            begun: Instant::now(),
            watch: AirWatch::default(),
            heard: BTreeMap::new(),
            asked: BTreeMap::new(),
            tickets: 0,
            answered,
            reports: Vec::new(),
            fresh: 0,
            _running: running,
        }
    }

    /// Somebody jams from so far away, with so much power over 200 kHz.
    pub(crate) fn jam(&self, jamming: Jamming, power_dbm: i16, distance_m: f64) -> Jammer {
        let antenna = Antenna::at(Position::new(distance_m, 0.0));
        let band = Band { centre_hz: RADIO.frequency_hz, width_hz: 200_000 };
        self.ether.jam(&antenna, band, power_dbm, jamming)
    }

    pub(crate) fn is_suspected(&self) -> bool {
        self.watch.is_suspected()
    }

    /// The first news within a time, and after how long.
    pub(crate) async fn news_within(&mut self, time: Duration) -> Option<(Duration, AirNews)> {
        let begun = Instant::now();
        while let Ok(event) = timeout_at(begun + time, self.events.recv()).await {
            let news = self.take(event.expect("the link lives").1).await;
            if let Some(news) = news {
                return Some((begun.elapsed(), news));
            }
        }
        None
    }

    async fn take(&mut self, event: LinkEvent) -> Option<AirNews> {
        let now = Mono::from_us(self.begun.elapsed().as_micros() as u64);
        match event {
            LinkEvent::Received(reception) => {
                let pendant = self.receive(&reception).await?;
                self.watch.heard(now, pendant)
            }
            LinkEvent::Sent { ticket, .. } => {
                let (pendant, counter) = self.asked.remove(&ticket)?;
                self.answered.lock().expect("no panic").insert(pendant, counter);
                None
            }
            LinkEvent::Air(air) => {
                let failures = air.crc_failures + air.header_failures;
                let report = AirReport { noise_dbm: air.noise_dbm, failures, frames: air.frames };
                self.reports.push(report);
                let silent = self.watch.handle_time(now, expected);
                self.watch.report(now, LinkId(0), report).or(silent)
            }
            LinkEvent::Down(fault) => panic!("{fault}"),
            LinkEvent::Up | LinkEvent::NotSent { .. } | LinkEvent::Counted(_) => None,
        }
    }

    /// Answers, and says whose frame it was if it was a new one.
    async fn receive(&mut self, reception: &Reception) -> Option<PendantId> {
        // Its own answers are no uplinks, and strangers' frames are not received.
        let sealed = SealedUplink::parse(&reception.bytes).ok()?;
        let (pendant, counter) = (sealed.pendant(), sealed.counter());
        self.tickets += 1;
        self.asked.insert(self.tickets, (pendant.get(), counter));
        let at = reception.ended + Duration::from_secs(1);
        let bytes = vec![0x80; 24];
        let answer = Transmission::native(self.tickets, at, bytes);
        self.link.transmit.send(answer).await.expect("the link lives");
        let new = self.heard.insert(pendant, counter) != Some(counter);
        self.fresh += u32::from(new);
        new.then_some(pendant)
    }
}

pub(crate) fn expected() -> Rate {
    Rate::of((0..PENDANTS).map(|_| HEARTBEAT.as_millis() as u64))
}

fn handset(ether: &Ether, antenna: &Antenna, air: Air) -> Handset {
    let settings = HandsetSettings {
        uplink: air,
        downlink: air,
        power_dbm: 14,
        offset_hz: 0,
        listens: Some(Duration::ZERO),
    };
    Handset::new(ether.port_at(antenna), settings)
}

/// Heartbeats, and their repetitions until they are answered.
async fn wear(id: PendantId, mut radio: Handset, answered: Answered, mut chance: Chance) {
    let key = EnrolmentKey::from_bytes([9; 16]).uplink();
    let battery = Battery::from_fourteenths(12).expect("a level");
    let status = Status { battery, case_open: false, charging: false, moving: false };
    for counter in 1.. {
        sleep(chance.pause(HEARTBEAT).min(HEARTBEAT.mul_f64(MEANS_MAX))).await;
        let message = Message { status, echo: 0, body: Body::Heartbeat { place: 0 } };
        let frame = message.seal(&key, id, counter);
        for _ in 0..ATTEMPTS {
            radio.send(&frame).await;
            sleep(LISTENS).await;
            if answered.lock().expect("no panic").get(&id.get()) == Some(&counter) {
                break;
            }
            sleep(Duration::from_secs(1) + Duration::from_secs(3).mul_f64(chance.fraction())).await;
        }
    }
}

async fn stranger(mut radio: Handset, mut chance: Chance) {
    loop {
        sleep(chance.pause(OTHERS_EVERY)).await;
        radio.send(&[0x40; 30]).await;
    }
}

async fn bursts(ether: Ether, mut chance: Chance) {
    let band = Band { centre_hz: RADIO.frequency_hz, width_hz: 600_000 };
    loop {
        sleep(chance.pause(BURST_EVERY)).await;
        let antenna = Antenna::at(place(&mut chance, 300.0));
        let (now, duration) = (Instant::now(), chance.pause(BURST));
        ether.disturb(&antenna, band, 20, now, duration);
        sleep_until(now + duration).await;
    }
}
