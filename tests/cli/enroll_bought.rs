//! `enroll` of pendants that were bought.

use super::enroll::json;
use super::{Said, Site, pins, run};

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
        let said = site.run(&["check", "--json"]);
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
