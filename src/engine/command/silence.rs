//! The centre's absence: it sends a message every 20 s, whatever happens.

use crate::engine::time::Mono;

/// What there is to tell of the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceNews {
    /// No message has come for the configured time although the broker is there.
    Lost,
    /// Messages come again.
    Back,
}

/// Knows whether the centre's messages come. Counts only while the broker is
/// connected: a lost broker is told as that.
#[derive(Clone, Copy, Debug)]
pub struct CentreSilence {
    wait_ms: u64,
    /// When it is too long; `None` while the broker is gone or it was told.
    overdue: Option<Mono>,
    lost: bool,
}

impl CentreSilence {
    /// `wait_ms`: three of the centre's intervals, so that one lost message and one
    /// for the boot before are no trouble. The broker is not connected yet.
    #[must_use]
    pub const fn new(wait_ms: u64) -> Self {
        Self { wait_ms, overdue: None, lost: false }
    }

    /// A broker came or went, and now some broker is there, or none. One that comes and
    /// goes beside another that stays does not begin the wait anew.
    pub fn broker(&mut self, any_up: bool, now: Mono) {
        let overdue = any_up && !self.lost;
        self.overdue = overdue.then(|| self.overdue.unwrap_or(now.plus_ms(self.wait_ms)));
    }

    /// A message came whose commands are `Ok`.
    pub fn heard(&mut self, now: Mono) -> Option<SilenceNews> {
        self.overdue = Some(now.plus_ms(self.wait_ms));
        std::mem::take(&mut self.lost).then_some(SilenceNews::Back)
    }

    /// Whether its messages do not come, and that was told.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// What has become due.
    pub fn handle_time(&mut self, now: Mono) -> Option<SilenceNews> {
        self.overdue.take_if(|overdue| *overdue <= now)?;
        self.lost = true;
        Some(SilenceNews::Lost)
    }

    /// When something becomes due.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Mono> {
        self.overdue
    }
}
