//! When a pendant listens.

use std::time::Duration;
use tokio::time::Instant;

/// Two windows, counted from the end of the pendant's own frame. Inside, a
/// downlink must end.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Opens the first window: 1000 ms by the protocol, less a margin.
    pub first: Duration,
    /// Opens the second window: 2000 ms by the protocol, less a margin.
    pub second: Duration,
    /// How long each stays open.
    pub length: Duration,
}

impl Default for Windows {
    /// Open 20 ms early; long enough for the longest downlink (371 ms at SF10)
    /// and half a second of delay on a busy machine.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(980),
            second: Duration::from_millis(1980),
            length: Duration::from_millis(900),
        }
    }
}

impl Windows {
    /// Long enough for downlinks that take `airtime`.
    #[must_use]
    pub fn fitting(airtime: Duration) -> Self {
        let default = Self::default();
        Self { length: default.length.max(airtime + Duration::from_millis(500)), ..default }
    }

    /// Whether what ended at `ended` was heard by a pendant whose frame ended
    /// at `since`.
    #[must_use]
    pub fn contain(&self, since: Instant, ended: Instant) -> bool {
        let after = ended.saturating_duration_since(since);
        let within = |opens: Duration| after >= opens && after < opens + self.length;
        within(self.first) || within(self.second)
    }

    /// When there is nothing left to listen for.
    #[must_use]
    pub fn end(&self, since: Instant) -> Instant {
        since + self.second + self.length
    }
}
