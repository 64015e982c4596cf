//! What a seed stands for: a site, and a random subset of all that can go wrong.
//! Seeds in which little is wrong reach deeper than seeds in which everything is.

use super::chance::Chance;
use std::collections::BTreeMap;
use std::fmt;

/// One way in which the world can be against us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    Loss,
    Duplication,
    Reordering,
    Corruption,
    /// Recorded frames come again.
    Replay,
    /// Frames of a listener without a key.
    Forgery,
    /// A frame is kept from the gateway, and released when it suits.
    Jamming,
    SlowDisk,
    FailingDisk,
    FullDisk,
    ReadOnlyDisk,
    /// Sectors go bad, or hold something else, while the gateway is off.
    DamageAtRest,
    ConnectionDrops,
    BrokerAway,
    LostPuback,
    DuplicatePuback,
    UnknownPuback,
    /// The broker forgets what it had for either side.
    LostSession,
    Refusal,
    /// One event at which the broker refuses or hangs up, always.
    Poison,
    NobodySubscribes,
    /// Packets stay in a link that looks alive.
    Stall,
    LateReceipts,
    DuplicateReceipts,
    SilentCentre,
    /// No regular message.
    NoMessages,
    ClockUnset,
    ClockSteps,
    Kill,
    PowerCut,
}

impl Fault {
    pub const ALL: [Self; 30] = [
        Self::Loss,
        Self::Duplication,
        Self::Reordering,
        Self::Corruption,
        Self::Replay,
        Self::Forgery,
        Self::Jamming,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::FullDisk,
        Self::ReadOnlyDisk,
        Self::DamageAtRest,
        Self::ConnectionDrops,
        Self::BrokerAway,
        Self::LostPuback,
        Self::DuplicatePuback,
        Self::UnknownPuback,
        Self::LostSession,
        Self::Refusal,
        Self::Poison,
        Self::NobodySubscribes,
        Self::Stall,
        Self::LateReceipts,
        Self::DuplicateReceipts,
        Self::SilentCentre,
        Self::NoMessages,
        Self::ClockUnset,
        Self::ClockSteps,
        Self::Kill,
        Self::PowerCut,
    ];

    /// It comes and goes; the others strike at single things.
    pub fn is_spell(self) -> bool {
        matches!(
            self,
            Self::SlowDisk
                | Self::FailingDisk
                | Self::FullDisk
                | Self::ReadOnlyDisk
                | Self::BrokerAway
                | Self::Refusal
                | Self::NobodySubscribes
                | Self::Stall
                | Self::SilentCentre
                | Self::NoMessages
                | Self::ClockUnset
                | Self::ClockSteps
                | Self::Jamming
        )
    }

    /// How often it strikes, times in a hundred thousand, for each strength.
    fn rates(self) -> [u64; 3] {
        match self {
            Self::Kill | Self::PowerCut => [100, 400, 2_000],
            Self::Poison => [500, 2_000, 5_000],
            Self::DamageAtRest => [20_000, 40_000, 80_000],
            Self::ConnectionDrops => [500, 2_000, 10_000],
            _ => [2_000, 10_000, 30_000],
        }
    }
}

/// A site and what is against it.
#[derive(Clone)]
pub struct Swarm {
    pub seed: u64,
    /// Another number lets the engine draw other numbers; all else remains as it is.
    pub draws: u8,
    pub pendants: u32,
    pub receivers: u8,
    pub brokers: u8,
    /// How long faults go on.
    pub safety_ms: u64,
    /// Mean time between two presses of a wearer.
    pub press_every_ms: u64,
    /// Transmissions of one frame before a pendant gives up.
    pub attempts_max: u32,
    pub receipts: bool,
    /// Events of the backlog a second; 0: as many as the line takes.
    pub drain_per_s: u32,
    pub files_max: u32,
    pub files_reserved: u32,
    pub grace_ms: u64,
    pub heartbeat_interval_ms: u64,
    /// Each with its strength, 0 to 2.
    pub faults: BTreeMap<Fault, usize>,
}

impl Swarm {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, "swarm");
        let many = chance.pick(&[1, 2, 2, 3, 5]);
        let mut faults = BTreeMap::new();
        for fault in Fault::ALL {
            // Drawn for every fault, so that a new one does not shift the others.
            let (strikes, strength) = (chance.below(8) < many, chance.place(3));
            if strikes {
                faults.insert(fault, strength);
            }
        }
        // Damage excuses much, so most seeds are without.
        if chance.below(4) != 0 {
            faults.remove(&Fault::DamageAtRest);
        }
        Self {
            seed,
            draws: 0,
            pendants: u32::try_from(chance.within(1..5)).expect("few"),
            receivers: u8::try_from(chance.within(1..4)).expect("few"),
            brokers: chance.pick(&[1, 1, 2, 3]),
            safety_ms: chance.within(60_000..900_000),
            press_every_ms: chance.pick(&[3_000, 10_000, 30_000]),
            attempts_max: chance.pick(&[2, 5, 50]),
            receipts: chance.below(8) != 0,
            drain_per_s: Chance::of(seed, "drain").pick(&[0, 5, 200]),
            files_max: u32::try_from(chance.within(4..9)).expect("few"),
            files_reserved: u32::try_from(chance.within(1..4)).expect("few"),
            grace_ms: chance.pick(&[5_000, 30_000]),
            heartbeat_interval_ms: chance.pick(&[0, 15_000, 60_000]),
            faults,
        }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains_key(&fault)
    }

    /// How often a fault strikes, times in a hundred thousand.
    pub fn rate(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).map_or(0, |strength| fault.rates()[*strength])
    }

    /// The same site with one thing less against it.
    pub fn without(&self, fault: Fault) -> Self {
        let mut simpler = self.clone();
        simpler.faults.remove(&fault);
        simpler
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pendants (a press in {} ms, {} attempts), {} receivers, {} brokers, {} s, \
             receipts {}, drain {}/s, {} of {} files reserved, grace {} ms, heartbeats {} ms, against it: {:?}",
            self.pendants,
            self.press_every_ms,
            self.attempts_max,
            self.receivers,
            self.brokers,
            self.safety_ms / 1000,
            self.receipts,
            self.drain_per_s,
            self.files_reserved,
            self.files_max,
            self.grace_ms,
            self.heartbeat_interval_ms,
            self.faults,
        )
    }
}
