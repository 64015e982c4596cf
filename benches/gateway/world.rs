//! The engine alone: a disk that answers at once, and a broker that takes at once
//! or is not there.

use crate::Outcome;
use pendant_gateway::engine::journal::recover::{Replay, Survey};
use pendant_gateway::engine::journal::{JournalKey, Limits};
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::lorawan::Plan;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::policy::Policies;
use pendant_gateway::engine::seam::{
    BrokerId, BrokerInput, DiskDone, DiskOp, Input, LinkId, Output, Signal, TransmitOutcome,
};
use pendant_gateway::engine::settings::{Chance, DeliverySettings, LinkSettings, Settings};
use pendant_gateway::engine::time::{Mono, Now, Wall, WallSource};
use pendant_gateway::engine::{Gateway, Seed};
use pendant_protocol::Slot;
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;
/// Between frames.
const STEP_US: u64 = 1_000;

/// Where the journal's operations go.
pub(crate) trait Disk {
    fn carry_out(&mut self, operation: DiskOp) -> io::Result<DiskDone>;
}

/// Segment files in memory.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<u32, Vec<u8>>);

impl Disk for Memory {
    fn carry_out(&mut self, operation: DiskOp) -> io::Result<DiskDone> {
        Ok(match operation {
            DiskOp::Allocate { ticket, file, bytes } => {
                self.0.insert(file, vec![0; bytes as usize]);
                DiskDone::Allocated(ticket)
            }
            DiskOp::Commit { ticket, file, offset, bytes } => {
                let segment = self.0.entry(file).or_default();
                segment[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                DiskDone::Committed(ticket)
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                let segment = self.0.entry(file).or_default();
                DiskDone::Read(ticket, segment[offset as usize..][..bytes as usize].to_vec())
            }
        })
    }
}

pub(crate) struct World<D> {
    gateway: Gateway,
    disk: D,
    broker: bool,
    now_us: u64,
    answers: VecDeque<Input>,
    /// The last downlink.
    pub(crate) answer: Option<Vec<u8>>,
}

impl<D: Disk> World<D> {
    /// A gateway with an empty journal.
    pub(crate) fn new(disk: D, keyring: &Keyring, key: JournalKey, broker: bool) -> Outcome<Self> {
        Self::with(disk, keyring, key, broker, settings()?)
    }

    /// The same, on a site with these settings.
    pub(crate) fn with(
        disk: D,
        keyring: &Keyring,
        key: JournalKey,
        broker: bool,
        settings: Settings,
    ) -> Outcome<Self> {
        let replay = Replay::new(Survey::new().plan()?, key);
        let (gateway, _) = Gateway::recover(settings, keyring, Seed([7; 32]), now_at(0), replay)?;
        let mut world =
            Self { gateway, disk, broker, now_us: 0, answers: VecDeque::new(), answer: None };
        world.carry_on()?;
        if broker {
            world
                .answers
                .push_back(Input::Broker(BrokerId(0), BrokerInput::Up { in_flight_max: 256 }));
            world.carry_on()?;
        }
        Ok(world)
    }

    /// One frame, and everything that follows from it.
    pub(crate) fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.now_us += STEP_US;
        self.heard(LinkId(0), bytes)
    }

    /// One frame that so many links hear at once.
    pub(crate) fn frame_heard_by(&mut self, links: u8, bytes: &[u8]) -> io::Result<()> {
        self.now_us += STEP_US;
        (0..links).try_for_each(|link| self.heard(LinkId(link), bytes))
    }

    /// Nothing but time goes by.
    pub(crate) fn wait_ms(&mut self, ms: u64) -> io::Result<()> {
        self.now_us += ms * 1_000;
        self.answers.push_back(Input::Timer);
        self.carry_on()
    }

    fn heard(&mut self, link: LinkId, bytes: &[u8]) -> io::Result<()> {
        let ended = Mono::from_us(self.now_us);
        let signal = Signal {
            rssi_dbm: Some(-101),
            frequency_hz: Some(868_100_000),
            spreading_factor: Some(10),
            ..Signal::default()
        };
        self.answers.push_back(Input::Frame { link, ended, signal, bytes: bytes.to_vec() });
        self.carry_on()
    }

    /// The engine, without the world.
    pub(crate) fn into_engine(self) -> Gateway {
        self.gateway
    }

    /// Events that are not delivered yet.
    pub(crate) fn backlog(&self) -> u64 {
        self.gateway.status().backlog
    }

    fn carry_on(&mut self) -> io::Result<()> {
        loop {
            while let Some(output) = self.gateway.poll_output() {
                match output {
                    Output::Disk(operation) => {
                        let done = self.disk.carry_out(operation)?;
                        self.answers.push_back(Input::Disk(done));
                    }
                    Output::Publish(publish) if self.broker => {
                        let taken = BrokerInput::Taken(publish.id);
                        self.answers.push_back(Input::Broker(BrokerId(0), taken));
                    }
                    Output::Transmit(transmit) => {
                        self.answer = Some(transmit.frame);
                        let (link, outcome) = (transmit.link, TransmitOutcome::Sent);
                        self.answers.push_back(Input::TransmitDone { link, outcome });
                    }
                    Output::Publish(_)
                    | Output::Answer(_)
                    | Output::Enrol(_)
                    | Output::Tell(_)
                    | Output::Stopped => {}
                }
            }
            let Some(answer) = self.answers.pop_front() else { return Ok(()) };
            self.gateway.handle(now_at(self.now_us), answer);
        }
    }
}

fn now_at(us: u64) -> Now {
    let unix_ms = EPOCH_MS.saturating_add_unsigned(us / 1000);
    let wall = Wall::Set { unix_ms, uncertainty_ms: 50, source: WallSource::Ntp };
    Now { mono: Mono::from_us(us), wall }
}

/// A link that answers.
pub(crate) fn link(number: u8) -> Outcome<LinkSettings> {
    Ok(LinkSettings {
        name: Name::new(&format!("link-{number}"))?,
        acknowledges: true,
        speech: Default::default(),
    })
}

/// A site with one link.
pub(crate) fn settings() -> Outcome<Settings> {
    Ok(Settings {
        site: Name::new("ward-3")?,
        gateway: Name::new("gw1")?,
        slot: Slot::new(1).ok_or("a valid slot")?,
        chance: Chance::Either,
        links: vec![link(0)?],
        lorawan: Some(Plan::Eu868),
        policies: Policies::default(),
        devices: BTreeMap::new(),
        brokers: vec![Name::new("bench")?],
        delivery: DeliverySettings {
            escalate_after_ms: 30_000,
            drain_per_s_max: None,
            receipts: false,
            receipt_wait_ms: 60_000,
            release_interval_ms: 20_000,
        },
        centre: pendant_gateway::engine::settings::CentreSettings {
            silence_ms: 60_000,
            keys: Default::default(),
        },
        journal: Limits { files_max: 2048, files_reserved: 8 },
    })
}
