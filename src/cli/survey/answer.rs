//! What the gateway answers to `survey`, read.

use super::super::control_client::{Ask, ControlError, ask};
use crate::margin::Heard;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// How pendants were heard of late.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Answer {
    /// The run of the gateway.
    pub(super) boot: String,
    /// Over how long frames are counted.
    pub(super) minutes: u64,
    /// A row a pendant and receiver.
    pub(super) rows: Vec<Row>,
    /// Receptions in this run.
    pub(super) receptions: u64,
    /// The latest of them, in the order of hearing.
    pub(super) recent: Vec<Reception>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) pendant: String,
    pub(super) link: Option<String>,
    pub(super) last_heard_s: u64,
    pub(super) frames: u64,
    pub(super) lost_percent: Option<u64>,
    /// How far the pendant's carrier was off.
    pub(super) frequency_error_hz: Option<i32>,
    #[serde(flatten)]
    pub(super) heard: Heard,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reception {
    /// Counts receptions of a run, from 1 on.
    pub(super) number: u64,
    pub(super) pendant: String,
    pub(super) link: Option<String>,
    /// As the pendant counts its frames; a repetition has the same.
    pub(super) counter: u32,
    pub(super) age_ms: u64,
    #[serde(flatten)]
    pub(super) heard: Heard,
}

impl Answer {
    /// Asks the running gateway.
    pub(super) fn get(socket: &Path) -> Result<Self, ControlError> {
        Self::read(ask(socket, Ask::Survey)?)
            .map_err(|fault| ControlError::NoAnswer(socket.to_owned(), fault))
    }

    fn read(value: Value) -> Result<Self, String> {
        serde_json::from_value(value).map_err(|error| {
            format!("it is of another version than this command ({error}): restart it")
        })
    }

    /// Keeps what concerns one pendant.
    pub(super) fn of_pendant(mut self, pendant: Option<&str>) -> Self {
        if let Some(pendant) = pendant {
            self.rows.retain(|row| row.pendant == pendant);
            self.recent.retain(|reception| reception.pendant == pendant);
        }
        self
    }
}
