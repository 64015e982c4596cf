//! What the engine must be told once: names, slots, budgets. Checked before it
//! gets here (`crate::config`).

use super::claimed::Speech;
use super::command::CentreKeys;
use super::device::Device;
use super::journal::Limits;
use super::lorawan::Plan;
use super::name::Name;
use super::policy::Policies;
use pendant_protocol::{PendantId, Slot};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// One link, by its place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Its name in events.
    pub name: Name,
    /// Whether acknowledgements are sent through it.
    pub acknowledges: bool,
    /// What pendants speak there.
    pub speech: Speech,
}

/// Which of a pendant's two listening windows this gateway answers in, so that
/// two gateways of one site never answer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// The site's only gateway: 1000 ms after the frame, or 2000 ms if that is missed.
    Either,
    /// 1000 ms after the frame.
    First,
    /// 2000 ms after the frame.
    Second,
}

/// How events are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Whether an event is kept until the centre says `received`.
    pub receipts: bool,
    /// How long the centre may take for that, ms.
    pub receipt_wait_ms: u64,
    /// After this long without one, the live stream goes to the next broker as
    /// well, ms.
    pub escalate_after_ms: u64,
    /// How often releases are journalled, ms.
    pub release_interval_ms: u64,
    /// Most events of the backlog a second; `None`: as many as the line takes.
    pub drain_per_s_max: Option<NonZeroU32>,
}

/// The centre's message of constant size, the only carrier of its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CentreSettings {
    /// Without a message for this long the centre counts as lost, ms.
    pub silence_ms: u64,
    /// Keys of which one must have signed; empty: no signature is asked for.
    pub keys: CentreKeys,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The site's name in topics.
    pub site: Name,
    /// The gateway's name in topics.
    pub gateway: Name,
    /// The gateway's slot in downlinks.
    pub slot: Slot,
    /// Which windows it answers in.
    pub chance: Chance,
    /// The brokers' names in events, in order of precedence; at most
    /// [`BROKERS_MAX`](super::seam::BROKERS_MAX).
    pub brokers: Vec<Name>,
    /// The links.
    pub links: Vec<LinkSettings>,
    /// The band plan of LoRaWAN; `None`: its frames are not listened to.
    pub lorawan: Option<Plan>,
    /// What the site has decided, and for which pendants otherwise.
    pub policies: Policies,
    /// Pendants that were bought, with what their signs mean on this site.
    pub devices: BTreeMap<PendantId, Device>,
    /// Delivery.
    pub delivery: DeliverySettings,
    /// The centre.
    pub centre: CentreSettings,
    /// Room for the journal.
    pub journal: Limits,
}
