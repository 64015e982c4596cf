//! What an event says of who heard it.

use super::incident::{Sighting, TrackPoint, UnixMs};
use super::text::clean;
use crate::centre::Event;

/// How a gateway heard it, and what it says.
pub(super) fn sighting(gateway: &str, event: &Event) -> Sighting {
    let more = &event.data.more;
    let link = more.get("link").and_then(|it| it.as_str());
    let rssi_dbm = more.get("rssi_dbm").and_then(serde_json::Value::as_i64);
    let snr_db = more.get("snr_db").and_then(serde_json::Value::as_f64);
    let kind = event.data.kind.clone();
    Sighting { gateway: gateway.to_owned(), link: link.map(clean), rssi_dbm, snr_db, kind }
}

/// Where a pendant was heard, if a receiver heard it.
pub(super) fn track_point(at_ms: UnixMs, gateway: &str, event: &Event) -> Option<TrackPoint> {
    let more = &event.data.more;
    more.get("link")?;
    let position = more.get("position");
    let degrees = |name| position.and_then(|it| it.get(name)?.as_f64());
    Some(TrackPoint {
        time: event.time.as_deref().map(clean),
        heard_ms: at_ms,
        seen: sighting(gateway, event),
        position: degrees("latitude").zip(degrees("longitude")),
        place: more.get("place").and_then(serde_json::Value::as_i64),
    })
}

/// The enrolment that an event names.
pub(super) fn enrolment(event: &Event) -> String {
    let text = event.data.more.get("enrolment").and_then(|it| it.as_str()).unwrap_or_default();
    text.chars().take(64).collect()
}
