//! An event as the centre reads it, by `docs/mqtt.md`.

use super::reader::Press;
use super::schema::Schema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::of("event"));

#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    pub id: String,
    pub time: Option<String>,
    pub data: Data,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Data {
    pub lane: String,
    pub kind: String,
    pub covert: bool,
    pub boot: String,
    pub number: u64,
    pub clock: Clock,
    pub mono_ms: u64,
    pub pendant: Option<String>,
    pub counter: Option<u32>,
    #[serde(default)]
    pub detail: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Clock {
    pub source: String,
    pub uncertainty_ms: Option<u64>,
}

impl Event {
    pub fn read(payload: &[u8]) -> Self {
        serde_json::from_slice(payload).expect("an event as docs/mqtt.md says")
    }

    /// The same, held against the schema: what the world makes the engine say is in it.
    pub fn read_strictly(payload: &[u8]) -> Self {
        SCHEMA.must_take(&serde_json::from_slice(payload).expect("JSON"));
        Self::read(payload)
    }

    /// The press that it is about, or whose timer speaks.
    pub fn press(&self) -> Option<Press> {
        let pendant = u32::from_str_radix(self.data.pendant.as_ref()?, 16).expect("hexadecimal");
        Some((pendant, self.data.counter?))
    }

    pub fn boot(&self) -> u64 {
        number_of_boot(&self.data.boot)
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(&self) -> Option<i64> {
        let time = humantime::parse_rfc3339(self.time.as_ref()?).expect("RFC 3339");
        let since = time.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Some(i64::try_from(since.as_millis()).expect("not so far ahead"))
    }
}

pub fn number_of_boot(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("hexadecimal")
}

pub fn is_about(payload: &[u8], press: Press) -> bool {
    Event::read(payload).press() == Some(press)
}
