//! What stands around the engine in a rig: the medium, brokers, and what the centre
//! and the site see. And how a gateway is set up there.

use pendant_gateway::engine::journal::Limits;
use pendant_gateway::engine::lamp::Lamps;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::policy::Policies;
use pendant_gateway::engine::seam::{BrokerId, DiskDone, DiskFault, DiskOp, Publish};
use pendant_gateway::engine::settings::{Chance, DeliverySettings, LinkSettings, Settings};
use pendant_protocol::Slot;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The medium: what was synced, and what goes wrong.
#[derive(Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<u32, Vec<u8>>,
    pub fault: Option<DiskFault>,
    pub files_max: Option<usize>,
    /// A commit takes this long, microseconds.
    pub commit_us: u64,
    pub commits: u64,
}

impl Disk {
    pub(super) fn carry_out(&mut self, operation: &DiskOp) -> DiskDone {
        match operation {
            DiskOp::Allocate { ticket, file, bytes } => {
                let full = self.files_max.is_some_and(|max| self.files.len() >= max);
                if let Some(fault) = self.fault.or(full.then_some(DiskFault::Full)) {
                    return DiskDone::Failed(*ticket, fault);
                }
                self.files.insert(*file, vec![0; *bytes as usize]);
                DiskDone::Allocated(*ticket)
            }
            DiskOp::Commit { ticket, file, offset, bytes } => {
                if let Some(fault) = self.fault {
                    return DiskDone::Failed(*ticket, fault);
                }
                self.commits += 1;
                let at = *offset as usize;
                self.files.get_mut(file).expect("allocated")[at..at + bytes.len()]
                    .copy_from_slice(bytes);
                DiskDone::Committed(*ticket)
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                let at = *offset as usize;
                let found = self.files.get(file).and_then(|f| f.get(at..at + *bytes as usize));
                match found {
                    Some(found) => DiskDone::Read(*ticket, found.to_vec()),
                    None => DiskDone::Failed(*ticket, DiskFault::Io),
                }
            }
        }
    }
}

/// What the broker does with an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Take,
    Refuse(u8),
    /// Refuse, then close the connection (mosquitto 2.0).
    RefuseAndClose(u8),
    /// Close the connection without a word.
    Close,
    /// Never answer.
    Silence,
}

/// A broker, and the centre behind it.
pub struct Broker {
    pub up: bool,
    /// It accepts connections.
    pub there: bool,
    /// The centre hears and receipts what it takes.
    pub centre_there: bool,
    pub answer: fn(&Publish) -> Answer,
    pub(super) offered: BTreeSet<u64>,
}

impl Broker {
    pub(super) fn new() -> Self {
        Self {
            up: false,
            there: true,
            centre_there: true,
            answer: |_| Answer::Take,
            offered: BTreeSet::new(),
        }
    }
}

/// An event as the centre got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at_us: u64,
    pub broker: BrokerId,
    pub topic: String,
    pub wire_bytes: usize,
    pub json: Value,
}

impl Seen {
    pub fn kind(&self) -> &str {
        self.json["data"]["kind"].as_str().expect("every event has a kind")
    }

    pub fn id(&self) -> &str {
        self.json["id"].as_str().expect("every event has an id")
    }

    pub fn boot(&self) -> &str {
        self.json["data"]["boot"].as_str().expect("every event has a boot")
    }

    pub fn lane(&self) -> &str {
        self.json["data"]["lane"].as_str().expect("every event has a lane")
    }

    pub fn number(&self) -> u64 {
        self.json["data"]["number"].as_u64().expect("every event has a number")
    }
}

/// What an observer on site could have recorded: when, what kind of traffic, how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteTrace {
    Downlink {
        at_us: u64,
        link: u8,
        bytes: usize,
        /// When it leaves if the link is receiving then.
        or_us: Option<u64>,
        /// When the link is asked to send it.
        asked_us: u64,
    },
    Commit {
        at_us: u64,
        file: u32,
        offset: u32,
        bytes: usize,
    },
    Read {
        at_us: u64,
        file: u32,
        offset: u32,
        bytes: u32,
    },
    Allocate {
        at_us: u64,
        file: u32,
    },
    Uplink {
        at_us: u64,
        broker: BrokerId,
        bytes: usize,
    },
    /// A packet from the broker: an answer to an offer, or what the centre says.
    FromBroker {
        at_us: u64,
        broker: BrokerId,
        bytes: usize,
    },
    /// Enrolments change: files are written, and the log says so.
    Enrol {
        at_us: u64,
    },
    Notice {
        at_us: u64,
        notice: Notice,
    },
    Lamps {
        at_us: u64,
        lamps: Lamps,
    },
    /// The daemon wakes by itself, which costs the processor some power.
    Wakes {
        at_us: u64,
    },
}

/// Whether an event is of this kind.
pub fn is(publish: &Publish, kind: &str) -> bool {
    let text = String::from_utf8_lossy(&publish.payload);
    text.contains(&format!("\"kind\":\"{kind}\""))
}

pub(super) fn trace_of(operation: &DiskOp, at_us: u64) -> SiteTrace {
    match operation {
        DiskOp::Allocate { file, .. } => SiteTrace::Allocate { at_us, file: *file },
        DiskOp::Commit { file, offset, bytes, .. } => {
            SiteTrace::Commit { at_us, file: *file, offset: *offset, bytes: bytes.len() }
        }
        DiskOp::Read { file, offset, bytes, .. } => {
            SiteTrace::Read { at_us, file: *file, offset: *offset, bytes: *bytes }
        }
    }
}

pub const LINKS: u8 = 2;

pub fn settings() -> Settings {
    let name = |text: &str| Name::new(text).expect("a valid name");
    Settings {
        site: name("site"),
        gateway: name("gw1"),
        slot: Slot::new(3).expect("a valid slot"),
        chance: Chance::Either,
        brokers: vec![name("first")],
        links: (0..LINKS)
            .map(|n| LinkSettings {
                name: name(&format!("rx{n}")),
                acknowledges: true,
                speech: Default::default(),
            })
            .collect(),
        lorawan: None,
        policies: Policies::default(),
        devices: BTreeMap::new(),
        delivery: DeliverySettings {
            receipts: true,
            receipt_wait_ms: 60_000,
            escalate_after_ms: 60_000,
            release_interval_ms: 20_000,
            drain_per_s_max: None,
        },
        centre: pendant_gateway::engine::settings::CentreSettings {
            silence_ms: 1_000_000_000_000,
            keys: Default::default(),
        },
        journal: Limits { files_max: 16, files_reserved: 4 },
    }
}
