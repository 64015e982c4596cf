//! `enroll` of pendants that were bought.

use super::enroll::{Terminal, json};
use super::{PROGRAM, Said, Site, pins, run};

const KEY: &str = "2B7E151628AED2A6ABF7158809CF4F3C";
const DEVICE: &str = "[lorawan]\nregion = \"EU868\"\n\
                      [[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n";

/// A site that listens to LoRaWAN and knows of one device.
fn site() -> Site {
    let site = Site::new();
    let text = std::fs::read_to_string(site.path("gateway.toml")).expect("written");
    site.write("gateway.toml", &format!("{text}{DEVICE}"), 0o640);
    site
}

fn enroll(site: &Site, number: &str, keys: &str, more: &[&str]) -> Said {
    let least = ["enroll", "--pendant", number, "--wearer", "m.okafor", "--keys-fd", "0"];
    run(site.command(&[&least[..], more].concat()), keys)
}

#[test]
fn a_device_that_joins_is_taken_down_and_its_key_is_shown_to_nobody() {
    let site = site();
    let said = enroll(&site, "000130", KEY, &["--dev-eui", "24-E1-24-AB-CD-EF-00-01"]).expect(0);
    assert!(said.out.contains("Pendant 000130 is enrolled for m.okafor"), "{}", said.out);
    assert!(said.out.contains("Switch the pendant off and on"), "{}", said.out);
    let shown = format!("{}{}", said.out, said.err).to_uppercase();
    assert!(!shown.contains(&KEY[..8]), "{shown}");
    let listed = json(&site.run(&["pendants", "--json"]).expect(0));
    assert_eq!(listed["pendants"][0]["pendant"], "000130");
    let file = std::fs::read(site.path("store/keyring/000130.enrolment")).expect("written");
    assert!(!file.windows(4).any(|bytes| bytes == [0x2B, 0x7E, 0x15, 0x16]), "in clear");
    site.run(&["revoke", "000130"]).expect(0);
}

const LABEL: &str = "LW:D0:24E124C0002A0001:24E124ABCDEF0001:AABB1122:PSEKRIT:CD492";

#[test]
fn a_label_is_scanned_and_nothing_secret_of_it_is_shown() {
    let site = site();
    let lines = format!("{LABEL}\n{KEY}\n");
    let said = enroll(&site, "000130", &lines, &["--scan", "--nonces", "rising"]).expect(0);
    let says = "DevEUI 24e124abcdef0001, JoinEUI 24e124c0002a0001, maker aabb, its profile 1122";
    assert!(said.err.contains(says), "{}", said.err);
    let shown = format!("{}{}", said.out, said.err).to_uppercase();
    assert!(!shown.contains("SEKRIT") && !shown.contains(&KEY[..8]), "{shown}");
    let listed = json(&site.run(&["pendants", "export", "--json"]).expect(0));
    assert_eq!(listed["pendants"][0]["join_eui"], "24e124c0002a0001");

    let misread = lines.replace("ABCDEF0001", "ABCDEF0002");
    for (lines, code, words) in [
        (misread.as_str(), 1, "the QR code's text: its CheckSum does not fit"),
        ("LW:D0:24E124C0002A0001\n00\n", 1, "ends before its DevEUI"),
        (LABEL, 2, "a line each: the QR code's text, then AppKey"),
        (&format!("{LABEL}\n{}\n", &KEY[1..]), 1, "AppKey has 32 hexadecimal digits"),
    ] {
        let said = enroll(&site, "000130", lines, &["--scan", "--replace"]).expect(code);
        assert!(said.err.contains(words), "{}", said.err);
    }
    for more in [["--dev-eui", "24E124ABCDEF0001"], ["--join-eui", "24E124ABCDEF0001"]] {
        enroll(&site, "000130", &lines, &[&["--scan", "--replace"][..], &more].concat()).expect(2);
    }
    let said = enroll(&site, "000131", &lines, &["--scan"]).expect(1);
    assert!(said.err.contains("already, as pendant 000130"), "{}", said.err);
}

#[test]
fn a_scanner_types_unseen_and_may_misread_once() {
    let site = site();
    let config = site.path("gateway.toml").display().to_string();
    let line =
        format!("{PROGRAM} --config {config} enroll --pendant 000130 --wearer m.okafor --scan");
    let mut terminal = Terminal::new(&line);
    for (prompt, typed) in
        [("QR code: ", "LWÖD0Ö24E124C0002A0001"), ("QR code: ", LABEL), ("AppKey: ", KEY)]
    {
        terminal.wait_for(prompt);
        terminal.types(&format!("{typed}\n"));
    }
    terminal.wait_for("it will know it when it starts.");
    let shown = &terminal.shown;
    assert!(terminal.child.wait().expect("it ends").success(), "{shown}");
    assert!(shown.contains("set the scanner to this computer's keyboard"), "{shown}");
    assert!(!shown.contains("SEKRIT") && !shown.contains(&KEY[..8]), "{shown}");
}

/// The new device takes the place of the broken one: same pendant, same wearer.
#[test]
fn a_broken_device_is_replaced_by_another_and_its_own_number_is_free_again() {
    let site = site();
    enroll(&site, "000130", KEY, &["--dev-eui", "24E124ABCDEF0001"]).expect(0);
    let other = ["--dev-eui", "24E124ABCDEF0002", "--replace", "--json"];
    let said = enroll(&site, "000130", KEY, &other).expect(0);
    assert_eq!(json(&said)["pendant"], "000130");
    let listed = json(&site.run(&["pendants", "export", "--json"]).expect(0));
    assert_eq!(listed["pendants"][0]["dev_eui"], "24e124abcdef0002");
    assert_eq!(listed["pendants"].as_array().map(Vec::len), Some(1));
    enroll(&site, "000131", KEY, &["--dev-eui", "24E124ABCDEF0001"]).expect(0);
}

#[test]
fn one_with_a_given_session_has_two_keys() {
    let site = site();
    let said = enroll(&site, "000130", KEY, &["--dev-addr", "26011234"]).expect(2);
    assert!(said.err.contains("a line each: NwkSKey, then AppSKey"), "{}", said.err);
    let two = format!("{KEY}\n{}\n", "2b 7e 15 16 28 ae d2 a6 ab f7 15 88 09 cf 4f 3d");
    let given = ["--dev-addr", "26011234", "--json"];
    let said = enroll(&site, "000130", &two, &given).expect(0);
    assert_eq!(json(&said)["pendant"], "000130");
    assert!(json(&said)["key"].is_null());
    // The same session again cannot be told from recorded frames.
    let again = [&given[..], &["--replace"]].concat();
    let said = enroll(&site, "000130", &two, &again).expect(1);
    assert!(said.err.contains("give it new session keys"), "{}", said.err);
    enroll(&site, "000130", &two.replace("2B7E", "2B7F"), &again).expect(0);
}

#[test]
fn what_could_not_work_is_refused_before_anything_changes() {
    let site = site();
    let eui = ["--dev-eui", "24E124ABCDEF0001"];
    for (keys, code, words) in [
        ("", 2, "a line each: AppKey"),
        ("00", 1, "AppKey has 32 hexadecimal digits"),
        (&KEY[1..], 1, "AppKey has 32 hexadecimal digits"),
        ("2B7E151628AED2A6ABF7158809CF4F3CFF", 1, "AppKey has 32 hexadecimal digits"),
        ("zz7E151628AED2A6ABF7158809CF4F3C", 1, "AppKey has 32 hexadecimal digits"),
    ] {
        let said = enroll(&site, "000130", keys, &eui).expect(code);
        assert!(said.err.contains(words), "{}", said.err);
    }
    for bad in ["24E124", "24E124ABCDEF000G", "24E124ABCDEF00012"] {
        let said = enroll(&site, "000130", KEY, &["--dev-eui", bad]).expect(2);
        assert!(said.err.contains("16 hexadecimal digits"), "{}", said.err);
    }
    enroll(&site, "000130", KEY, &["--dev-eui", "24E124ABCDEF0001", "--pins-fd", "0"]).expect(2);
    let said = enroll(&site, "000130", KEY, &[]).expect(2);
    assert!(said.err.contains("--keys-fd is for a pendant with --dev-eui"), "{}", said.err);
    assert!(!site.path("store/keyring").exists(), "nothing was enrolled");

    enroll(&site, "000130", KEY, &eui).expect(0);
    let said = enroll(&site, "000131", KEY, &eui).expect(1);
    assert!(said.err.contains("enrolled already, as pendant 000130"), "{}", said.err);
    let said = enroll(&site, "000130", KEY, &eui).expect(1);
    assert!(said.err.contains("with --replace"), "{}", said.err);
    enroll(&site, "000130", KEY, &[&eui[..], &["--replace"]].concat()).expect(0);
    // Nobody knows what it will say.
    let other = ["--dev-eui", "24E124ABCDEF0002"];
    let said = enroll(&site, "000132", KEY, &other).expect(0);
    assert!(said.err.contains("does not say which device 000132 is"), "{}", said.err);

    let deaf = Site::new();
    let said = enroll(&deaf, "000130", KEY, &eui).expect(1);
    assert!(said.err.contains("write a section [lorawan]"), "{}", said.err);
}

#[test]
fn it_has_no_pins_to_be_handed_over() {
    let site = site();
    enroll(&site, "000130", KEY, &["--dev-eui", "24E124ABCDEF0001"]).expect(0);
    let bind = ["pendants", "bind", "000130", "--wearer", "a.silva"];
    let with_pins = run(site.command(&[&bind[..], &["--pins-fd", "0"]].concat()), &pins());
    let said = with_pins.expect(1);
    assert!(said.err.contains("has no PINs: hand it over with --keep-pins"), "{}", said.err);
    // Before anybody types them: not even nothing is read.
    let said = run(site.command(&[&bind[..], &["--pins-fd", "0"]].concat()), "").expect(1);
    assert!(said.err.contains("hand it over with --keep-pins"), "{}", said.err);
    site.run(&[&bind[..], &["--keep-pins"]].concat()).expect(0);
}

#[test]
fn one_that_nobody_vouches_for_has_a_number_and_a_link_that_takes_it() {
    let site = Site::new();
    let enroll = |site: &Site, more: &[&str]| {
        let least = ["enroll", "--pendant", "000140", "--wearer", "m.okafor"];
        site.run(&[&least[..], more].concat())
    };
    let said = enroll(&site, &["--node", "1234abcd"]).expect(1);
    assert!(said.err.contains("codec = \"meshtastic\""), "{}", said.err);
    let text = std::fs::read_to_string(site.path("gateway.toml")).expect("written");
    let mesh = "[[link]]\nname = \"mesh\"\nkind = \"serial\"\npath = \"/dev/mesh\"\n\
                codec = \"meshtastic\"\nunauthenticated = true\n\
                [[pendant]]\nnumber = \"000140\"\ndevice = \"meshtastic-node\"\n";
    site.write("gateway.toml", &format!("{text}{mesh}"), 0o640);
    enroll(&site, &["--node", "1234abc"]).expect(2);
    enroll(&site, &["--node", "1234abcd", "--dev-addr", "26011234"]).expect(2);
    let said = enroll(&site, &["--node", "1234abcd", "--json"]).expect(0);
    assert_eq!(json(&said)["pendant"], "000140");
    let again = ["enroll", "--pendant", "000141", "--wearer", "x", "--node", "1234abcd"];
    let said = site.run(&again).expect(1);
    assert!(said.err.contains("already, as pendant 000140"), "{}", said.err);
}

/// What was enrolled and what the configuration says must fit each other.
#[test]
fn check_tells_of_bought_pendants_that_nobody_would_understand() {
    let site = site();
    enroll(&site, "000130", KEY, &["--dev-eui", "24E124ABCDEF0001"]).expect(0);
    let told = |site: &Site| {
        let said = site.run(&["check", "--offline", "--json"]);
        json(&said)["findings"].to_string()
    };
    assert!(!told(&site).contains("pendant 000130"), "{}", told(&site));
    site.edit("device = \"milesight-ws101\"", "device = \"meshtastic-node\"");
    assert!(told(&site).contains("which its device does not speak"), "{}", told(&site));
    site.edit("device = \"meshtastic-node\"\n", "");
    assert!(told(&site).contains("nothing says which device it is"), "{}", told(&site));
    site.edit(
        "[[pendant]]\nnumber = \"000130\"\n",
        "[[pendant]]\nnumber = \"00012f\"\ndevice = \"milesight-ws101\"\n",
    );
    site.enroll("00012f", &pins(), &[]).expect(0);
    assert!(told(&site).contains("is enrolled as a native pendant"), "{}", told(&site));
}
