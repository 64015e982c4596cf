//! The page as text. Pure: snapshots in, HTML out.
//!
//! A view is made of parts, each with an id; the stream sends the parts that have
//! changed, and the script puts them in their places. Members that an answer lacks
//! are shown as unknown or not at all.

pub(super) mod enter;
pub(super) mod frame;
mod health;
pub(super) mod overview;
pub(super) mod walk;

use crate::plot::escaped;
use serde_json::Value;

/// Ids and contents, in the order of the view.
pub(super) type Parts = Vec<(String, String)>;

/// Each part in the element that the script finds again.
fn placed(id: &str, content: &str) -> String {
    format!("<div id=\"{id}\">{content}</div>")
}

/// What changes with every look, and is no news: how long ago, how precisely. The
/// tests of twins leave it out.
fn volatile(text: &str) -> String {
    format!("<span class=\"v\">{}</span>", escaped(text))
}

/// A label and a value, which is HTML.
fn fact(label: &str, value: &str) -> String {
    format!("<div><dt>{label}</dt><dd>{value}</dd></div>")
}

fn items<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or("?"))
}

/// A number as it stands, with a true minus sign; a dash for none.
fn number(value: &Value, unit: &str) -> String {
    match value.as_f64() {
        Some(number) if number < 0.0 => format!("−{}{unit}", -number),
        Some(number) => format!("{number}{unit}"),
        None => "–".to_owned(),
    }
}

/// To the second below a minute: what a walk is watched by.
fn ago(seconds: Option<u64>) -> String {
    match seconds {
        None => "never".to_owned(),
        Some(s @ 0..=59) => format!("{s} s ago"),
        Some(s) => rough_ago(s),
    }
}

/// So rough that a list does not change every second.
fn rough_ago(seconds: u64) -> String {
    match seconds {
        s @ 0..=59 => format!("{} s ago", s / 10 * 10),
        s @ 60..=7199 => format!("{} min ago", s / 60),
        s @ 7200..=172_799 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// The date of a moment, universal time.
fn date(unix_s: u64) -> String {
    let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_s);
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    text.get(..10).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_for_people() {
        assert_eq!(number(&json!(-101), " dBm"), "−101 dBm");
        assert_eq!(number(&json!(3.25), " dB"), "3.25 dB");
        assert_eq!(number(&Value::Null, " dB"), "–");
        assert_eq!(ago(Some(7)), "7 s ago");
        assert_eq!(ago(Some(61)), "1 min ago");
        assert_eq!(ago(None), "never");
        assert_eq!(rough_ago(59), "50 s ago");
        assert_eq!(rough_ago(200_000), "2 d ago");
        assert_eq!(date(1_800_000_000), "2027-01-15");
        assert_eq!(text(&json!("<b>")), "&lt;b&gt;");
    }
}
