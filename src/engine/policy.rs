//! What the site has decided: times, counts, and what an operator needs to know.
//! One policy for the site; a pendant may have one of its own.

use super::event::Kind;
use super::name::Name;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// What holds for one pendant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From the due time to the overdue alarm, ms. The wearer is reminded meanwhile.
    pub grace_ms: u64,
    /// Wrong PINs in a row from which on each is told as a covert alarm.
    pub wrong_pins_to_alarm: u8,
    /// From a man-down or fall to its alarm, ms; the wearer may cancel meanwhile. 0: at once.
    pub pre_alarm_ms: u64,
    /// Mean time between two heartbeats, ms. 0: the pendant is not supervised.
    pub heartbeat_interval_ms: u64,
    /// Heartbeat intervals without a frame after which supervision is lost.
    pub heartbeats_missed_max: u32,
    /// A panic that anyone may see is told as a discreet one and shown as nothing.
    pub panic_is_covert: bool,
    /// What an operator needs at the moment of an alarm.
    pub response: Response,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace_ms: 30_000,
            wrong_pins_to_alarm: 3,
            pre_alarm_ms: 30_000,
            // Heartbeats leave at exponential intervals, so three means in a row
            // without one happen by chance in one of 20 cases; eight in one of 3000.
            heartbeat_interval_ms: 600_000,
            heartbeats_missed_max: 8,
            panic_is_covert: false,
            response: Response::default(),
        }
    }
}

/// What stands in every urgent event for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The company's procedure for a kind; `procedure_default` for all others.
    pub procedures: BTreeMap<Kind, Name>,
    /// The company's procedure for every other kind.
    pub procedure_default: Option<Name>,
    /// Where to listen in: a `sip:` or `tel:` URI, at most [`LISTEN_IN_BYTES_MAX`] bytes.
    pub listen_in: Option<String>,
    /// Kinds after which a call back is allowed although they are covert, or
    /// forbidden although they are not. Without an entry: never after a covert kind.
    pub do_not_call: BTreeMap<Kind, bool>,
}

/// Longest `listen_in`, so that every event keeps its constant size.
pub const LISTEN_IN_BYTES_MAX: usize = 64;

impl Response {
    /// The procedure for a kind.
    #[must_use]
    pub fn procedure(&self, kind: Kind) -> Option<&Name> {
        self.procedures.get(&kind).or(self.procedure_default.as_ref())
    }

    /// Whether a call back could make it worse.
    #[must_use]
    pub fn do_not_call(&self, kind: Kind) -> bool {
        self.do_not_call.get(&kind).copied().unwrap_or(kind.covert())
    }
}

/// The site's policy and those of single pendants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// For every pendant without its own.
    pub site: Policy,
    /// Pendants with their own.
    pub pendants: BTreeMap<PendantId, Policy>,
}

impl Policies {
    /// What holds for a pendant.
    #[must_use]
    pub fn of(&self, pendant: PendantId) -> &Policy {
        self.pendants.get(&pendant).unwrap_or(&self.site)
    }
}
