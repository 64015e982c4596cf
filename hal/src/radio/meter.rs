//! What a radio notices of its channel beside the frames that it receives: for
//! whoever asks once a second.

use std::sync::{Arc, Mutex, MutexGuard};

/// One interval of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelReport {
    /// Power on the channel while no frame was being received, dBm; the last
    /// that was measured in the interval.
    pub noise_dbm: Option<i16>,
    /// Frames whose header or payload failed its checksum.
    pub failures: u32,
    /// Frames that were received whole.
    pub frames: u32,
}

/// Counts until it is read. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub struct ChannelMeter(Arc<Mutex<ChannelReport>>);

impl ChannelMeter {
    /// What there was since it was read last.
    pub fn take(&self) -> ChannelReport {
        std::mem::take(&mut self.report())
    }

    pub(super) fn measured(&self, noise_dbm: i16) {
        self.report().noise_dbm = Some(noise_dbm);
    }

    pub(super) fn failed(&self) {
        let mut report = self.report();
        report.failures = report.failures.saturating_add(1);
    }

    pub(super) fn received(&self) {
        let mut report = self.report();
        report.frames = report.frames.saturating_add(1);
    }

    fn report(&self) -> MutexGuard<'_, ChannelReport> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
