//! Time as the engine knows it: an argument, never a call.

use serde::{Deserialize, Serialize};

/// Microseconds on a clock that never steps, counted from the start of this
/// boot of the daemon. Meaningless across boots.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Mono(u64);

impl Mono {
    /// The start of the boot.
    pub const ZERO: Self = Self(0);

    /// A moment, in microseconds since the start of the boot.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the start of the boot.
    #[must_use]
    pub const fn us(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later; saturates.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// Where the wall clock's reading comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WallSource {
    /// Disciplined by NTP (the kernel says that it is synchronised).
    Ntp,
    /// Set, but nothing vouches for it at present.
    Unverified,
}

impl WallSource {
    /// The name in payloads and in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Unverified => "unverified",
        }
    }
}

/// What the wall clock says, with how far it may be trusted (P9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wall {
    /// Never set since power-up: its reading means nothing.
    Unset,
    /// A reading.
    Set {
        /// Milliseconds since 1970-01-01T00:00:00Z.
        unix_ms: i64,
        /// Half-width of the interval in which true time lies, in milliseconds.
        uncertainty_ms: u32,
        /// Who vouches for it.
        source: WallSource,
    },
}

/// The moment at which an input is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Steady time.
    pub mono: Mono,
    /// Wall time at the same moment.
    pub wall: Wall,
}

impl Now {
    /// The wall clock's reading at `earlier`, reckoned back from this moment.
    #[must_use]
    pub fn wall_at(self, earlier: Mono) -> Wall {
        match self.wall {
            Wall::Unset => Wall::Unset,
            Wall::Set { unix_ms, uncertainty_ms, source } => Wall::Set {
                unix_ms: unix_ms.saturating_sub_unsigned(self.mono.ms_since(earlier)),
                uncertainty_ms,
                source,
            },
        }
    }
}
