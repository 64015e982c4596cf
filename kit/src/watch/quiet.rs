//! What calls for nobody by itself and may be an alarm at another gateway, under the same
//! id: one gateway has another keyring, another policy, or no session. Kept for a while, so
//! that the alarm shows all who heard the press, in whatever order they told it.

use super::incident::Sighting;
use crate::centre::{Event, GATEWAYS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Kept of one gateway, the newest.
const OF_GATEWAY_MAX: usize = 32;
/// What a graver gateway may take for an alarm.
const KINDS: [&str; 5] = ["wrong_pin", "session_ended", "safe_pin", "late_request", "pre_alarm"];

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Telling {
    id: String,
    pendant: String,
    enrolment: String,
    sighting: Sighting,
}

/// Tellings that opened nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "BTreeMap<String, VecDeque<Telling>>", into = "BTreeMap<String, VecDeque<Telling>>")]
pub(super) struct Quiet {
    by_gateway: BTreeMap<String, VecDeque<Telling>>,
    /// Which gateways told under an id.
    by_id: BTreeMap<String, Vec<String>>,
}

impl From<BTreeMap<String, VecDeque<Telling>>> for Quiet {
    fn from(by_gateway: BTreeMap<String, VecDeque<Telling>>) -> Self {
        let mut by_id = BTreeMap::<String, Vec<String>>::new();
        for (gateway, told) in &by_gateway {
            for telling in told {
                by_id.entry(telling.id.clone()).or_default().push(gateway.clone());
            }
        }
        Self { by_gateway, by_id }
    }
}

impl From<Quiet> for BTreeMap<String, VecDeque<Telling>> {
    fn from(quiet: Quiet) -> Self {
        quiet.by_gateway
    }
}

impl Quiet {
    /// Keeps it, if another gateway may take it for an alarm.
    pub(super) fn hear(&mut self, event: &Event, enrolment: &str, sighting: Sighting) {
        let Some(pendant) = &event.data.pendant else { return };
        let gateway = &sighting.gateway;
        let has_place =
            self.by_gateway.contains_key(gateway) || self.by_gateway.len() < GATEWAYS_MAX;
        if !KINDS.contains(&event.data.kind.as_str()) || !has_place {
            return;
        }
        let told = self.by_gateway.entry(gateway.clone()).or_default();
        if told.iter().any(|it| it.id == event.id) {
            return;
        }
        self.by_id.entry(event.id.clone()).or_default().push(gateway.clone());
        let gone = if told.len() >= OF_GATEWAY_MAX { told.pop_front() } else { None };
        told.push_back(Telling {
            id: event.id.clone(),
            pendant: pendant.clone(),
            enrolment: enrolment.to_owned(),
            sighting,
        });
        if let Some(gone) = gone {
            let gateway = event.gateway_path();
            if let Some(of) = self.by_id.get_mut(&gone.id) {
                of.retain(|it| *it != gateway);
                if of.is_empty() {
                    self.by_id.remove(&gone.id);
                }
            }
        }
    }

    /// Who told of this press of this pendant.
    pub(super) fn of<'a>(
        &'a self,
        id: &'a str,
        pendant: &'a str,
        enrolment: &'a str,
    ) -> impl Iterator<Item = &'a Sighting> {
        let gateways = self.by_id.get(id).into_iter().flatten();
        let told = gateways.filter_map(|it| self.by_gateway.get(it)).flatten();
        let is_it =
            move |it: &&Telling| it.id == id && it.pendant == pendant && it.enrolment == enrolment;
        told.filter(is_it).map(|it| &it.sighting)
    }
}
