//! `pendants key`, `pendants share` and `pendants accept`: one pendant at two gateways.

use super::control::gateway;
use super::enroll::json;
use super::{DURESS, SAFE, Said, Site, pins, run};
use pendant_gateway::engine::keyring::{Enrolment, Secrets};
use pendant_gateway::engine::pin::Entered;
use pendant_gateway::shell::keyring_files::KeyringFiles;
use pendant_gateway::shell::store_key::StoreKey;
use pendant_protocol::PinDigits;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A gateway with two pendants, and one beside it that shall hear them, too.
fn two() -> (Site, Site) {
    let (a, b) = (Site::new(), Site::new());
    b.edit("gateway = \"crane-2\"\nslot = 0", "gateway = \"quay-1\"\nslot = 4");
    a.enroll("00012f", &pins(), &[]).expect(0);
    a.enroll("000130", "31415926\n71828182\n", &[]).expect(0);
    (a, b)
}

impl Site {
    fn key(&self) -> String {
        let said = self.run(&["pendants", "key", "--json"]).expect(0);
        json(&said)["key"].as_str().expect("a key").to_owned()
    }

    fn share(&self, key: &str, more: &[&str], file: &Path) -> Said {
        let file = file.display().to_string();
        let arguments = ["pendants", "share", "--with", key];
        self.run(&[&arguments[..], more, &[file.as_str()]].concat())
    }

    /// Shares; gives the check.
    fn shared(&self, with: &Self, more: &[&str], file: &Path) -> String {
        let said = self.share(&with.key(), &[more, &["--json"]].concat(), file).expect(0);
        json(&said)["check"].as_str().expect("a check").to_owned()
    }

    fn accept(&self, file: &Path, check: &str, more: &[&str]) -> Said {
        let file = file.display().to_string();
        self.run(&[&["pendants", "accept", "--check", check, file.as_str()], more].concat())
    }

    fn enrolment(&self, pendant: &str) -> Enrolment {
        let key = StoreKey::read(&self.path("store/store.key")).expect("made");
        let files = KeyringFiles::new(&self.path("store"), &key);
        files.find(pendant.parse().expect("a number")).expect("enrolled")
    }

    fn files(&self) -> usize {
        fs::read_dir(self.path("store/keyring")).map_or(0, Iterator::count)
    }
}

fn judged(enrolment: &Enrolment, digits: &str) -> &'static str {
    let Secrets::Native { pins: Some(pins), .. } = &enrolment.secrets else { panic!("no PINs") };
    match pins.judge(PinDigits::from_digits(digits).expect("digits")) {
        Entered::Safe => "safe",
        Entered::Duress => "duress",
        Entered::Wrong => "wrong",
    }
}

fn key_bytes(enrolment: &Enrolment) -> [u8; 16] {
    let Secrets::Native { key, .. } = &enrolment.secrets else { panic!("not native") };
    *key.as_bytes()
}

#[test]
fn pendants_are_at_both_gateways_with_one_key_one_enrolment_and_both_pins() {
    let (a, b) = two();
    let file = a.path("for-quay.share");
    let said = b.run(&["pendants", "key"]).expect(0);
    let key = said.out.trim();
    let fingerprint = json(&b.run(&["pendants", "key", "--json"]).expect(0))["fingerprint"]
        .as_str()
        .expect("a code")
        .to_owned();
    assert!(said.err.contains(&fingerprint) && said.err.contains("slot 4"), "{}", said.err);

    let said = a.share(key, &["--all"], &file).expect(0);
    for told in ["2 pendants in", &fingerprint, "pendants accept --check ", "00012f  m.okafor  "] {
        assert!(said.out.contains(told), "{told}\n{}", said.out);
    }
    let check = said.out.split("--check ").nth(1).expect("printed").split(' ').next().expect("it");
    let mode = fs::metadata(&file).expect("written").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    // The running gateway is asked to read its keyring.
    let asked = gateway(&b, "{}\n");
    let said = b.accept(&file, &check.to_lowercase(), &[]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    assert!(said.err.contains("2 of harbour/crane-2 taken, 0 had been"), "{}", said.err);
    // Both on one site, and neither is told when to answer.
    assert!(said.err.contains("downlink_role = \"primary\""), "{}", said.err);
    for (pendant, safe, duress) in [("00012f", SAFE, DURESS), ("000130", "31415926", "71828182")] {
        let (there, here) = (a.enrolment(pendant), b.enrolment(pendant));
        assert_eq!((there.id, &there.wearer), (here.id, &here.wearer));
        // Of it and the counter an event's id is made (`promises/p_many_gateways.rs`).
        assert_eq!(key_bytes(&there), key_bytes(&here));
        let found = [safe, duress, "11112222"].map(|digits| judged(&here, digits));
        assert_eq!(found, ["safe", "duress", "wrong"]);
    }
    // Sealed under another store's key.
    let name = "store/keyring/00012f.enrolment";
    assert_ne!(fs::read(a.path(name)).expect("there"), fs::read(b.path(name)).expect("there"));

    let said = b.accept(&file, check, &[]).expect(0);
    assert!(said.err.contains("0 of harbour/crane-2 taken, 2 had been"), "{}", said.err);
    let said = json(&b.accept(&file, check, &["--json"]).expect(0));
    assert_eq!(said["unchanged"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        said["from"],
        serde_json::json!({ "site": "harbour", "gateway": "crane-2", "slot": 0 })
    );
}

#[test]
fn roles_that_are_apart_and_sites_that_are_apart_need_no_advice() {
    let (a, b) = two();
    a.edit("slot = 0", "slot = 0\ndownlink_role = \"primary\"");
    b.edit("slot = 4", "slot = 4\ndownlink_role = \"secondary\"");
    let check = a.shared(&b, &["--pendant", "00012f"], &a.path("1"));
    let said = b.accept(&a.path("1"), &check, &[]);
    assert!(!said.err.contains("downlink_role"), "{}", said.err);
    assert_eq!(b.files(), 1, "the other one was not named");
    b.edit("downlink_role = \"secondary\"", "downlink_role = \"only\"");
    let check = a.shared(&b, &["--pendant", "00012f", "--pendant", "000130"], &a.path("2"));
    let said = b.accept(&a.path("2"), &check, &[]);
    assert!(said.err.contains("downlink_role"), "{}", said.err);
    assert!(said.err.contains("1 of harbour/crane-2 taken, 1 had been"), "{}", said.err);
    b.edit("site = \"harbour\"", "site = \"depot\"");
    let said = b.accept(&a.path("2"), &check, &[]);
    assert!(!said.err.contains("downlink_role"), "{}", said.err);
}

#[test]
fn only_the_one_gateway_opens_it_and_only_whole() {
    let (a, b) = two();
    let stranger = Site::new();
    stranger.edit("gateway = \"crane-2\"\nslot = 0", "gateway = \"quay-2\"\nslot = 5");
    let file = a.path("for-quay.share");
    let check = a.shared(&b, &["--all"], &file);
    let said = stranger.accept(&file, &check, &[]).expect(2);
    assert!(said.err.contains("sealed for another gateway"), "{}", said.err);
    stranger.key();
    let said = stranger.accept(&file, &check, &[]).expect(2);
    assert!(said.err.contains("sealed for another gateway"), "{}", said.err);
    assert_eq!(stranger.files(), 0);

    let good = fs::read(&file).expect("written");
    let mut altered = good.clone();
    altered[100] ^= 1;
    let other = a.path("other");
    let long = vec![0; 2 * 1024 * 1024];
    for (bytes, told) in [
        (&altered[..], "does not have this check"),
        (&good[..good.len() - 1], "does not have this check"),
        (&[][..], "does not have this check"),
        (&long[..], "cut off, or too long"),
    ] {
        fs::write(&other, bytes).expect("ours");
        let said = b.accept(&other, &check, &[]).expect(2);
        assert!(said.err.contains(told), "{told}: {}", said.err);
        assert!(said.err.contains("Nothing was enrolled"), "{}", said.err);
    }
    let said = b.accept(&a.path("nowhere"), &check, &[]).expect(2);
    assert!(said.err.contains("No such file"), "{}", said.err);
    b.accept(a.root(), &check, &[]).expect(2);
    b.accept(&file, "1234", &[]).expect(2);
    // Another file of the same gateway, in the place of the one that was announced.
    let later = a.path("later.share");
    a.shared(&b, &["--all"], &later);
    b.accept(&later, &check, &[]).expect(2);
    assert_eq!(b.files(), 0);
    b.accept(&file, &check, &[]).expect(0);
    assert_eq!(b.files(), 2);
}

#[test]
fn two_gateways_of_one_slot_or_name_share_nothing() {
    let (a, b) = two();
    let file = a.path("for-quay.share");
    // Its own key; another's with the same slot.
    let own = a.key();
    let said = a.share(&own, &["--all"], &file).expect(2);
    assert!(said.err.contains("slot 0, and so is this one"), "{}", said.err);
    b.edit("slot = 4", "slot = 0");
    let equal = b.key();
    a.share(&equal, &["--all"], &file).expect(2);
    assert!(!file.exists());
    // The slot was changed between.
    b.edit("slot = 0", "slot = 4");
    let check = a.shared(&b, &["--all"], &file);
    b.edit("slot = 4", "slot = 0");
    let said = b.accept(&file, &check, &["--replace"]).expect(2);
    assert!(
        said.err.contains("harbour/crane-2, which has slot 0, and so has this"),
        "{}",
        said.err
    );
    b.edit("gateway = \"quay-1\"\nslot = 0", "gateway = \"crane-2\"\nslot = 4");
    let said = b.accept(&file, &check, &["--replace"]).expect(2);
    assert!(said.err.contains("a name of its own"), "{}", said.err);
    assert_eq!(b.files(), 0);
}

#[test]
fn what_is_enrolled_here_stays_unless_it_is_to_be_replaced() {
    let (a, b) = two();
    b.enroll("000130", "58203417\n63916472\n", &[]).expect(0);
    let (mine, file) = (b.enrolment("000130").id, a.path("for-quay.share"));
    let check = a.shared(&b, &["--all"], &file);
    let said = b.accept(&file, &check, &[]).expect(2);
    assert!(said.err.contains("pendant 000130 has another enrolment here"), "{}", said.err);
    let said = json(&b.accept(&file, &check, &["--json"]).expect(2));
    assert_eq!(said["mistakes"].as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!((b.files(), b.enrolment("000130").id), (1, mine), "all of them, or none");
    b.accept(&file, &check, &["--replace"]).expect(0);
    assert_eq!(b.enrolment("000130").id, a.enrolment("000130").id);

    // A change of shift at the first gateway.
    let bind = ["pendants", "bind", "00012f", "--wearer", "a.silva", "--pins-fd", "0"];
    run(a.command(&bind), "64201975\n97035128\n").expect(0);
    let file = a.path("again.share");
    let check = a.shared(&b, &["--all"], &file);
    let said = b.accept(&file, &check, &[]).expect(2);
    assert!(said.err.contains("00012f is enrolled here with another wearer"), "{}", said.err);
    assert_eq!(judged(&b.enrolment("00012f"), SAFE), "safe");
    let said = b.accept(&file, &check, &["--replace"]).expect(0);
    assert!(said.err.contains("1 of harbour/crane-2 taken, 1 had been"), "{}", said.err);
    let here = b.enrolment("00012f");
    assert_eq!(here.wearer.as_str(), "a.silva");
    assert_eq!(
        [SAFE, "64201975", "97035128"].map(|pin| judged(&here, pin)),
        ["wrong", "safe", "duress"]
    );

    // One that rotted here is no reason to overwrite it unasked.
    fs::write(b.path("store/keyring/00012f.enrolment"), "rot").expect("ours");
    let said = b.accept(&file, &check, &[]).expect(2);
    assert!(said.err.contains("00012f has a damaged enrolment here"), "{}", said.err);
    b.accept(&file, &check, &["--replace"]).expect(0);
    assert_eq!(b.enrolment("00012f").id, here.id);
}

#[test]
fn pendants_that_were_bought_are_not_shared() {
    let (a, b) = two();
    let lorawan = "[lorawan]\nregion = \"EU868\"\n";
    a.write(
        "gateway.toml",
        &(fs::read_to_string(a.path("gateway.toml")).expect("there") + lorawan),
        0o640,
    );
    let key = "2B7E151628AED2A6ABF7158809CF4F3C";
    let joins = ["--dev-eui", "24E124ABCDEF0001"];
    let given = ["--dev-addr", "01ABCDEF"];
    for (pendant, how, keys) in
        [("000150", joins, format!("{key}\n")), ("000151", given, format!("{key}\n{key}\n"))]
    {
        let enroll = ["enroll", "--pendant", pendant, "--wearer", "x", "--keys-fd", "0"];
        run(a.command(&[&enroll[..], &how].concat()), &keys).expect(0);
    }
    let (key, file) = (b.key(), a.path("for-quay.share"));
    for (pendant, told) in [("000150", "has joined one gateway"), ("000151", "counted by one")] {
        let said = a.share(&key, &["--pendant", "00012f", "--pendant", pendant], &file).expect(2);
        assert!(said.err.contains(told) && said.err.contains("Nothing was shared"), "{}", said.err);
        assert!(!file.exists());
    }
    let said = a.share(&key, &["--pendant", "0001ff"], &file).expect(2);
    assert!(said.err.contains("0001ff is not enrolled here"), "{}", said.err);
    let said = json(&a.share(&key, &["--all", "--json"], &file).expect(0));
    let count = |member: &str| said[member].as_array().map(Vec::len);
    assert_eq!((count("shared"), count("left_out")), (Some(2), Some(2)));
    // What the other gateway's configuration says of a number holds.
    let text = fs::read_to_string(b.path("gateway.toml")).expect("there");
    let device = "[[pendant]]\nnumber = \"00012f\"\ndevice = \"milesight-ws101\"\n";
    b.write("gateway.toml", &(text + lorawan + device), 0o640);
    let check = said["check"].as_str().expect("a check");
    let said = b.accept(&file, check, &[]).expect(2);
    assert!(said.err.contains("00012f is a milesight-ws101"), "{}", said.err);
    assert_eq!(b.files(), 0);
}

#[test]
fn a_file_that_is_there_is_never_overwritten_and_a_wrong_key_writes_none() {
    let (a, b) = two();
    let (key, file) = (b.key(), a.path("for-quay.share"));
    fs::write(&file, "somebody's").expect("ours");
    let said = a.share(&key, &["--all"], &file).expect(2);
    assert!(said.err.contains("is there already; name a new file"), "{}", said.err);
    assert_eq!(fs::read_to_string(&file).expect("untouched"), "somebody's");
    a.share(&key, &["--all"], &a.path("nowhere/file")).expect(1);
    let slip = key.replacen(&key[20..21], if &key[20..21] == "7" { "8" } else { "7" }, 1);
    let other = a.path("other.share");
    let said = a.share(&slip, &["--all"], &other).expect(2);
    assert!(said.err.contains("receiving key"), "{}", said.err);
    a.share(&key, &[], &other).expect(2);
    a.share(&key, &["--all", "--pendant", "00012f"], &other).expect(2);
    assert!(!other.exists());
    let said = b.share(&a.key(), &["--all"], &other).expect(2);
    assert!(said.err.contains("no native pendant is enrolled here"), "{}", said.err);
}

#[test]
fn neither_the_file_nor_what_is_said_holds_a_secret() {
    let (a, b) = two();
    let file = a.path("for-quay.share");
    let raw = key_bytes(&a.enrolment("00012f"));
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let store_keys = [&a, &b].map(|site| {
        site.key();
        fs::read_to_string(site.path("store/store.key")).expect("made")
    });
    let mut said = vec![b.run(&["pendants", "key"]), a.share(&b.key(), &["--all"], &file)];
    let check = a.shared(&b, &["--all"], &a.path("json"));
    said.extend([
        a.share(&b.key(), &["--all", "--json"], &a.path("json2")),
        b.accept(&file, &check, &[]),
        b.accept(&a.path("json"), &check, &["--json"]),
        b.accept(&a.path("json"), &check, &[]),
    ]);
    let sealed = fs::read(&file).expect("written");
    let secrets = [SAFE, DURESS, &hex, store_keys[0].trim(), store_keys[1].trim()];
    for text in said.iter().map(|said| format!("{}{}", said.out, said.err).to_lowercase()) {
        for secret in secrets {
            assert!(!text.contains(secret), "{text}");
        }
    }
    for secret in [&raw[..8], &hex.as_bytes()[..8], SAFE.as_bytes(), b"okafor", b"harbour"] {
        assert!(!sealed.windows(secret.len()).any(|bytes| bytes == secret));
    }
    // Its length says how many there are: not who, nor whether they have PINs.
    assert_eq!(sealed.len(), 17 + 32 + 3 * 256 + 16);
}
