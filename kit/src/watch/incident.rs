//! Open incidents: what alarms there are for whom, who heard them, where the pendant was
//! heard since, and what operators did about it.
//!
//! An incident is that of one pendant at one gateway. Another gateway belongs to it once
//! it has told one of its events under the same id: ids cannot be guessed. So a rogue
//! gateway neither adds to another's incident nor fills it up.

#[path = "incidents.rs"]
mod incidents;

pub use incidents::{Incidents, OF_GATEWAY_MAX};

use super::acts::Act;
use super::text::clean;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Milliseconds since 1970.
pub type UnixMs = u64;

/// Alarms of one incident.
const ALARMS_MAX: usize = 32;

/// Kinds of the urgent lane that call for nobody by themselves.
const QUIET: [&str; 11] = [
    "session_started",
    "session_extended",
    "checked_in",
    "session_ended",
    "safe_pin",
    "wrong_pin",
    "pre_alarm",
    "alert_cancelled",
    "test",
    "gateway_test",
    "late_request",
];

/// How much a kind weighs; 0: nobody is called for. Of two assertions under one id the
/// graver counts.
#[must_use]
pub fn gravity(lane: &str, kind: &str, covert: bool) -> u8 {
    match kind {
        "duress" => 9,
        "discreet_panic" => 8,
        "wrong_pin_repeated" => 7,
        "panic" => 6,
        "man_down" | "fall" => 5,
        "overdue" => 4,
        // A kind of a later version may be a cry for help.
        _ if lane == "urgent" && !QUIET.contains(&kind) => 3 + 4 * u8::from(covert),
        _ => 0,
    }
}

/// One alarm of an incident.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Alarm {
    /// The event's id; absent while only this desk has raised it.
    pub id: Option<String>,
    /// What happened: the gravest that a gateway says.
    pub kind: String,
    /// Nobody on site knows.
    pub covert: bool,
    /// How much it weighs.
    pub gravity: u8,
    /// The frame's counter: what `close` names.
    pub counter: Option<u32>,
    /// The boot in which the gateway told it first.
    pub boot: Option<String>,
    /// When, by the gateway's clock.
    pub time: Option<String>,
    /// When it was heard here.
    pub heard_ms: UnixMs,
    /// This desk raised it, because the gateway did not.
    pub by_desk: bool,
    /// Who heard it.
    pub sightings: Vec<Sighting>,
}

/// A gateway heard it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Sighting {
    /// Site and gateway.
    pub gateway: String,
    /// The receiver.
    pub link: Option<String>,
    /// Received signal strength, dBm.
    pub rssi_dbm: Option<i64>,
    /// Signal-to-noise ratio, dB.
    #[serde(default)]
    pub snr_db: Option<f64>,
    /// What that gateway says of it. Gateways differ if one of them has no session, or an
    /// older keyring; the alarm is the gravest that is said.
    #[serde(default)]
    pub kind: String,
}

/// A pendant was heard.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct TrackPoint {
    /// When, by the gateway's clock.
    pub time: Option<String>,
    /// When it was told here.
    pub heard_ms: UnixMs,
    /// By whom.
    pub seen: Sighting,
    /// Latitude and longitude, degrees, if the pendant says so.
    pub position: Option<(f64, f64)>,
    /// The location beacon heard last.
    pub place: Option<i64>,
}

/// How far an operator is with an incident. It stays at the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An operator's console shows it.
    Displayed,
    /// An operator deals with it.
    Accepted,
    /// It is over.
    Closed,
}

impl Step {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Displayed => "displayed",
            Self::Accepted => "accepted",
            Self::Closed => "closed",
        }
    }
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Stage {
    /// What.
    pub step: Step,
    /// Who.
    pub operator: String,
    /// When.
    pub at_ms: UnixMs,
    /// Why.
    pub note: Option<String>,
}

/// One incident.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Incident {
    /// Its number at this desk.
    pub number: u64,
    /// The gateways that tell of it; the first opened it.
    pub gateways: Vec<String>,
    /// The pendant, unless a gateway speaks of itself.
    pub pendant: String,
    /// Its enrolment.
    pub enrolment: String,
    /// Who wears it.
    pub wearer: Option<String>,
    /// When it was opened here.
    pub opened_ms: UnixMs,
    /// What was told.
    pub alarms: Vec<Alarm>,
    /// Alarms for which there was no room.
    pub alarms_left_out: u64,
    /// Where its gateways heard the pendant, oldest first.
    pub track: VecDeque<TrackPoint>,
    /// Where others say that they heard it.
    pub elsewhere: VecDeque<TrackPoint>,
    /// What the wearer did since at other gateways, for a session that is overdue here.
    #[serde(default)]
    pub acts: Vec<Act>,
    /// What operators did.
    pub stages: Vec<Stage>,
    /// The wearer ended the session by the safe PIN since.
    pub safe_pin_ms: Option<UnixMs>,
    /// The gateway has closed it.
    pub closed_at_gateway_ms: Option<UnixMs>,
}

impl Incident {
    /// The alarm that weighs most; of equal ones the last.
    #[must_use]
    pub fn gravest(&self) -> &Alarm {
        self.alarms.iter().max_by_key(|alarm| alarm.gravity).expect("an incident has an alarm")
    }

    /// Whether nobody on site may learn of it.
    #[must_use]
    pub fn is_covert(&self) -> bool {
        self.alarms.iter().any(|alarm| alarm.covert)
    }

    /// No operator has accepted it since its last alarm.
    #[must_use]
    pub fn waits(&self) -> bool {
        let last = self.alarms.iter().map(|alarm| alarm.heard_ms).max();
        let accepted = self.stages.iter().filter(|stage| stage.step == Step::Accepted);
        accepted.map(|stage| stage.at_ms).max() < last
    }

    /// What `close` at the gateway has to name: of a covert incident the newest covert
    /// alarm.
    #[must_use]
    pub fn closing(&self) -> Option<u32> {
        let of = |covert: bool| {
            self.alarms.iter().filter(move |it| it.covert == covert).filter_map(|it| it.counter)
        };
        of(true).max().or_else(|| of(false).min())
    }

    /// Who wears what.
    #[must_use]
    pub fn who(&self) -> String {
        match (&self.wearer, self.pendant.as_str()) {
            (_, "") => "gateway".to_owned(),
            (Some(wearer), pendant) => clean(&format!("{wearer} ({pendant})")),
            (None, pendant) => format!("pendant {pendant}"),
        }
    }

    /// The newest session of it that is overdue, by the counter that began it.
    pub(super) fn overdue(&self) -> Option<u32> {
        let overdue = self.alarms.iter().filter(|alarm| alarm.kind == "overdue");
        overdue.filter_map(|alarm| alarm.counter).max()
    }

    /// The same of this gateway alone.
    fn overdue_at(&self, gateway: &str) -> Option<u32> {
        let is_of = |alarm: &&Alarm| alarm.sightings.iter().any(|it| it.gateway == gateway);
        let overdue = self.alarms.iter().filter(|alarm| alarm.kind == "overdue").filter(is_of);
        overdue.filter_map(|alarm| alarm.counter).max()
    }

    fn lightest(&self) -> u8 {
        self.gravest().gravity
    }

    /// Adds an alarm; gives the lightest that has no room any more.
    fn add(&mut self, alarm: Alarm) -> Option<Alarm> {
        self.alarms.push(alarm);
        if self.alarms.len() <= ALARMS_MAX {
            return None;
        }
        self.alarms_left_out += 1;
        let lightest = self.alarms.iter().enumerate().min_by_key(|(_, it)| it.gravity);
        let at = lightest.map(|(at, _)| at)?;
        Some(self.alarms.remove(at))
    }
}

/// What an event did to incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It opened this one.
    Opened(u64),
    /// It is a further or graver alarm of this one.
    Added(u64),
    /// The gateway tells now what the desk had raised.
    Confirmed(u64),
    /// Another gateway heard the same.
    Seen(u64),
    /// It is no alarm, and belongs to the track of this one.
    Tracked(u64),
    /// The gateway has too many incidents; this alarm opened none.
    NoRoom,
}

impl Change {
    /// Which incident.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Opened(number)
            | Self::Added(number)
            | Self::Confirmed(number)
            | Self::Seen(number)
            | Self::Tracked(number) => Some(number),
            Self::NoRoom => None,
        }
    }
}

/// A session of which the gateway has not told that it is overdue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Due {
    /// Site and gateway.
    pub gateway: String,
    /// The pendant.
    pub pendant: String,
    /// Its enrolment.
    pub enrolment: String,
    /// Counter of the frame that set the due time.
    pub counter: u32,
    /// Who wears it.
    pub wearer: Option<String>,
    /// When it fell due, by our clock.
    pub due_ms: UnixMs,
}
