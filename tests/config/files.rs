//! The files that a configuration names: missing, or open to others.

use super::LEAST;
use pendant_gateway::config::{Config, ConfigErrors};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A folder with a whole configuration and the files that it names.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let text = LEAST.replace("/etc/pendant-gateway/tls", &folder.path().display().to_string());
        let text = format!(
            "{text}username = \"u\"\npassword_file = \"{0}/password\"\n[store]\nkey_file = \"{0}/store.key\"\n",
            folder.path().display()
        );
        let site = Self { folder };
        site.write("gateway.toml", &text, 0o644);
        for (file, mode) in [
            ("ca.pem", 0o644),
            ("gateway.pem", 0o644),
            ("gateway.key", 0o600),
            ("password", 0o400),
            ("store.key", 0o600),
        ] {
            site.write(file, "", mode);
        }
        site
    }

    fn write(&self, file: &str, text: &str, mode: u32) {
        let path = self.folder.path().join(file);
        fs::write(&path, text).expect("writable");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    }

    fn read(&self) -> Result<Config, ConfigErrors> {
        Config::read(&self.folder.path().join("gateway.toml"))
    }

    fn told(&self) -> String {
        let told = self.read().expect_err("refused").to_string();
        told.replace(&self.folder.path().display().to_string(), "DIR")
    }
}

#[test]
fn files_that_are_there_and_closed_are_taken() {
    let site = Site::new();
    site.read().unwrap_or_else(|errors| panic!("{errors}"));
    // The store's key is made when it is first needed.
    fs::remove_file(site.folder.path().join("store.key")).expect("it was there");
    site.read().unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn a_missing_file_is_told_where_it_is_named() {
    for (file, place) in [
        ("ca.pem", "10:11"),
        ("gateway.pem", "11:20"),
        ("gateway.key", "12:12"),
        ("password", "14:17"),
    ] {
        let site = Site::new();
        fs::remove_file(site.folder.path().join(file)).expect("it was there");
        let told = site.told();
        assert!(
            told.starts_with(&format!("DIR/gateway.toml:{place}: there is no file DIR/{file}\n")),
            "{told}"
        );
        assert!(told.contains("correct the path"), "{told}");
        fs::create_dir(site.folder.path().join(file)).expect("free");
        assert!(site.told().contains("is not a file"));
    }
}

#[test]
fn a_secret_file_that_is_open_to_others_is_refused() {
    for (file, place) in [("gateway.key", "12:12"), ("password", "14:17"), ("store.key", "16:12")] {
        for mode in [0o640, 0o604, 0o660, 0o620, 0o601, 0o777] {
            let site = Site::new();
            site.write("ca.pem", "", 0o644);
            let path = site.folder.path().join(file);
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
            let told = site.told();
            let start = format!(
                "DIR/gateway.toml:{place}: DIR/{file} holds a secret, but its permissions {mode:04o} let others"
            );
            assert!(told.starts_with(&start), "{told}");
            assert!(told.contains(&format!("chmod 600 DIR/{file}")), "{told}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_or_no_text_or_endless_is_told() {
    let told = Config::read(Path::new("/nonexistent/gateway.toml"))
        .expect_err("nothing there")
        .to_string();
    assert!(told.contains("/nonexistent/gateway.toml: cannot be read"), "{told}");
    assert!(told.contains("pendant-gateway setup"), "{told}");
    let site = Site::new();
    fs::write(site.folder.path().join("gateway.toml"), [0xff, 0xfe, 0x00]).expect("writable");
    assert!(site.told().starts_with("DIR/gateway.toml:1:1: this byte is no text in UTF-8"));
    let told = Config::read(Path::new("/dev/zero")).expect_err("endless").to_string();
    assert!(told.contains("longer than 1048576 bytes"), "{told}");
}

#[test]
fn a_file_that_may_not_be_read_is_not_told_as_one_that_is_missing() {
    let unreadable = |kind: std::io::ErrorKind| {
        ConfigErrors::Unreadable { path: "/etc/x.toml".into(), error: kind.into() }.to_string()
    };
    let told = unreadable(std::io::ErrorKind::PermissionDenied);
    assert!(told.contains("use sudo") && !told.contains("setup"), "{told}");
    let told = unreadable(std::io::ErrorKind::NotFound);
    assert!(told.contains("--config FILE") && told.contains("setup"), "{told}");
}
