//! What an installer is told about mistakes in the text.

use super::{LEAST, refusal, refusals, with};
use pendant_gateway::config::{Config, MqttVersion};

/// Key or header, the line put there, place and text, remedy.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("slot", "slot = 32", "3:8: `slot` is a whole number, 0 to 31, not 32", "0 to 31"),
    ("slot", "slot = \"3\"", "3:8: `slot` is a whole number", "write: slot = 3"),
    ("slot", "slot = -1", "3:8: `slot` is a whole number", "0 to 31"),
    ("site", "site = \"Werk 3\"", "1:8: `site`: ' ' may not stand in a name", "'.', '_' or '-'"),
    ("site", "site = \"a/b\"", "1:8: `site`: '/' may not stand in a name", "'.', '_' or '-'"),
    ("site", "site = \"\"", "1:8: `site` is empty", "write a value"),
    ("site", "site = 5", "1:8: `site` is a text in quotes, not 5", "write: site = \"5\""),
    ("site", "ste = \"x\"\nsite = \"x\"", "1:1: unknown key `ste`", "did you mean `site`?"),
    (
        "[[broker]]",
        "keep_alive = 30",
        "9:1: unknown key `keep_alive`",
        "did you mean `keep_alive_s`?",
    ),
    ("[[broker]]", "keep_alive_ms = 30000", "9:1: unknown key", "did you mean `keep_alive_s`?"),
    (
        "[[broker]]",
        "colour = 1",
        "9:1: unknown key `colour` in [[broker]]",
        "[[broker]] has: name, host, port",
    ),
    ("[[broker]]", "baud = 9600", "9:1: unknown key `baud`", "belongs to [[link]]"),
    ("[[broker]]", "mqtt = \"4\"", "9:8: `mqtt` is one of \"5\", \"3.1.1\"", "write: mqtt = \"5\""),
    ("[[broker]]", "mqtt = 5", "9:8: `mqtt` is a text in quotes, not 5", "write: mqtt = \"5\""),
    ("[[broker]]", "session_expiry_s = 30", "9:20: `session_expiry_s`", "60 to 4294967295"),
    (
        "[[broker]]",
        "session_expiry_s = \"7 days\"",
        "9:20: `session_expiry_s`",
        "session_expiry_s = 604800",
    ),
    ("[[broker]]", "keep_alive_s = 30000", "9:16: `keep_alive_s`", "write: keep_alive_s = 30"),
    ("[[broker]]", "keep_alive_s = 1e1", "9:16: `keep_alive_s`", "the number alone"),
    ("[[broker]]", "port = 70000", "9:8: `port` is a whole number, 1 to 65535", "1 to 65535"),
    ("[[broker]]", "interface = \"wwan 0\"", "9:13: `interface` is a network", "ip -brief link"),
    ("[[broker]]", "client_id = \"a b\"", "9:13: `client_id`: ' ' may not", "'.', '_' or '-'"),
    (
        "[[broker]]",
        "password_file = \"/p\"",
        "9:17: `password_file` without `username`",
        "username = ",
    ),
    (
        "host",
        "host = \"mqtts://b.example:8883\"",
        "9:8: `host` is a host's name",
        "host = \"b.example\"",
    ),
    ("host", "host = \"my broker\"", "9:8: `host` is a host's name", "mqtt.example.org"),
    ("host", "", "8:1: [[broker]] lacks `host`", "write: host = "),
    ("ca_file", "ca_file = \"tls/ca.pem\"", "10:11: `ca_file` is a whole path", "from / on"),
    ("ca_file", "ca_file = [\"/ca.pem\"]", "10:11: `ca_file` is a text", "one text in quotes"),
    (
        "slot",
        "slot = 3\n[lamps]\npower = \"/sys/class/leds/a\"",
        "5:9: `power` is the name of a LED alone",
        "ls /sys/class/leds",
    ),
    ("slot", "slot = 3\n[lamps]\npwer = \"a\"", "5:1: unknown key `pwer`", "did you mean `power`?"),
    ("name", "", "4:1: [[link]] lacks `name`", "write: name = "),
    ("kind", "kind = \"serail\"", "6:8: `kind` is one of", "write: kind = \"serial\""),
    ("kind", "", "4:1: [[link]] lacks `kind`", "write: kind = \"serial\""),
    ("path", "", "4:1: a [[link]] of kind \"serial\" lacks `path`", "/dev/serial/by-id/"),
    ("[[link]]", "baud = 9601", "5:8: `baud` is one of", "write: baud = 9600"),
    (
        "[[link]]",
        "baud = \"9600 baud\"",
        "5:8: `baud` is a whole number of baud",
        "write: baud = 9600",
    ),
    (
        "[[link]]",
        "codec = \"slip\"",
        "5:9: `codec` is one of \"cobs\", \"rylr998\"",
        "write one of",
    ),
    (
        "[[link]]",
        "acknowledge = \"yes\"",
        "5:15: `acknowledge` is true or false",
        "acknowledge = true",
    ),
    (
        "[[link]]",
        "envelope = 2",
        "5:12: `envelope` is true or false",
        "envelope = true, or: envelope = false",
    ),
    (
        "[[link]]",
        "codec = \"rylr998\"\nenvelope = true",
        "6:12: only a receiver with COBS",
        "envelope = false",
    ),
    ("[[link]]", "frequency_hz = 868100000", "5:1: unknown key `frequency_hz`", "kind \"radio\""),
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    for (key, line, place, remedy) in MISTAKES {
        let told = refusal(&with(key, line));
        assert!(told.starts_with(&format!("gateway.toml:{place}")), "{line}\n{told}");
        let told_remedy = told.rsplit("  -> ").next().unwrap_or_default();
        assert!(told_remedy.contains(remedy), "{line}\n{told}");
    }
}

#[test]
fn mistakes_in_sections_of_their_own_are_told() {
    let cases: &[(&str, &str, &str)] = &[
        ("[store]\ndirectory = \"data\"", "14:13: `directory` is a whole path", "from / on"),
        (
            "[store]\njournal_mib_max = \"2GiB\"",
            "14:19: `journal_mib_max`",
            "journal_mib_max = 2048",
        ),
        (
            "[store]\njournal_mib_max = 16\nurgent_mib_reserved = 16",
            "15:23:",
            "urgent_mib_reserved = 8",
        ),
        ("[store]\nhistory_days = \"2 weeks\"", "14:16: `history_days`", "history_days = 14"),
        ("[stroe]\n", "13:2: unknown key `stroe`", "did you mean `store`?"),
        ("[delivery]\ndrain_per_s_max = -1", "14:19: `drain_per_s_max`", "0 to 1000000"),
        ("[delivery]\nescalate_after_s = 1", "14:20: `escalate_after_s`", "5 to 3600"),
        ("[delivery]\nreceipt_wait_s = \"1m\"", "14:18: `receipt_wait_s`", "receipt_wait_s = 60"),
        (
            "[delivery]\nreceipts = \"off\"",
            "14:12: `receipts` is true or false",
            "receipts = false",
        ),
        ("[log]\nlevel = \"verbose\"", "14:9: `level` is one of", "write one of: \"error\""),
        ("[log]\ntarget = \"stdout\"", "14:10: `target` is one of", "write one of: \"auto\""),
        ("[control]\nsocket = \"control.sock\"", "14:10: `socket` is a whole path", "from / on"),
        ("[[log]]\nlevel = \"info\"", "13:1: `log` is a section", "write it as [log]"),
    ];
    for (section, place, remedy) in cases {
        let told = refusal(&format!("{LEAST}{section}\n"));
        assert!(told.starts_with(&format!("gateway.toml:{place}")), "{section}\n{told}");
        let told_remedy = told.rsplit("  -> ").next().unwrap_or_default();
        assert!(told_remedy.contains(remedy), "{section}\n{told}");
    }
}

#[test]
fn brokers_that_are_one_and_the_same_are_refused() {
    let broker = &LEAST[LEAST.find("[[broker]]").expect("it has one")..];
    let second =
        |more: &str| format!("{LEAST}{}", broker.replace("host = ", &format!("{more}\nhost = ")));
    let told = refusal(&second(""));
    assert!(told.starts_with("gateway.toml:15:8: the same broker as \"broker-1\""), "{told}");
    let elsewhere = second("port = 8884");
    assert_eq!(crate::parse(&elsewhere).brokers[1].name.as_str(), "broker-2");
    let told = refusal(&elsewhere.replace("port = 8884", "port = 8884\nname = \"broker-1\""));
    assert!(told.contains("a second [[broker]] named \"broker-1\""), "{told}");
    let many: String = (0..5)
        .map(|n| broker.replace("host = ", &format!("port = {}\nhost = ", 1000 + n)))
        .collect();
    let text = LEAST.replace(broker, &many);
    assert!(refusal(&text).contains("more than 4 [[broker]]"), "{}", refusal(&text));
}

/// It acknowledges what it drops: only a receipt tells that an event was not lost.
#[test]
fn a_broker_of_mqtt_3_1_1_is_refused_without_receipts() {
    let older = with("[[broker]]", "mqtt = \"3.1.1\"\nsession_expiry_s = 60");
    let config = crate::parse(&older);
    assert_eq!(config.brokers[0].mqtt, MqttVersion::V3_1_1);
    assert_eq!(crate::parse(LEAST).brokers[0].mqtt, MqttVersion::V5);
    let warning = config.warnings[0].to_string();
    assert!(
        warning.starts_with("gateway.toml:10:20: `session_expiry_s` cannot be told"),
        "{warning}"
    );
    assert_eq!(crate::parse(&config.to_text()).brokers, config.brokers);
    let told = refusal(&format!("{older}[delivery]\nreceipts = false\n"));
    assert!(told.starts_with("gateway.toml:9:8: a broker that speaks MQTT 3.1.1 drops"), "{told}");
    assert!(told.contains("-> write: receipts = true in [delivery]"), "{told}");
}

#[test]
fn a_section_of_the_wrong_shape_and_none_at_all_are_told() {
    let single = LEAST.replace("[[broker]]", "[broker]");
    assert!(
        refusal(&single)
            .starts_with("gateway.toml:8:1: `broker` is a section that may be repeated")
    );
    let problems = refusals("");
    let texts: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the top of the file lacks `site`",
            "the top of the file lacks `gateway`",
            "the top of the file lacks `slot`",
            "there is no [[link]]: nothing could be heard",
            "there is no [[broker]]"
        ]
    );
    let many: String = (0..16)
        .map(|n| format!("[[link]]\nname = \"l{n}\"\nkind = \"serial\"\npath = \"/dev/s{n}\"\n"))
        .collect();
    let told = refusal(&LEAST.replace("[[broker]]", &format!("{many}[[broker]]")));
    assert!(told.contains("more than 16 [[link]] sections"), "{told}");
}

#[test]
fn twins_among_the_links_are_told() {
    let twin = "[[link]]\nname = \"serial-1\"\nkind = \"serial\"\npath = \"/dev/serial/by-id/usb-receiver\"\n";
    let problems = refusals(&format!("{LEAST}{twin}"));
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0]
            .to_string()
            .starts_with("gateway.toml:14:8: a second link of the name \"serial-1\"")
    );
    assert!(
        problems[1].to_string().starts_with("gateway.toml:16:8: a second link on /dev/serial/")
    );
}

#[test]
fn all_problems_come_at_once_in_order_of_lines() {
    let text = LEAST
        .replace("slot = 0", "slot = 99")
        .replace("kind = \"serial\"", "kind = \"serial\"\nbaud = \"fast\"")
        .replace("host = ", "hots = ");
    let lines: Vec<usize> = refusals(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 7, 9, 10]);
    let told = Config::parse(&text, "gateway.toml").expect_err("four problems").to_string();
    assert!(told.ends_with("4 problems in the configuration"), "{told}");
}

#[test]
fn a_breach_of_the_grammar_is_told_with_its_place() {
    for (text, place) in [
        ("site = harbour\n", "gateway.toml:1:8: this is no TOML"),
        ("site = \"a\"\nsite = \"b\"\n", "gateway.toml:2:1: `site` is written twice"),
        ("[store\n", "gateway.toml:1:"),
        ("site = \"ä\" x\n", "gateway.toml:1:12: this is no TOML"),
        ("\u{0}\u{1}", "gateway.toml:1:3: this is no TOML"),
    ] {
        let told = refusal(text);
        assert!(told.starts_with(place), "{text}\n{told}");
    }
}

#[test]
fn columns_count_characters_not_bytes() {
    let told = refusal(&with("slot", "slot = 0 # für\n\"größe\" = 1"));
    assert!(told.starts_with("gateway.toml:4:1: unknown key `größe`"), "{told}");
}

#[test]
fn a_secret_that_strayed_into_the_file_is_not_repeated() {
    for line in [
        "password = \"hunter2-71\"",
        "password_file = \"hunter2-71\"",
        "passwrod_file = \"hunter2-71\"",
        "pasword = hunter2-71",
        "psk = 'hunter2-71'",
        "colour = \"hunter2-71\"",
        "key = \"\"\"\n-----BEGIN hunter2-71\n",
    ] {
        let errors = Config::parse(&with("[[broker]]", line), "gateway.toml").expect_err("refused");
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }
    let told = refusal(&with("[[broker]]", "secret = \"x\""));
    assert!(told.contains("secrets never stand in this file"), "{told}");
}

#[cfg(not(feature = "sim"))]
#[test]
fn a_build_without_the_simulator_says_so() {
    let text = LEAST
        .replace("kind = \"serial\"", "kind = \"virtual-radio\"")
        .replace("path = ", "socket = ");
    let told = refusal(&text);
    assert!(told.starts_with("gateway.toml:6:8: this build has no virtual radio"), "{told}");
    assert!(told.contains("--features sim"), "{told}");
}
