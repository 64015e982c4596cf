//! `pendants import` and `pendants export`.

use super::enroll::json;
use super::{Said, Site, pins, run};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const KEY: &str = "2B7E151628AED2A6ABF7158809CF4F3C";

/// A site that listens to LoRaWAN and knows of one device.
fn site() -> Site {
    let site = Site::new();
    let text = fs::read_to_string(site.path("gateway.toml")).expect("written");
    let device = "[lorawan]\nregion = \"EU868\"\n\
                  [[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n";
    site.write("gateway.toml", &format!("{text}{device}"), 0o640);
    site
}

impl Site {
    fn import(&self, text: &str, more: &[&str]) -> Said {
        self.write("many.csv", text, 0o600);
        let file = self.path("many.csv").display().to_string();
        self.run(&[&["pendants", "import", &file], more].concat())
    }

    fn enrolled(&self) -> Vec<String> {
        let listed = json(&self.run(&["pendants", "--json"]).expect(0));
        let pendants = listed["pendants"].as_array().expect("a list");
        pendants.iter().map(|one| one["pendant"].as_str().expect("a number").to_owned()).collect()
    }
}

fn many() -> String {
    format!(
        "number,wearer,device,dev_eui,app_key\n\
         00012f,m.okafor,,,\n\
         000130,a.silva,milesight-ws101,24E124ABCDEF0001,{KEY}\n\
         000131,b.novak,,,\n"
    )
}

#[test]
fn many_are_imported_and_each_native_one_s_key_is_printed_once() {
    let site = site();
    let said = site.import(&many(), &["--dry-run"]).expect(0);
    assert_eq!(said.out, "3 pendants could be imported, 2 of them native.\n");
    assert!(!site.path("store/store.key").exists(), "a look makes nothing");

    let said = site.import(&many(), &[]).expect(0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "number,wearer,provisioning");
    assert!(lines[1].starts_with("00012f,m.okafor,LWP1:00012F:"), "{}", said.out);
    assert!(lines[2].starts_with("000131,b.novak,LWP1:000131:"), "{}", said.out);
    assert_eq!(lines.len(), 3);
    assert_ne!(lines[1][29..], lines[2][28..], "each has a key of its own");
    for words in ["3 pendants imported", "no PINs yet", "many.csv holds keys", "rm "] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(site.enrolled(), ["00012f", "000130", "000131"]);
    let said = site.run(&["pendants"]).expect(0);
    assert_eq!(said.out.matches("no PINs yet: pendants bind ").count(), 2, "{}", said.out);
    let found = json(&site.run(&["check", "--json"]))["findings"].to_string();
    assert_eq!(found.matches("has no PINs").count(), 2, "{found}");
    let keep = ["pendants", "bind", "00012f", "--wearer", "m.okafor", "--keep-pins"];
    assert!(site.run(&keep).expect(0).err.contains("has no PINs yet"));
    // The wearer types them.
    let bind = ["pendants", "bind", "00012f", "--wearer", "m.okafor", "--pins-fd", "0"];
    run(site.command(&bind), &pins()).expect(0);
    let listed = json(&site.run(&["pendants", "--json"]).expect(0));
    let has_pins = |at: usize| listed["pendants"][at]["has_pins"].clone();
    assert_eq!((has_pins(0), has_pins(2)), (true.into(), false.into()));
}

#[test]
fn keys_go_into_a_new_closed_file_instead() {
    let site = site();
    let keys = site.path("keys.csv").display().to_string();
    let said = site.import(&many(), &["--keys-out", &keys, "--json"]).expect(0);
    assert!(!said.out.contains("LWP1") && !said.err.contains("LWP1"), "{said:?}");
    let imported = json(&said);
    let kinds: Vec<_> =
        imported["imported"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["native", "lorawan", "native"]);
    let mode = fs::metadata(&keys).expect("written").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let text = fs::read_to_string(&keys).expect("written");
    assert_eq!(text.matches(":").count(), 4, "{text}");

    let other = "number,wearer\n000140,c.weiss\n";
    let said = site.import(other, &["--keys-out", &keys]).expect(2);
    assert!(said.err.contains("keys.csv is there already"), "{}", said.err);
    assert_eq!(fs::read_to_string(&keys).expect("untouched"), text);
    let nowhere = site.path("nowhere/keys.csv").display().to_string();
    site.import(other, &["--keys-out", &nowhere]).expect(1);
    assert_eq!(site.enrolled().len(), 3, "nothing without its key");
    let said = site.import(other, &["--json"]).expect(0);
    let provisioning = json(&said)["imported"][0]["provisioning"].clone();
    assert!(provisioning.as_str().is_some_and(|text| text.starts_with("LWP1:000140:")), "{said:?}");
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_told() {
    let site = site();
    site.enroll("00012f", &pins(), &[]).expect(0);
    let bought = ["enroll", "--pendant", "000130", "--wearer", "x", "--keys-fd", "0", "--dev-eui"];
    run(site.command(&[&bought[..], &["24E124ABCDEF0001"]].concat()), KEY).expect(0);
    let text = format!(
        "number,wearer,device,dev_eui,app_key,node\n\
         00012f,m.okafor,,,,\n\
         000131,a.silva,,24E124ABCDEF0001,{KEY},\n\
         000132,b.novak,,24E124ABCDEF0002,{KEY},\n\
         000132,b.novak,,24E124ABCDEF0002,{KEY},\n\
         000133,c.weiss,meshtastic-node,24E124ABCDEF0003,{KEY},\n\
         000134,d.lund,,,,1234abcd\n\
         000135,E Holm,,,,\n"
    );
    let said = site.import(&text, &[]).expect(2);
    assert!(said.out.is_empty());
    for told in [
        "many.csv: line 2, column number: pendant 00012f is enrolled already",
        "many.csv: line 3, column dev_eui: this device is enrolled as pendant 000130",
        "many.csv: line 5, column number: this pendant stands in line 4 already",
        "many.csv: line 5, column dev_eui: this device stands in line 4 already",
        "many.csv: line 6, column dev_eui: that is not how its device speaks",
        "many.csv: line 7, column node: no [[link]] listens to such pendants",
        "many.csv: line 8, column wearer: ' ' may not stand in a name",
        "7 mistakes; nothing was imported",
    ] {
        assert!(said.err.contains(told), "{told}\n{}", said.err);
    }
    assert_eq!(said.err.lines().count(), 8, "{}", said.err);
    let said = site.import(&text, &["--json", "--dry-run"]).expect(2);
    let mistakes = json(&said)["mistakes"].clone();
    assert_eq!(mistakes.as_array().map(Vec::len), Some(7));
    assert_eq!((&mistakes[0]["line"], &mistakes[0]["column"]), (&2.into(), &"number".into()));
    assert_eq!(site.enrolled(), ["00012f", "000130"]);

    // What the configuration says of a pendant holds for the file, too.
    site.run(&["revoke", "000130"]).expect(0);
    let said = site.import("number,wearer\n000130,a.silva\n", &[]).expect(2);
    assert!(said.err.contains("000130 is a milesight-ws101, not a native pendant"), "{}", said.err);
    let other = format!(
        "number,wearer,device,dev_eui,app_key\n000130,a,browan-tbpb100,24E124ABCDEF0001,{KEY}\n"
    );
    let said = site.import(&other, &[]).expect(2);
    assert!(said.err.contains("column device: the configuration says that"), "{}", said.err);
}

#[test]
fn a_file_with_keys_that_others_may_read_is_refused() {
    let site = site();
    let open = |text: &str| {
        site.write("open.csv", text, 0o644);
        let file = site.path("open.csv").display().to_string();
        site.run(&["pendants", "import", &file])
    };
    let said = open(&many()).expect(2);
    assert!(said.err.contains("permissions 0644") && said.err.contains("chmod 600"), "{said:?}");
    assert!(site.enrolled().is_empty());
    // Without a key in it there is nothing to hide.
    open("number,wearer,app_key\n000140,m.okafor,\n").expect(0);
    let input = format!(
        "number,wearer,qr_code,app_key\n000141,a,LW:D0:{0}:{0}:00000000,{KEY}\n",
        "24E124ABCDEF0009"
    );
    let said = run(site.command(&["pendants", "import", "-"]), &input).expect(0);
    assert!(said.err.contains("number = \"000141\"\ndevice = \"…\""), "{}", said.err);
    assert!(!said.err.contains("holds keys"), "{}", said.err);
    let said = site.run(&["pendants", "import", "/nonexistent.csv"]).expect(2);
    assert!(said.err.contains("/nonexistent.csv: "), "{}", said.err);
    site.write("huge.csv", &"x".repeat(1_048_577), 0o600);
    let huge = site.path("huge.csv").display().to_string();
    assert!(site.run(&["pendants", "import", &huge]).expect(2).err.contains("in parts"));
}

#[test]
fn what_is_exported_has_no_secrets_and_another_gateway_takes_it() {
    let site = site();
    site.import(&many(), &[]).expect(0);
    let bind = ["pendants", "bind", "00012f", "--wearer", "m.okafor", "--pins-fd", "0"];
    run(site.command(&bind), &pins()).expect(0);
    let exported = site.run(&["pendants", "export"]).expect(0).out;
    let lines: Vec<&str> = exported.lines().collect();
    assert_eq!(
        lines[0],
        "number,wearer,kind,device,dev_eui,join_eui,dev_addr,node,changed,has_pins"
    );
    let fields = |at: usize| lines[at].split(',').collect::<Vec<_>>();
    assert_eq!(
        (&fields(1)[..8], fields(1)[9]),
        (&["00012f", "m.okafor", "native", "", "", "", "", ""][..], "yes")
    );
    assert_eq!(fields(2)[2..5], ["lorawan", "milesight-ws101", "24e124abcdef0001"]);
    assert_eq!(fields(3)[9], "no");
    assert!(fields(1)[8].starts_with("20") && fields(1)[8].ends_with('Z'), "{}", lines[1]);
    let as_json = json(&site.run(&["pendants", "export", "--json"]).expect(0));
    assert_eq!(as_json["pendants"][1]["dev_eui"], "24e124abcdef0001");
    assert_eq!(as_json["pendants"][0]["device"], serde_json::Value::Null);

    // Another gateway makes new keys; the others' have to be filled in.
    let other = self::site();
    let said = other.import(&exported, &[]).expect(2);
    assert!(said.err.contains("line 3, column app_key: this is missing"), "{}", said.err);
    let filled: String = exported
        .lines()
        .map(|line| match (line.starts_with("number"), line.starts_with("000130")) {
            (true, _) => format!("{line},app_key\n"),
            (_, true) => format!("{},{KEY}\n", line.replace("a.silva", "e.holm")),
            _ => format!("{line},\n"),
        })
        .collect();
    other.import(&filled, &[]).expect(0);
    let again = other.run(&["pendants", "export"]).expect(0).out;
    let without = |text: &str| {
        let cut = |line: &str| line.split(',').take(8).collect::<Vec<_>>().join(",");
        text.lines().map(cut).collect::<Vec<_>>()
    };
    assert_eq!(without(&again), without(&exported.replace("a.silva", "e.holm")));
}

#[test]
fn what_fails_while_it_is_written_leaves_neither_pendants_nor_keys_behind() {
    let site = site();
    site.enroll("000150", &pins(), &[]).expect(0);
    // Nobody is enrolled there, and yet the name is taken when it comes to it.
    let taken = site.path("store/keyring/000132.enrolment");
    symlink("/nonexistent", taken).expect("free");
    let keys = site.path("keys.csv").display().to_string();
    let text = "number,wearer\n000131,b.novak\n000132,c.weiss\n000133,d.lund\n";
    let said = site.import(text, &["--keys-out", &keys]).expect(1);
    assert!(said.err.contains("000132 was enrolled by somebody else"), "{}", said.err);
    assert!(said.err.contains("nothing was imported"), "{}", said.err);
    assert!(!site.path("keys.csv").exists(), "{said:?}");
    let left = fs::read_dir(site.path("store/keyring")).expect("there").count();
    assert_eq!(left, 2);
}
