//! Secrets that the service manager keeps, in place of files of their own.

use super::check::finding;
use super::{Said, Site, pins, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

const NAMES: [&str; 3] = ["gateway.key", "password", "store.key"];

/// A site whose secrets are where systemd puts them for the service.
fn site() -> Site {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    fs::create_dir(site.path("given")).expect("free");
    for (file, given) in [
        ("gateway.key", "given/sealed_gateway.key"),
        ("password", "given/password"),
        ("store/store.key", "given/plain_store.key"),
    ] {
        fs::rename(site.path(file), site.path(given)).expect("it was there");
        // systemd lets the service's user read by an access list, whose mask shows here.
        fs::set_permissions(site.path(given), Permissions::from_mode(0o440)).expect("ours");
    }
    let root = site.root().display().to_string();
    for name in ["gateway.key", "password"] {
        site.edit(&format!("{root}/{name}"), &format!("credential:{name}"));
    }
    site.edit("[store]", "[store]\nkey_file = \"credential:store.key\"");
    site
}

fn in_service(site: &Site, arguments: &[&str], input: &str) -> Said {
    let mut command = site.command(arguments);
    command.env("CREDENTIALS_DIRECTORY", site.path("given"));
    run(command, input)
}

#[test]
fn what_systemd_gave_is_used_and_never_shown() {
    let site = site();
    let said = in_service(&site, &["check", "--offline", "--json"], "").expect(0);
    assert_eq!(finding(&said, "is the key of").0, "good");
    assert_eq!(finding(&said, "1 enrolled").0, "good");
    let enroll = ["enroll", "--pendant", "000130", "--wearer", "a.silva", "--pins-fd", "0"];
    in_service(&site, &enroll, &pins()).expect(0);
    assert!(!site.path("store/store.key").exists(), "no second key is made");
    assert!(in_service(&site, &["pendants"], "").expect(0).out.contains("a.silva"));
    let said = in_service(&site, &["config"], "").expect(0).out;
    for name in NAMES {
        assert!(said.contains(&format!("\"credential:{name}\"")), "{said}");
    }
}

#[test]
fn a_missing_one_is_told_with_what_to_do_and_nothing_is_made_instead() {
    let site = site();
    let said = site.run(&["check", "--offline", "--json"]).expect(1);
    for name in NAMES {
        let (grade, remedy) = finding(&said, &format!("there is no credential {name}"));
        assert_eq!(grade, "wrong");
        assert!(remedy.contains(&format!("/etc/pendant-gateway/credentials/{name}")), "{remedy}");
    }
    let said = site.run(&["run"]).expect(2).err;
    assert!(said.contains("there is no credential store.key"), "{said}");
    let said = site.enroll("000130", &pins(), &[]).expect(1).err;
    assert!(said.contains("there is no credential store.key"), "{said}");
    assert!(!site.path("store/store.key").exists());
    assert!(!std::path::Path::new("credential:store.key").exists());
}

/// As `check` asks for when a certificate is about to end.
#[test]
fn a_certificate_of_a_key_that_is_a_credential_is_renewed() {
    let site = site();
    let said = in_service(&site, &["setup", "--request"], "").expect(0);
    assert!(said.out.contains("BEGIN CERTIFICATE REQUEST"), "{}", said.out);
    assert!(site.path("gateway.csr").exists(), "beside the certificate");
    let renewed = site.path("gateway.pem").display().to_string();
    let said = in_service(&site, &["setup", "--certificate", &renewed], "");
    assert!(!said.err.contains("key"), "{}", said.err);
    // Without it no other key is made, nor where it would never be looked for.
    for arguments in [&["setup", "--request"][..], &["setup", "--certificate", &renewed]] {
        let mut command = site.command(arguments);
        command.current_dir(site.root());
        let said = run(command, "");
        assert_ne!(said.code, Some(0));
        assert!(said.err.contains("there is no credential gateway.key"), "{}", said.err);
    }
    assert!(!site.path("credential:gateway.key").exists());
}

#[test]
fn only_secrets_are_credentials_and_only_by_a_name() {
    let site = Site::new();
    let root = site.root().display().to_string();
    site.edit(&format!("{root}/gateway.key"), "credential:../key");
    let said = site.run(&["check"]).expect(2).out;
    assert!(said.contains("`key_file` names no credential that could be"), "{said}");
    site.edit("credential:../key", "credential:key");
    site.edit(&format!("{root}/ca.pem"), "credential:ca.pem");
    let said = site.run(&["check"]).expect(2).out;
    assert!(said.contains("`ca_file` is a whole path"), "{said}");
}
