//! `check`: what is right is said to be, what is wrong is told with what to do.

use super::{Authority, Said, Site, pins};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// A finding's grade, text and remedy.
pub(super) fn finding(said: &Said, words: &str) -> (String, String) {
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let findings = json["findings"].as_array().expect("a list");
    let found = findings
        .iter()
        .find(|finding| finding["text"].as_str().is_some_and(|text| text.contains(words)));
    let found = found.unwrap_or_else(|| panic!("no finding with {words:?}: {findings:#?}"));
    let text = |member: &str| found[member].as_str().expect("a text").to_owned();
    (text("grade"), text("remedy"))
}

pub(super) fn expect_wrong(site: &Site, words: &str, remedy: &str) {
    let said = site.run(&["check", "--offline", "--json"]).expect(1);
    let (grade, told) = finding(&said, words);
    assert_eq!(grade, "wrong", "{words}");
    assert!(told.contains(remedy), "{told}");
    let said = site.run(&["check", "--offline"]).expect(1);
    assert!(said.out.contains("WRONG ") && said.out.contains(words), "{}", said.out);
}

/// What is advised of the site. What is advised of the machine on which the tests run is
/// its own affair; `src/cli/check` has a test for each.
fn advised(site: &Site) -> Vec<String> {
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let findings = json["findings"].as_array().expect("a list").iter();
    let about = findings
        .filter(|finding| finding["grade"] != "good")
        .map(|finding| finding["about"].as_str());
    let about =
        about.flatten().filter(|about| !["clock", "disk", "power", "service"].contains(about));
    about.map(str::to_owned).collect()
}

#[test]
fn a_site_in_order_has_nothing_wrong() {
    let site = Site::new();
    assert_eq!(advised(&site), ["keyring"]);
    let said = site.run(&["check", "--offline"]).expect(0);
    assert!(
        said.out.contains("0 wrong, ") && said.out.contains("no pendant is enrolled"),
        "{}",
        said.out
    );
    site.enroll("00012f", &pins(), &[]).expect(0);
    assert_eq!(advised(&site), [""; 0]);
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    for good in [
        "1 enrolled",
        "is the key of",
        "is valid now",
        "ca.pem: 1",
        "serial port /dev/null is there",
    ] {
        assert_eq!(finding(&said, good).0, "good");
    }
}

#[test]
fn advice_is_no_failure() {
    let site = Site::new();
    site.edit("[control]", "[delivery]\nreceipts = false\n[control]");
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    let (grade, remedy) = finding(&said, "without receipts an event counts as delivered");
    assert_eq!(grade, "advice");
    assert!(remedy.contains("receipts = true"));
    site.enroll("00012f", &pins(), &[]).expect(0);
    site.edit(
        "[control]",
        "[[pendant]]\nnumber = \"00012f\"\n[[pendant]]\nnumber = \"00012e\"\n[control]",
    );
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    let (grade, remedy) = finding(&said, "pendant 00012e has settings of its own, but is not");
    assert_eq!(grade, "advice");
    assert!(remedy.contains("correct `number`") && !said.out.contains("pendant 00012f has"));
    // A certificate of another authority than the broker's may be right.
    let (certificate, key) = Authority::new().certify((2000, 2100), ClientAuth);
    site.write("gateway.pem", &certificate, 0o644);
    site.write("gateway.key", &key, 0o600);
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    assert_eq!(finding(&said, "was not signed by an authority in ca_file").0, "advice");
}

#[test]
fn what_is_wrong_with_certificates_and_keys_is_told() {
    let site = Site::new();
    site.certify((2000, 2001), ClientAuth);
    expect_wrong(&site, "gateway.pem has expired", "have a new certificate signed");
    site.certify((2099, 2100), ClientAuth);
    expect_wrong(&site, "gateway.pem is not valid yet", "clock");
    site.certify((2000, 2100), ServerAuth);
    expect_wrong(&site, "is not one that a broker takes", "clientAuth");

    site.certify((2000, 2100), ClientAuth);
    let (_, other_key) = site.ca.certify((2000, 2100), ClientAuth);
    site.write("gateway.key", &other_key, 0o600);
    expect_wrong(&site, "gateway.key is not the key of", "of one request");
    let in_one_line = other_key.replace('\n', "");
    for text in ["", "no key\n", "-----BEGIN PRIVATE KEY-----\nMIIC\n", &site.ca.pem, &in_one_line]
    {
        site.write("gateway.key", text, 0o600);
        expect_wrong(
            &site,
            "holds no private key that can be used",
            "as PEM, without a passphrase",
        );
        let told = site.run(&["check", "--offline"]).out;
        assert!(!told.contains(&in_one_line[40..60]), "{told}");
    }

    site.certify((2000, 2100), ClientAuth);
    site.write("ca.pem", "", 0o644);
    expect_wrong(&site, "ca.pem holds no certificate", "BEGIN CERTIFICATE");
    site.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644);
    expect_wrong(&site, "cannot be an authority's", "that signed the broker's");
    site.write("ca.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", 0o644);
    expect_wrong(&site, "ca.pem cannot be understood", "BEGIN CERTIFICATE");
}

#[test]
fn what_is_wrong_with_files_is_told() {
    let site = Site::new();
    let open = |file: &str, mode| {
        fs::set_permissions(site.path(file), Permissions::from_mode(mode)).expect("ours")
    };
    open("gateway.key", 0o644);
    expect_wrong(&site, "gateway.key holds a secret, but its permissions 0644", "chmod 600");
    let said = site.run(&["run"]).expect(2);
    assert!(said.err.contains("gateway.toml:18:12: "), "{}", said.err);
    open("gateway.key", 0o600);
    open("password", 0o640);
    expect_wrong(&site, "password holds a secret, but its permissions 0640", "chmod 600");
    open("password", 0o600);
    fs::remove_file(site.path("ca.pem")).expect("there");
    expect_wrong(&site, "there is no file", "correct the path");
}

#[test]
fn what_is_wrong_with_the_store_is_told() {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    let store = site.path("store");
    let open = |mode| fs::set_permissions(&store, Permissions::from_mode(mode)).expect("ours");
    open(0o777);
    expect_wrong(&site, "others may write to", "chmod 700");
    open(0o700);
    site.edit("journal_mib_max = 16", "journal_mib_max = 65536");
    site.edit("history_mib_max = 1", "history_mib_max = 4096");
    // Only where the disk is too small for that.
    let said = site.run(&["check", "--offline", "--json"]);
    if said.code == Some(1) {
        assert!(
            finding(&said, "journal and history may grow to 69632 MiB")
                .1
                .contains("lower journal_mib_max")
        );
    }
    site.edit("journal_mib_max = 65536", "journal_mib_max = 16");

    let enrolment = site.path("store/keyring/00012f.enrolment");
    let good = fs::read(&enrolment).expect("written");
    fs::write(&enrolment, &good[1..]).expect("ours");
    expect_wrong(&site, "00012f.enrolment is damaged", "not heard");
    fs::write(&enrolment, &good).expect("ours");
    let key = site.path("store/store.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("ours");
    expect_wrong(&site, "store.key holds a secret", "store");
    fs::remove_file(&key).expect("there");
    expect_wrong(&site, "restore the key from the backup", "store");
    fs::remove_dir_all(&store).expect("there");
    expect_wrong(&site, "No such file", "install -d -m 0700");
}

#[test]
fn what_is_wrong_with_a_port_is_told() {
    let site = Site::new();
    site.edit("/dev/null", "/dev/serial/by-id/usb-gone");
    expect_wrong(
        &site,
        "there is no serial port /dev/serial/by-id/usb-gone",
        "plug the receiver in",
    );
    site.edit("/dev/serial/by-id/usb-gone", &site.path("ca.pem").display().to_string());
    expect_wrong(&site, "ca.pem is no serial port", "correct the path");
}

#[test]
fn a_network_interface_that_is_not_there_is_told() {
    let site = Site::new();
    site.edit("[[broker]]", "[[broker]]\ninterface = \"lo\"");
    let said = site.run(&["check", "--offline", "--json"]).expect(0);
    assert_eq!(finding(&said, "network interface lo is there").0, "good");
    site.edit("interface = \"lo\"", "interface = \"wwan77\"");
    expect_wrong(&site, "there is no network interface wwan77", "ip -brief link");
}

#[test]
fn a_refused_configuration_is_told_as_findings_too() {
    let site = Site::new();
    site.edit("slot = 0", "slot = \"7\"");
    let said = site.run(&["check", "--offline", "--json"]).expect(2);
    assert_eq!(finding(&said, "`slot` is a whole number").1, "write: slot = 7");
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["well"], false);
    assert_eq!(json["findings"][0]["place"]["line"], 3);
    assert_eq!(json["findings"][0]["place"]["column"], 8);
}
