//! Whether somebody jams: a judgement of what the radios report of their channels
//! and of when pendants were heard. What it was measured to find and to mistake
//! stands in `docs/threat-model.md`.
//!
//! Three signs, each enough by itself:
//!
//! 1. **Noise** (of one channel): it is far above its usual level in most of the
//!    last seconds, while no frame is being received.
//! 2. **Failures** (of one channel): many frames begin, and nearly all break.
//! 3. **Loss** (of all links together): nobody is heard for a time in which many
//!    pendants would have been.
//!
//! All of it is apparent on site: whoever has a receiver knows as much, and a
//! discreet panic or a duress PIN is a frame like any other (P5).

mod channel;
mod loss;

use super::seam::LinkId;
use super::time::Mono;
use channel::Channel;
use loss::Loss;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// What a radio reports of one second of its channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AirReport {
    /// Lowest power on the channel while no frame was being received, dBm; `None`
    /// if it was not measured.
    pub noise_dbm: Option<i16>,
    /// Frames whose header or payload failed its checksum.
    pub failures: u32,
    /// Frames that were received whole, whoever sent them.
    pub frames: u32,
}

/// Why jamming is suspected.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Sign {
    /// A channel is noisy.
    Noise,
    /// Frames begin and break.
    Failures,
    /// Nobody is heard.
    Loss,
}

impl Sign {
    /// The name in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Failures => "failures",
            Self::Loss => "loss",
        }
    }
}

/// A change of the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AirNews {
    /// Whose channel; `None` for [`Sign::Loss`].
    pub link: Option<LinkId>,
    /// What was seen first.
    pub sign: Sign,
    /// Whether jamming is suspected now, or no more.
    pub suspected: bool,
    /// The channel's level now, dBm, if it was measured.
    pub noise_dbm: Option<i16>,
    /// The channel's usual level, dBm, if it is known.
    pub usual_dbm: Option<i16>,
}

/// Heartbeats that are expected of all supervised pendants together, in 10^-12 of a
/// frame a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    const SCALE: u64 = 1_000_000_000_000;

    /// The sum of pendants with these mean intervals, ms; 0 is no pendant's.
    pub fn of(intervals_ms: impl Iterator<Item = u64>) -> Self {
        let rates = intervals_ms.filter_map(|ms| Self::SCALE.checked_div(ms));
        Self(rates.fold(0, u64::saturating_add))
    }

    /// How long so many frames take on average, ms; `None` if none come.
    fn ms_for(self, frames: u64) -> Option<u64> {
        frames.saturating_mul(Self::SCALE).checked_div(self.0)
    }
}

/// All channels, and who is heard. Its size is bounded by the number of links.
#[derive(Clone, Debug, Default)]
pub struct AirWatch {
    channels: BTreeMap<LinkId, Channel>,
    loss: Loss,
}

impl AirWatch {
    /// Takes a radio's report.
    pub fn report(&mut self, now: Mono, link: LinkId, report: AirReport) -> Option<AirNews> {
        let channel = self.channels.entry(link).or_default();
        let usual_dbm = channel.usual_dbm();
        let (sign, suspected) = channel.take(now, report)?;
        let noise_dbm = report.noise_dbm;
        Some(AirNews { link: Some(link), sign, suspected, noise_dbm, usual_dbm })
    }

    /// A new frame of a supervised pendant was heard, through whichever link.
    pub fn heard(&mut self, now: Mono, pendant: PendantId) -> Option<AirNews> {
        self.loss.heard(now, pendant).then(|| loss_news(false))
    }

    /// Looks at the time. `expected` is asked for only if the silence is suspicious.
    pub fn handle_time(&mut self, now: Mono, expected: impl FnOnce() -> Rate) -> Option<AirNews> {
        self.loss.handle_time(now, expected).then(|| loss_news(true))
    }

    /// When [`Self::handle_time`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.loss.next_deadline()
    }

    /// A link went: what was before says nothing about what comes. A suspicion stays
    /// until the air is known to be well.
    pub fn link_down(&mut self, link: LinkId) {
        self.channels.entry(link).and_modify(Channel::forget);
        self.loss.forget();
    }

    /// Whether jamming is suspected now.
    #[must_use]
    pub fn is_suspected(&self) -> bool {
        self.loss.is_suspected() || self.channels.values().any(Channel::is_suspected)
    }

    /// Whether this link's channel looks jammed now.
    #[must_use]
    pub fn suspects(&self, link: LinkId) -> bool {
        self.channels.get(&link).is_some_and(Channel::is_suspected)
    }
}

const fn loss_news(suspected: bool) -> AirNews {
    AirNews { link: None, sign: Sign::Loss, suspected, noise_dbm: None, usual_dbm: None }
}

#[cfg(test)]
mod tests;
