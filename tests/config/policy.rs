//! `[policy]`, `[response]` and `[[pendant]]`.

use super::{DEFAULT_TEXT, LEAST, effective, parse, refusal, refusals};
use pendant_gateway::config::Config;
use pendant_gateway::engine::event::Kind;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::policy::{ListenIn, Policies, Policy};
use pendant_protocol::PendantId;

fn policies(text: &str) -> Policies {
    parse(&format!("{LEAST}{text}")).pendants.policies
}

fn of(policies: &Policies, number: u32) -> Policy {
    policies.of(PendantId::new(number).expect("a number")).clone()
}

fn procedure(policy: &Policy, kind: Kind) -> Option<&str> {
    policy.response.procedure(kind).map(Name::as_str)
}

const SITE: &str = r#"[policy]
grace_s = 60
wrong_pins_to_alarm = 5
pre_alarm_s = 0
heartbeat_interval_s = 0
heartbeats_missed_max = 12
panic_is_covert = true
[response]
procedure = "guard"
listen_in = "tel:+441632960961"
procedures = { duress = "police", fall = "first-aid" }
do_not_call.panic = true
"#;

const PENDANTS: &str = r#"[[pendant]]
number = "00012F"
grace_s = 120
listen_in = "sip:yard@pbx.example.org"
[pendant.procedures]
fall = "first-aid-yard"
[pendant.do_not_call]
fall = true
[[pendant]]
number = "000130"
heartbeat_interval_s = 900
panic_is_covert = false
procedure = "crane"
do_not_call.panic = false
"#;

#[test]
fn the_site_s_policy_holds_for_every_pendant() {
    let policies = policies(SITE);
    let policy = of(&policies, 0x12f);
    assert_eq!((policy.grace_ms, policy.pre_alarm_ms, policy.wrong_pins_to_alarm), (60_000, 0, 5));
    assert_eq!((policy.heartbeat_interval_ms, policy.heartbeats_missed_max), (0, 12));
    assert!(policy.panic_is_covert);
    assert_eq!(policy.response.listen_in, ListenIn::new("tel:+441632960961").ok());
    assert_eq!(procedure(&policy, Kind::Duress), Some("police"));
    assert_eq!(procedure(&policy, Kind::Panic), Some("guard"));
    assert!(policies.pendants.is_empty());
}

#[test]
fn without_a_word_only_covert_kinds_forbid_a_call_back() {
    let policy = policies("").site;
    assert_eq!(procedure(&policy, Kind::Duress), None);
    for kind in Kind::all() {
        assert_eq!(policy.response.do_not_call(kind), kind.covert());
    }
}

#[test]
fn a_pendant_s_own_settings_stand_on_top_of_the_site_s_and_nobody_else_s() {
    let policies = policies(&format!("{SITE}{PENDANTS}"));
    let (site, yard, crane) = (of(&policies, 1), of(&policies, 0x12f), of(&policies, 0x130));
    assert_eq!(site, self::policies(SITE).site);

    assert_eq!((yard.grace_ms, crane.grace_ms), (120_000, 60_000));
    assert_eq!((yard.heartbeat_interval_ms, crane.heartbeat_interval_ms), (0, 900_000));
    assert_eq!((yard.panic_is_covert, crane.panic_is_covert), (true, false));
    assert_eq!((yard.wrong_pins_to_alarm, yard.heartbeats_missed_max), (5, 12));

    assert_eq!(yard.response.listen_in, ListenIn::new("sip:yard@pbx.example.org").ok());
    assert_eq!(crane.response.listen_in, site.response.listen_in);
    for (kind, of_site, of_yard, of_crane) in [
        (Kind::Fall, "first-aid", "first-aid-yard", "first-aid"),
        (Kind::Duress, "police", "police", "police"),
        (Kind::Test, "guard", "guard", "crane"),
    ] {
        assert_eq!(procedure(&site, kind), Some(of_site));
        assert_eq!(procedure(&yard, kind), Some(of_yard));
        assert_eq!(procedure(&crane, kind), Some(of_crane));
    }
    let calls = |policy: &Policy| {
        [Kind::Panic, Kind::Fall, Kind::Duress].map(|kind| policy.response.do_not_call(kind))
    };
    assert_eq!(calls(&site), [true, false, true]);
    assert_eq!(calls(&yard), [true, true, true]);
    assert_eq!(calls(&crane), [false, false, true]);
}

#[test]
fn the_effective_configuration_has_every_policy_and_reads_back_to_the_same() {
    let config = parse(&format!("{LEAST}{SITE}{PENDANTS}"));
    let text = config.to_text();
    let again = parse(&text);
    assert_eq!(again.pendants, config.pendants);
    assert_eq!(effective(&again), text);
    assert!(text.contains("[[pendant]]\nnumber = \"00012f\"\ngrace_s = 120\n"), "{text}");
    assert!(parse(LEAST).to_text().contains("[policy]\ngrace_s = 30\n"));
}

/// Sections, place and text, remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("[policy]\ngrace = 30", "14:1: unknown key `grace` in [policy]", "did you mean `grace_s`?"),
    ("[policy]\ngrace_s = \"5 min\"", "14:11: `grace_s` is a whole number of", "grace_s = 300"),
    ("[policy]\ngrace_s = 3601", "14:11: `grace_s`", "0 to 3600"),
    ("[policy]\npre_alarm_s = -1", "14:15: `pre_alarm_s`", "0 to 600"),
    ("[policy]\nwrong_pins_to_alarm = 0", "14:23: `wrong_pins_to_alarm`", "1 to 10"),
    ("[policy]\nheartbeat_interval_s = 9", "14:24: `heartbeat_interval_s` is at least 10", "0: it"),
    ("[policy]\nheartbeat_interval_s = 86401", "14:24: `heartbeat_interval_s`", "0 to 86400"),
    ("[policy]\nheartbeats_missed_max = 1", "14:25: `heartbeats_missed_max`", "2 to 100"),
    ("[policy]\npanic_is_covert = \"yes\"", "14:19: `panic_is_covert` is true or", "= true"),
    ("[policy]\nlisten_in = \"tel:1\"", "14:1: unknown key `listen_in`", "belongs to [response]"),
    ("[polcy]\ngrace_s = 1", "13:2: unknown key `polcy`", "did you mean `policy`?"),
    ("[[policy]]\ngrace_s = 1", "13:1: `policy` is a section", "write it as [policy]"),
    ("[response]\nprocedure = \"call me\"", "14:13: `procedure`: ' ' may not stand", "letters"),
    ("[response]\nprocedures = \"guard\"", "14:14: `procedures` is a section", "[response.proc"),
    (
        "[response.procedures]\npannic = \"guard\"",
        "14:1: unknown key `pannic` in [response.procedures]",
        "did you mean `panic`?",
    ),
    (
        "[response.procedures]\nheartbeat = \"guard\"",
        "14:1: unknown key `heartbeat` in [response.procedures]",
        "[response.procedures] has: session_started,",
    ),
    ("[response.procedures]\nfall = 1", "14:8: `fall` is a text in quotes", "fall = \"1\""),
    (
        "[response.do_not_call]\nman-down = true",
        "14:1: unknown key `man-down` in [response.do_not_call]",
        "did you mean `man_down`?",
    ),
    ("[response]\ndo_not_call.fall = 1", "14:20: `fall` is true or false", "fall = true"),
    ("[response]\ndo_not_call = true", "14:15: `do_not_call` is a section", "[response.do_not"),
    (
        "[response]\nlisten_in = \"+44 1632 960961\"",
        "14:13: `listen_in` begins with",
        "\"tel:+4416",
    ),
    ("[response]\nlisten_in = \"tel:+44 1632\"", "14:13: `listen_in` is a URI", "\"tel:+441632\""),
    ("[response]\nlisten_in = \"SIP:gate@pbx\"", "14:13: `listen_in` begins", "\"sip:gate@pbx\""),
    ("[response]\nlisten_in = \"gate@pbx.example\"", "14:13: `listen_in`", "\"sip:gate@pbx.exam"),
    ("[response]\nlisten_in = \"tel:gate\"", "14:13: `listen_in` says whom", "tel:+441632960961"),
    ("[response]\nlisten_in = \"\"", "14:13: `listen_in` is empty", "leave the line out"),
    ("[[pendant]]\ngrace_s = 1", "13:1: [[pendant]] lacks `number`", "number = \"00012f\""),
    ("[[pendant]]\nnumber = 12", "14:10: `number` is a text in quotes", "number = \"12\""),
    ("[[pendant]]\nnumber = \"12f\"", "14:10: `number`: a pendant number is six", "\"00012f\""),
    ("[[pendant]]\nnumber = \"000000\"", "14:10: `number`: no pendant has", "on the pendant"),
    ("[pendant]\nnumber = \"00012f\"", "13:1: `pendant` is a section that may", "[[pendant]]"),
    (
        "[[pendant]]\nnumber = \"00012f\"\nwearer = \"m\"",
        "15:1: unknown key `wearer` in [[pendant]]",
        "[[pendant]] has: number, device",
    ),
    (
        "[[pendant]]\nnumber = \"00012f\"\nprocedures.dures = \"police\"",
        "15:12: unknown key `dures` in [pendant.procedures]",
        "did you mean `duress`?",
    ),
    (
        "[[pendant]]\nnumber = \"00012f\"\n[[pendant]]\nnumber = \"00012F\"",
        "16:10: a second [[pendant]] with the number 00012f",
        "into one section",
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    for (sections, place, remedy) in MISTAKES {
        let told = refusal(&format!("{LEAST}{sections}\n"));
        assert!(told.starts_with(&format!("gateway.toml:{place}")), "{sections}\n{told}");
        let told_remedy = told.rsplit("  -> ").next().unwrap_or_default();
        assert!(told_remedy.contains(remedy), "{sections}\n{told}");
    }
    let long = format!("{LEAST}[response]\nlisten_in = \"sip:{}\"\n", "h".repeat(61));
    assert!(refusal(&long).contains("`listen_in` has at most 64 characters"));
}

#[test]
fn a_mistake_of_the_site_is_told_once_however_many_pendants_there_are() {
    assert_eq!(refusals(&format!("{LEAST}[policy]\ngrace_s = 9999\n{PENDANTS}")).len(), 1);
}

#[test]
fn a_call_back_after_a_silent_alarm_is_advised_against() {
    let text =
        format!("{LEAST}[response]\ndo_not_call.duress = false\ndo_not_call.panic = false\n");
    let config = parse(&text);
    assert_eq!(config.warnings.len(), 1);
    let told = config.warnings[0].to_string();
    assert!(told.starts_with("gateway.toml:14:22: a call back after `duress`"), "{told}");
}

#[test]
fn the_shipped_file_names_every_kind_that_bears_a_response() {
    let urgent: Vec<&str> =
        Kind::all().filter(|kind| kind.has_response()).map(Kind::as_str).collect();
    let words: String = DEFAULT_TEXT
        .lines()
        .skip_while(|line| !line.contains("The kinds:"))
        .take_while(|line| !line.starts_with("#procedure"))
        .collect();
    let (_, list) = words.split_once("The kinds:").expect("listed");
    let listed: Vec<&str> = list.split([',', '#', '.', ' ']).filter(|w| !w.is_empty()).collect();
    assert_eq!(listed, urgent);
}

#[test]
fn all_kinds_are_known_by_different_names() {
    let kinds: Vec<Kind> = Kind::all().collect();
    assert_eq!(
        (kinds.first(), kinds.contains(&Kind::CounterStale)),
        (Some(&Kind::SessionStarted), true)
    );
    let names: std::collections::BTreeSet<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), kinds.len());
    assert!(Config::parse(DEFAULT_TEXT, "gateway.toml").is_err());
}
