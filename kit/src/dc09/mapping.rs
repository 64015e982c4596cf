//! What an event becomes: which code, under which account, and what else is told.

use super::frame::time_text;
use super::message::{Message, Token};
use crate::centre::Event;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Kinds without an alarm code that say that all is well, or only what was asked for.
const QUIET: [&str; 13] = [
    "session_started",
    "session_extended",
    "checked_in",
    "safe_pin",
    "gateway_started",
    "gateway_stopping",
    "link_up",
    "journal_restored",
    "store_roomy",
    "centre_heard",
    "clock_set",
    "certificate_renewed",
    "certificate_accepted",
];
/// Untyped alarm, general alarm: something that an operator must see.
const ALARM: (&str, u16) = ("UA", 140);
/// Untyped trouble, system trouble.
const TROUBLE: (&str, u16) = ("UT", 300);
/// Codes of the SIA format that end what another began; Contact ID tells them by its qualifier.
const RESTORALS: [&str; 5] = ["TR", "XR", "UJ", "YK", "XH"];
/// Largest zone of Contact ID.
const CONTACT_ID_ZONE_MAX: u32 = 999;
/// Longest word that is told of an event.
const WORD_BYTES_MAX: usize = 32;

/// What codes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The SIA format (DC-03) in `SIA-DCS`.
    Sia,
    /// Contact ID (DC-05) in `ADM-CID`.
    ContactId,
}

/// Which event is sent how.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// What codes are sent.
    pub format: Format,
    /// Whether events of the trouble lane are sent as well.
    pub trouble: bool,
    /// Whether kind, pendant and wearer are told as text.
    pub text: bool,
    account: String,
    file: File,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Rule>,
    #[serde(default)]
    codes: BTreeMap<String, (String, u16)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    site: Option<String>,
    gateway: Option<String>,
    pendant: Option<String>,
    account: String,
    zone: Option<u32>,
    #[serde(default)]
    partition: u32,
}

impl Mapping {
    /// Everything under one account, without text, trouble left out.
    ///
    /// # Errors
    /// It is no account.
    pub fn new(format: Format, account: &str) -> Result<Self, String> {
        let account = checked_account(account)?;
        Ok(Self { format, trouble: false, text: false, account, file: File::default() })
    }

    /// The same with what a file says of accounts and codes (TOML, `docs/alarm-receivers.md`).
    ///
    /// # Errors
    /// Says what is wrong in it.
    pub fn with_file(mut self, text: &str) -> Result<Self, String> {
        self.file = toml::from_str(text).map_err(|error| error.to_string())?;
        for rule in &mut self.file.account {
            rule.account = checked_account(&rule.account)?;
            if rule.partition > 99 {
                return Err(format!("account {}: partitions are 0 to 99", rule.account));
            }
        }
        match self.file.codes.iter().find(|(_, (sia, cid))| !is_code(sia, *cid)) {
            Some((kind, _)) => {
                Err(format!("codes, {kind}: two capitals, and a number of 3 digits"))
            }
            None => Ok(self),
        }
    }

    /// The account of all that has none of its own.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// What is sent of an event; `None`: nothing.
    pub(super) fn message(&self, event: &Event) -> Option<Message> {
        let (sia, contact_id) = self.codes(event)?;
        let rule = self.file.account.iter().find(|rule| rule.fits(event));
        let account = rule.map_or(&self.account, |rule| &rule.account);
        let partition = rule.map_or(0, |rule| rule.partition);
        let number = event.data.pendant.as_deref().and_then(|it| u32::from_str_radix(it, 16).ok());
        let zone = rule.and_then(|rule| rule.zone).or(number).unwrap_or(0);
        let (token, data) = match self.format {
            Format::Sia if partition == 0 => (Token::Sia, format!("#{account}|N{sia}{zone}")),
            Format::Sia => (Token::Sia, format!("#{account}|Nri{partition}/{sia}{zone}")),
            Format::ContactId => {
                let qualifier = if RESTORALS.contains(&sia.as_str()) { 3 } else { 1 };
                let zone = if zone > CONTACT_ID_ZONE_MAX { 0 } else { zone };
                let data =
                    format!("#{account}|{qualifier}{contact_id:03} {partition:02} {zone:03}");
                (Token::ContactId, data)
            }
        };
        Some(Message { token, account: account.clone(), data, extended: self.extended(event) })
    }

    /// Its codes, if it is one that is sent. What a gateway says is looked at: it may
    /// be a rogue's.
    fn codes(&self, event: &Event) -> Option<(String, u16)> {
        let data = &event.data;
        let fallback = match data.lane.as_str() {
            "urgent" => ALARM,
            "trouble" if self.trouble => TROUBLE,
            _ => return None,
        };
        if let Some(codes) = self.file.codes.get(&data.kind) {
            return Some(codes.clone());
        }
        let told = data.more.get("codes");
        match told.and_then(|codes| serde_json::from_value::<(String, u16)>(codes.clone()).ok()) {
            Some((sia, contact_id)) if is_code(&sia, contact_id) => Some((sia, contact_id)),
            _ if QUIET.contains(&data.kind.as_str()) => None,
            _ => Some((fallback.0.to_owned(), fallback.1)),
        }
    }

    /// When it happened, and if wanted what it is in words.
    fn extended(&self, event: &Event) -> String {
        let time = event.time.as_deref().and_then(|time| humantime::parse_rfc3339(time).ok());
        let unix_s = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let time = unix_s.and_then(|unix| i64::try_from(unix.as_secs()).ok()).and_then(time_text);
        let time = time.map(|time| format!("[H{time}]")).unwrap_or_default();
        if !self.text {
            return time;
        }
        let words = [Some(event.data.kind.as_str()), event.data.pendant.as_deref()];
        let words = words.into_iter().chain([event.data.wearer.as_deref()]).flatten();
        let words: Vec<String> = words.map(word).collect();
        format!("{time}[I{}]", words.join(" "))
    }
}

impl Rule {
    fn fits(&self, event: &Event) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        fits(&self.site, Some(&event.site))
            && fits(&self.gateway, Some(&event.gateway))
            && fits(&self.pendant, event.data.pendant.as_deref())
    }
}

/// A word that cannot be taken for the frame's own marks.
fn word(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '?' };
    text.chars().take(WORD_BYTES_MAX).map(plain).collect()
}

fn is_code(sia: &str, contact_id: u16) -> bool {
    sia.len() == 2
        && sia.bytes().all(|c| c.is_ascii_uppercase())
        && (100..=999).contains(&contact_id)
}

fn checked_account(text: &str) -> Result<String, String> {
    let is_account = (3..=16).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    let account = text.to_ascii_uppercase();
    is_account
        .then_some(account)
        .ok_or(format!("{text:?}: an account has 3 to 16 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn event(lane: &str, kind: &str, more: &Value) -> Event {
        let mut data = json!({
            "lane": lane, "kind": kind, "covert": false, "boot": "00000000000000ff", "number": 1,
            "pendant": "00012f", "wearer": "alice",
        });
        let fields = more.as_object().expect("fields").clone();
        data.as_object_mut().expect("an object").extend(fields);
        Event {
            id: "0190a1b2-c3d4-8e5f-9a0b-000000000001".into(),
            site: "ward-3".into(),
            gateway: "gw1".into(),
            time: Some("2026-09-25T14:12:04.678Z".into()),
            data: serde_json::from_value(data).expect("data"),
            wire_bytes: 1408,
        }
    }

    fn mapping(format: Format) -> Mapping {
        Mapping::new(format, "12ab").expect("an account")
    }

    fn data(mapping: &Mapping, lane: &str, kind: &str, codes: &Value) -> Option<String> {
        mapping.message(&event(lane, kind, &json!({ "codes": codes }))).map(|it| it.data)
    }

    #[test]
    fn the_codes_of_every_kind_are_sent_in_both_formats() {
        let (sia, contact_id) = (mapping(Format::Sia), mapping(Format::ContactId));
        let (sia, contact_id) =
            (Mapping { trouble: true, ..sia }, Mapping { trouble: true, ..contact_id });
        for kind in pendant_gateway::engine::event::Kind::all() {
            let (lane, name) = (kind.lane().as_str(), kind.as_str());
            let codes = kind.codes().map(|codes| (codes.sia, codes.contact_id));
            let sent = [&sia, &contact_id].map(|it| data(it, lane, name, &json!(codes)));
            let (code, number) = match codes {
                Some(codes) => codes,
                None if lane == "routine" || QUIET.contains(&name) => {
                    assert_eq!(sent, [None, None], "{name}");
                    continue;
                }
                None => {
                    if lane == "urgent" {
                        ALARM
                    } else {
                        TROUBLE
                    }
                }
            };
            let ends = ["_restored", "_back", "_over"].iter().any(|end| name.ends_with(end));
            let qualifier = if ends { 3 } else { 1 };
            let expected =
                [format!("#12AB|N{code}303"), format!("#12AB|{qualifier}{number} 00 303")];
            assert_eq!(sent, expected.map(Some), "{name}");
        }
    }

    #[test]
    fn duress_is_told_as_duress_and_trouble_only_if_wanted() {
        let sia = mapping(Format::Sia);
        let duress = sia.message(&event("urgent", "duress", &json!({ "codes": ["HA", 121] })));
        let duress = duress.expect("it is sent");
        assert_eq!((duress.token, duress.account.as_str()), (Token::Sia, "12AB"));
        assert_eq!(duress.data, "#12AB|NHA303");
        assert_eq!(duress.extended, "[H14:12:04,09-25-2026]");
        assert_eq!(data(&sia, "trouble", "low_battery", &json!(["XT", 384])), None);
        // A kind of a later version is something that an operator must see.
        let later = data(&sia, "urgent", "gas_found", &Value::Null);
        assert_eq!(later.as_deref(), Some("#12AB|NUA303"));
    }

    #[test]
    fn a_file_gives_accounts_zones_and_codes() {
        let file = r#"
            [codes]
            session_started = ["CL", 401]
            [[account]]
            pendant = "00012f"
            account = "2001"
            zone = 5
            partition = 3
            [[account]]
            site = "ward-3"
            gateway = "gw2"
            account = "2002"
        "#;
        let sia = mapping(Format::Sia).with_file(file).expect("a file");
        let contact_id = mapping(Format::ContactId).with_file(file).expect("a file");
        let (kind, codes) = ("session_started", Value::Null);
        let told = |mapping: &Mapping| data(mapping, "urgent", kind, &codes).expect("sent");
        assert_eq!(told(&sia), "#2001|Nri3/CL5");
        assert_eq!(told(&contact_id), "#2001|1401 03 005");
        let mut other =
            event("urgent", "panic", &json!({ "codes": ["PA", 120], "pendant": "100000" }));
        assert_eq!(sia.message(&other).expect("sent").data, "#12AB|NPA1048576");
        // Contact ID has three digits for a zone.
        assert_eq!(contact_id.message(&other).expect("sent").data, "#12AB|1120 00 000");
        other.gateway = "gw2".into();
        assert_eq!(sia.message(&other).expect("sent").account, "2002");
        for wrong in [
            "[codes]\npanic = [\"P\", 120]",
            "[codes]\npanic = [\"PA\", 20]",
            "[[account]]\naccount = \"1\"",
            "[[account]]\naccount = \"2001\"\npartition = 100",
            "[[account]]\naccount = \"2001\"\nward = \"3\"",
        ] {
            assert!(mapping(Format::Sia).with_file(wrong).is_err(), "{wrong}");
        }
        assert!(Mapping::new(Format::Sia, "12]").is_err());
    }

    #[test]
    fn what_a_rogue_writes_cannot_leave_its_brackets() {
        let sia = Mapping { text: true, ..mapping(Format::Sia) };
        let codes = json!(["HA]", 121]);
        let wearer = json!({ "codes": codes, "wearer": "x]_[\"\r\n|é", "pendant": "#1]" });
        let sent = sia.message(&event("urgent", "panic", &wearer)).expect("it is sent");
        assert_eq!(sent.data, "#12AB|NUA0");
        assert_eq!(sent.extended, "[H14:12:04,09-25-2026][Ipanic ?1? x?_????|?]".replace('|', "?"));
    }

    proptest! {
        #[test]
        fn any_event_makes_a_bounded_message_of_plain_marks(
            kind in ".{0,60}", pendant in ".{0,60}", wearer in ".{0,60}", time in ".{0,30}",
            sia in ".{0,4}", contact_id in any::<u16>(), cid in any::<bool>(),
        ) {
            let more = json!({
                "codes": [sia, contact_id], "pendant": pendant, "wearer": wearer,
            });
            let mut event = event("urgent", &kind, &more);
            event.time = Some(time);
            let format = if cid { Format::ContactId } else { Format::Sia };
            let mapping = Mapping { text: true, ..mapping(format) };
            if let Some(sent) = mapping.message(&event) {
                let whole = format!("[{}]{}", sent.data, sent.extended);
                prop_assert!(whole.len() < 250, "{}", whole);
                prop_assert_eq!(whole.matches(']').count(), whole.matches('[').count());
                prop_assert!(whole.bytes().all(|c| (b' '..=b'~').contains(&c) && c != b'"'));
                prop_assert_eq!(whole.matches('|').count(), 1);
            }
        }
    }
}
