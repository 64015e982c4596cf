//! The command line, through the built program.

mod bind;
mod check;
mod control;
mod credentials;
mod devices;
mod enroll;
mod enroll_bought;
mod import;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
mod queue;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/rig.rs"]
mod rig;
mod setup;
mod share;
mod support;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/terminal.rs"]
mod terminal;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pendant-gateway");

/// Eight digits do not turn up in keys and numbers by chance.
const SAFE: &str = "27491836";
const DURESS: &str = "90615243";

/// A site whose configuration is right in every part.
struct Site {
    folder: tempfile::TempDir,
    ca: Authority,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A client's certificate and key, valid within the years given.
    fn certify(&self, years: (i32, i32), usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["crane-2".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let site = Self { folder, ca: Authority::new() };
        let root = site.root().display();
        site.write(
            "gateway.toml",
            &format!(
                "site = \"harbour\"\ngateway = \"crane-2\"\nslot = 0\n\
                 [store]\ndirectory = \"{root}/store\"\njournal_mib_max = 16\nhistory_mib_max = 1\n\
                 [control]\nsocket = \"{root}/control.sock\"\n\
                 [[link]]\nname = \"serial-1\"\nkind = \"serial\"\npath = \"/dev/null\"\n\
                 [[broker]]\nhost = \"mqtt.example.org\"\nca_file = \"{root}/ca.pem\"\n\
                 certificate_file = \"{root}/gateway.pem\"\nkey_file = \"{root}/gateway.key\"\n\
                 username = \"crane\"\npassword_file = \"{root}/password\"\n"
            ),
            0o644,
        );
        site.write("ca.pem", &site.ca.pem, 0o644);
        site.write("password", "correct-horse-47\n", 0o600);
        site.certify((2000, 2100), ExtendedKeyUsagePurpose::ClientAuth);
        fs::create_dir(site.path("store")).expect("free");
        fs::set_permissions(site.path("store"), Permissions::from_mode(0o700)).expect("ours");
        site
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root().join(file)
    }

    fn write(&self, file: &str, text: &str, mode: u32) {
        fs::write(self.path(file), text).expect("writable");
        fs::set_permissions(self.path(file), Permissions::from_mode(mode)).expect("ours");
    }

    /// Changes the configuration's text.
    fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("gateway.toml")).expect("written");
        assert!(text.contains(old), "{old} is in\n{text}");
        self.write("gateway.toml", &text.replace(old, new), 0o644);
    }

    fn certify(&self, years: (i32, i32), usage: ExtendedKeyUsagePurpose) {
        let (certificate, key) = self.ca.certify(years, usage);
        self.write("gateway.pem", &certificate, 0o644);
        self.write("gateway.key", &key, 0o600);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("gateway.toml")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments), "")
    }

    /// Enrols with the PINs on standard input.
    fn enroll(&self, pendant: &str, pins: &str, more: &[&str]) -> Said {
        let arguments = ["enroll", "--pendant", pendant, "--wearer", "m.okafor", "--pins-fd", "0"];
        run(self.command(&[&arguments[..], more].concat()), pins)
    }
}

fn pins() -> String {
    format!("{SAFE}\n{DURESS}\n")
}

fn run(mut command: Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    // A program that refuses at once does not read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("plain text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_wrong_command_line_is_refused_and_help_tells_the_exit_codes() {
    let program = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        run(command, "")
    };
    program(&[]).expect(2);
    program(&["fly"]).expect(2);
    program(&["enroll"]).expect(2);
    let said = program(&["revoke", "12f"]).expect(2);
    assert!(said.err.contains("six hexadecimal digits"), "{}", said.err);
    let said = program(&["enroll", "--pendant", "00012f", "--wearer", "M. Okafor"]).expect(2);
    assert!(said.err.contains("' ' may not stand in a name"), "{}", said.err);
    // PINs are never arguments.
    program(&["enroll", "--pendant", "00012f", "--wearer", "m", "--safe-pin", SAFE]).expect(2);
    let said = program(&["--help"]).expect(0);
    let words =
        ["setup", "run", "check", "test", "enroll", "revoke", "pendants", "status", "config"];
    for word in words.into_iter().chain(["Exit codes:"]) {
        assert!(said.out.contains(word), "{word}\n{}", said.out);
    }
}

#[test]
fn config_prints_the_documented_default_and_the_effective_one() {
    let site = Site::new();
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.toml"))
        .expect("shipped");
    assert_eq!(site.run(&["config", "--default"]).expect(0).out, shipped);
    let effective = site.run(&["config"]).expect(0).out;
    assert!(
        effective.contains("keep_alive_s = 30\n") && effective.contains("[[link]]"),
        "{effective}"
    );
    site.write("gateway.toml", &effective, 0o644);
    assert_eq!(site.run(&["config"]).expect(0).out, effective);
    let json = site.run(&["config", "--json"]).expect(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["broker"][0]["port"], 8883);
    assert_eq!(json["link"][0]["kind"], "serial");
}

#[test]
fn a_refused_configuration_stops_every_command_before_it_does_anything() {
    let site = Site::new();
    site.edit("slot = 0", "slto = 0");
    let commands: [&[&str]; 7] = [
        &["run"],
        &["check"],
        &["setup", "--request"],
        &["revoke", "00012f"],
        &["pendants"],
        &["status"],
        &["config"],
    ];
    for arguments in commands {
        let said = site.run(arguments).expect(2);
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("gateway.toml:3:1: unknown key `slto`"), "{told}");
        assert!(told.contains("did you mean `slot`?"), "{told}");
    }
    site.enroll("00012f", &pins(), &[]).expect(2);
    assert_eq!(fs::read_dir(site.path("store")).expect("readable").count(), 0);
    let mut command = Command::new(PROGRAM);
    command.args(["--config", "/nonexistent/gateway.toml", "check"]);
    let said = run(command, "").expect(2);
    assert!(said.err.contains("/nonexistent/gateway.toml: cannot be read"), "{}", said.err);
}

const APP_KEY: &str = "2B7E151628AED2A6ABF7158809CF4F3C";
/// What stands on a bought pendant's box.
const LABEL: &str = "LW:D0:24E124C0002A0001:24E124ABCDEF0001:AABB1122:OMINE47:PSEKRIT47";

/// A list of pendants with every fault that a list can have near a key.
fn faulty_list() -> String {
    format!(
        "number,wearer,qr_code,app_key,node\n000150,a,,,\n000151,b,{LABEL},{APP_KEY},\n\
         000152,c,{LABEL}:C0000,{APP_KEY},\n000153,d,,{APP_KEY}0,\n000154,e,{LABEL},,1234abcd\n\
         000155,f,{APP_KEY},{APP_KEY},{APP_KEY}\n{APP_KEY},{APP_KEY},,,\n"
    )
}

/// What every command says, told right and told wrong, PINs or keys on its standard
/// input. `many`, `good`: lists to import; `keys`: where to write keys.
fn said_by_every_command(site: &Site, many: &str, good: &str, keys: &str) -> Vec<String> {
    let scan = ["enroll", "--pendant", "000157", "--wearer", "m", "--scan", "--keys-fd", "0"];
    let scanned = run(site.command(&scan), &format!("{LABEL}\n{APP_KEY}\n"));
    let commands: [&[&str]; 27] = [
        &["pendants", "import", many],
        &["pendants", "import", many, "--json"],
        &["pendants", "import", many, "--dry-run"],
        &["pendants", "import", good, "--keys-out", keys],
        &["pendants", "import", "--help"],
        &["pendants", "export"],
        &["pendants", "export", "--json"],
        &["revoke", "000156", "--json"],
        &["check", "--offline"],
        &["check", "--offline", "--json"],
        &["setup", "--request"],
        &["test"],
        &["pendants"],
        &["pendants", "--json"],
        &["pendants", "bind", "00012f", "--wearer", "m", "--keep-pins"],
        &["pendants", "bind", "00012f", "--wearer", "m", "--pins-fd", "0"],
        &["pendants", "bind", "--help"],
        &["status"],
        &["status", "--json"],
        &["log", "--level", "debug"],
        &["support", "--out", "-"],
        &["config"],
        &["config", "--json"],
        &["enroll", "--pendant", "00012f", "--wearer", "m"],
        &["revoke", "0001ff"],
        &["enroll", "--help"],
        &["revoke", "00012f"],
    ];
    let mut said = vec![scanned];
    said.extend(commands.map(|arguments| run(site.command(arguments), &pins())));
    for pins in [format!("{SAFE}\n{SAFE}\n"), format!("{DURESS}\n"), format!("{SAFE}x\n{DURESS}\n")]
    {
        let refused = site.enroll("000130", &pins, &[]);
        assert_ne!(refused.code, Some(0));
        said.push(refused);
    }
    said.into_iter().map(|said| said.out + &said.err).collect()
}

#[test]
fn nothing_that_any_command_says_or_writes_holds_a_secret() {
    let site = Site::new();
    let sheet = site.enroll("00012f", &pins(), &["--json"]).expect(0);
    let sheet_json: serde_json::Value = serde_json::from_str(&sheet.out).expect("JSON");
    let key = sheet_json["key"].as_str().expect("printed this once").to_owned();
    let store_key = fs::read_to_string(site.path("store/store.key")).expect("made");
    let client_key = fs::read_to_string(site.path("gateway.key")).expect("written");
    let client_key = client_key.lines().nth(1).expect("the first line of the key");
    site.write("many.csv", &faulty_list(), 0o600);
    let many = site.path("many.csv").display().to_string();
    site.write("good.csv", "number,wearer\n000156,g\n", 0o600);
    let good = site.path("good.csv").display().to_string();
    let keys = site.path("keys.csv").display().to_string();
    let raw_key: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();

    let capitals = key.to_uppercase();
    let shown = sheet.out.replacen(&key, "", 1).replacen(&capitals, "", 1);
    let mut texts = vec![sheet.err.clone(), shown];
    texts.extend(said_by_every_command(&site, &many, &good, &keys));
    let keys = fs::read_to_string(keys).expect("written");
    let imported = keys.trim_end().rsplit(':').next().expect("a key");
    let secrets = [SAFE, DURESS, &key, &capitals, store_key.trim(), client_key, "correct-horse-47"];
    let of_others = [APP_KEY, "MINE47", "SEKRIT47", imported];
    for secret in secrets.into_iter().chain(of_others) {
        for text in &texts {
            assert!(!text.contains(secret), "{text}");
        }
    }

    site.enroll("00012f", &pins(), &[]).expect(0);
    let sealed = fs::read(site.path("store/keyring/00012f.enrolment")).expect("written");
    let holds = |secret: &[u8]| sealed.windows(secret.len()).any(|bytes| bytes == secret);
    assert!(
        !holds(SAFE.as_bytes())
            && !holds(DURESS.as_bytes())
            && !holds(&raw_key[..8])
            && !holds(b"okafor")
    );
}
