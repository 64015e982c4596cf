//! What a simulated forwarder saw.

use std::fmt;

/// Most faults that are told in words.
const FAULTS_MAX: usize = 20;

/// What went through one forwarder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoofReport {
    /// The wire's name.
    pub wire: String,
    /// Transmissions of devices.
    pub uplinks: u32,
    /// Of these, lost on the way.
    pub uplinks_lost: u32,
    /// Downlinks that the gateway asked for.
    pub asked: u32,
    /// Of these, refused as too late because the scenario says so.
    pub too_late: u32,
    /// Refused for what the forwarder had to send besides.
    pub refused: u32,
    /// Sent, and lost on the way.
    pub downlinks_lost: u32,
    /// What no gateway may do: downlinks that nobody can hear, second answers. The first
    /// are in words.
    pub faults: Vec<String>,
    /// How many faults there were.
    pub fault_count: u32,
}

impl RoofReport {
    pub(super) fn fault(&mut self, text: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }

    /// Why that was not as expected.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let more = self.fault_count as usize - self.faults.len();
        let told = self.faults.join("; ");
        match (self.fault_count, more) {
            (0, _) => None,
            (_, 0) => Some(told),
            _ => Some(format!("{told}; and {more} more")),
        }
    }
}

impl fmt::Display for RoofReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wire, uplinks, uplinks_lost, asked, too_late, refused, downlinks_lost, .. } =
            self;
        write!(
            f,
            "forwarder {wire}: {uplinks} transmissions, {uplinks_lost} lost; {asked} downlinks \
             asked for, {too_late} refused as too late, {refused} beside others, \
             {downlinks_lost} lost"
        )
    }
}
