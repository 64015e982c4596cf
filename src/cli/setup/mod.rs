//! `setup`: from an installed package to the first test alarm, in two steps. The first
//! writes the configuration, makes key and certificate request and takes the centre's
//! authority; the second takes the certificate that comes back, starts the gateway and
//! sends a test alarm. It asks for what it is not told.

mod asking;
mod certificate;
mod finding;
mod identity;
mod placing;
mod questions;
mod start;
mod text;

use super::check::Owner;
use super::file_fault::file_fault;
use super::machine::Machine;
use super::{Exit, Failure, parse_name, print, print_json, tell};
use crate::config::{Config, ConfigErrors, is_credential, read_secret};
use crate::engine::name::Name;
use crate::shell::durable_file::directory_around;
use crate::shell::tls::KEY_FILE_BYTES_MAX;
use asking::Asking;
use certificate::Facts;
use placing::{Kind, Placer};
use rustix::fs::{Access, access};
use rustls_pki_types::UnixTime;
use serde_json::{Map, Value, json};
use start::Ending;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use text::{Address, Concentrator, Radio, Serial};
use zeroize::Zeroizing;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The customer's site, as agreed with the centre
    #[arg(long, value_parser = parse_name)]
    site: Option<Name>,
    /// This gateway's name, as agreed with the centre
    #[arg(long, value_parser = parse_name)]
    gateway: Option<Name>,
    /// This gateway's number on the air, 0 to 31; each gateway of a customer has its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=31))]
    slot: Option<u8>,
    /// The centre's broker
    #[arg(long, value_name = "HOST[:PORT]")]
    broker: Option<Address>,
    /// The name in the broker's certificate, where that is not HOST
    #[arg(long, value_name = "NAME")]
    broker_name: Option<String>,
    /// The certificate of the centre's authority, PEM; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A receiver on a serial port; may be given more than once
    #[arg(long, value_name = "PATH[,CODEC[,BAUD]]")]
    serial: Vec<Serial>,
    /// A radio on this machine's pins
    #[arg(long, value_name = "BOARD,REGION")]
    radio: Vec<Radio>,
    /// A concentrator behind its packet forwarder
    #[arg(long, value_name = "LISTEN,EUI,REGION")]
    concentrator: Vec<Concentrator>,
    /// Where events and enrolments are kept, if not in /var/lib/pendant-gateway
    #[arg(long, value_name = "DIRECTORY")]
    store: Option<PathBuf>,
    /// The control socket, if not in /run/pendant-gateway
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// The certificate that the centre has signed, PEM; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// With --certificate: its key, if the centre made it and not this gateway
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Print the certificate request again, and do nothing else
    #[arg(long, conflicts_with_all = ["certificate", "ca", "site", "broker"])]
    request: bool,
    /// Ask nothing: take the defaults
    #[arg(long)]
    yes: bool,
    /// Replace a configuration that somebody has edited; the old one stays as .bak
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said at the end: for programs, and for people.
#[derive(Default)]
struct Report {
    told: Map<String, Value>,
    words: String,
}

impl Report {
    fn tell(&mut self, key: &str, value: Value, words: &str) {
        self.told.insert(key.to_owned(), value);
        self.words += words;
    }
}

/// Where things go: the configuration, and certificates beside it in `tls`.
struct Places<'p> {
    configuration: &'p Path,
    tls: PathBuf,
}

pub(super) fn setup(path: &Path, arguments: &Arguments) -> Result<Exit, Failure> {
    let tls = directory_around(path).join("tls");
    let tls = std::path::absolute(&tls).map_err(Failure::failed)?;
    let places = Places { configuration: path, tls };
    let stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
    if stdin(&arguments.ca) && stdin(&arguments.certificate) {
        return Err(Failure::refused(
            "only one of --ca and --certificate can be read from standard input",
        ));
    }
    let mut report = Report::default();
    let exit = if arguments.request {
        print_request(&places, &mut report)?;
        Exit::Done
    } else {
        let (written, certificate) = match second_step(&places, arguments)? {
            Some(certificate) => (false, Some(certificate)),
            None => {
                configure(&places, arguments, &mut report)?;
                (true, arguments.certificate.clone())
            }
        };
        finish(&places, certificate.as_deref(), arguments, written, &mut report)?
    };
    if arguments.json {
        print_json(&Value::Object(report.told))?;
    } else {
        print(&report.words)?;
    }
    Ok(exit)
}

/// The certificate, if the configuration that is there stays.
fn second_step(places: &Places<'_>, arguments: &Arguments) -> Result<Option<PathBuf>, Failure> {
    let path = places.configuration;
    let is_edited = match fs::read(path) {
        Ok(bytes) => std::str::from_utf8(&bytes).map_or(true, |text| !text::is_untouched(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::of_file(path, &error)),
    };
    if !is_edited || arguments.replace {
        return Ok(None);
    }
    let asking = Asking::new(arguments.yes);
    match &arguments.certificate {
        _ if questions::has_answers(arguments) => {}
        Some(certificate) => return Ok(Some(certificate.clone())),
        None if asking.is_silent() => {}
        None => {
            tell(&format!("{} is there already (--replace would begin anew).", path.display()));
            let question = "File with the certificate that the centre has signed (- to paste it)";
            let read = |text: &str| Ok(PathBuf::from(text));
            return asking.ask(question, Some("-"), "--certificate", read).map(Some);
        }
    }
    Err(Failure::refused(format!(
        "{} is set up already. To go on: setup --certificate FILE. To begin anew: --replace (the old file stays \
         as .bak)",
        path.display()
    )))
}

/// The first step.
fn configure(
    places: &Places<'_>,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failure> {
    let path = places.configuration;
    must_be_writable(path)?;
    let asking = Asking::new(arguments.yes);
    if !asking.is_silent() {
        tell(
            "Setting up this gateway. Enter takes what stands in brackets; Ctrl-C changes nothing.\n",
        );
    }
    let answers = questions::answers(&places.tls, arguments, &asking)?;
    let ca = questions::authority(&places.tls, arguments, &asking)?;
    let authorities =
        identity::authorities(&ca, "the centre's authority").map_err(Failure::refused)?;
    let (text, config) = answers.text(&path.display().to_string()).map_err(|why| {
        Failure::refused(format!("nothing was changed, for this would be refused:\n{why}"))
    })?;
    let placer = placer(&config);
    placer.folder(&places.tls)?;
    placer.store(&config.store.directory)?;
    if fs::read(&config.brokers[0].ca_file).ok().as_deref() != Some(&ca[..]) {
        placer.write(&config.brokers[0].ca_file, &ca, Kind::Public)?;
    }
    tell_authorities(&authorities, report);
    if arguments.key.is_none() {
        let (pem, file) = make_request(&config, placer)?;
        let words = format!(
            "Key: made on this gateway, and never leaves it\nRequest: {}\n",
            file.display()
        );
        report.tell("request", json!(pem), &words);
        report.tell("request_file", json!(file), "");
    }
    // Last: as long as it is not there, the step can be taken again.
    placer.write(path, text.as_bytes(), Kind::Configuration)?;
    let written = format!("Configuration: {}\n", path.display());
    report.tell("configuration", json!(path), &written);
    for warning in &config.warnings {
        report.words += &format!("{warning}\n");
    }
    Ok(())
}

fn placer(config: &Config) -> Placer {
    let owner = Owner::installed(&Machine::this()).or_else(|| Owner::of(&config.store));
    Placer::new(owner)
}

/// Said before anybody answers a question.
fn must_be_writable(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Failure::failed(format!("{} cannot be written to: {error}; use sudo", folder.display()))
    })
}

fn tell_authorities(authorities: &[Facts], report: &mut Report) {
    let mut list = Vec::new();
    for facts in authorities {
        let Facts { name, fingerprint, ends_unix_s, .. } = facts;
        list.push(json!({ "name": name, "sha256": fingerprint, "ends_unix_s": ends_unix_s }));
        report.words += &format!(
            "Authority: \"{name}\", valid until {}\n  SHA-256 {fingerprint}\n",
            facts.ends()
        );
    }
    report.words += "  Compare this with what the centre says: whoever has another one could pose as the centre.\n";
    report.told.insert("authorities".to_owned(), Value::Array(list));
}

/// The request for the key that is there, or for one that is made now. A key is never
/// overwritten.
fn make_request(config: &Config, placer: Placer) -> Result<(String, PathBuf), Failure> {
    let broker = &config.brokers[0];
    let file = &broker.key_file;
    let key = match read_secret(file, KEY_FILE_BYTES_MAX) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_credential(file) => {
            let key = identity::new_key()?;
            placer.write(file, key.as_bytes(), Kind::Secret)?;
            Zeroizing::new(key.as_bytes().to_vec())
        }
        Err(error) => return Err(Failure::of_file(file, &error)),
    };
    let key = std::str::from_utf8(&key)
        .map_err(|_| Failure::failed(format!("{} holds no key as PEM", file.display())))?;
    let pem = identity::request(key, config.gateway.as_str())?;
    // A credential is not in a folder that is ours.
    let beside = if is_credential(file) { &broker.certificate_file } else { file };
    let request = beside.with_extension("csr");
    placer.write_over(&request, pem.as_bytes(), Kind::Public)?;
    Ok((pem, request))
}

fn print_request(places: &Places<'_>, report: &mut Report) -> Result<(), Failure> {
    let config = Config::read_text(places.configuration)?;
    let (pem, _) = make_request(&config, placer(&config))?;
    report.tell("request", json!(pem), &pem);
    Ok(())
}

fn ask_for_certificate(places: &Places<'_>, report: &mut Report) {
    let config = match places.configuration.to_str() {
        Some(path) if path != crate::config::DEFAULT_PATH => format!("--config {path} "),
        _ => String::new(),
    };
    let next = format!("sudo pendant-gateway {config}setup --certificate FILE");
    let request = report.told.get("request").and_then(Value::as_str).unwrap_or_default();
    let words = format!(
        "\n{request}\nNext:\n1. Send this request to the monitoring centre. It holds no secret.\n2. Put what comes \
         back, the certificate, on this gateway (or paste it: FILE is then -), and run\n\n   {next}\n\n   It \
         checks the certificate, starts the gateway and sends a test alarm.\n"
    );
    report.tell("next", json!(next), &words);
}

/// The second step, if there is a certificate: brought now, or one that is there and fits.
fn finish(
    places: &Places<'_>,
    certificate: Option<&Path>,
    arguments: &Arguments,
    is_new: bool,
    report: &mut Report,
) -> Result<Exit, Failure> {
    let config = Config::read_text(places.configuration).map_err(|errors| match errors {
        ConfigErrors::Unreadable { path, .. } => Failure::refused(format!(
            "there is no configuration {} yet: begin with `pendant-gateway setup`",
            path.display()
        )),
        refused => refused.into(),
    })?;
    let before = present(&config);
    // Where the certificate before does not fit, the gateway that runs, if one does, is set
    // up otherwise: its test alarm would go to where it was before.
    let renewed = !is_new && before.is_some();
    let facts = match certificate {
        Some(certificate) => install(&config, certificate, arguments)?,
        None => match before {
            Some(facts) => facts,
            None => {
                ask_for_certificate(places, report);
                return Ok(Exit::Done);
            }
        },
    };
    let words =
        format!("Certificate: \"{}\", valid until {}: in place\n", facts.name, facts.ends());
    report.tell(
        "certificate",
        json!({ "name": facts.name, "ends_unix_s": facts.ends_unix_s }),
        &words,
    );
    let now_s = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    if facts.begins_unix_s.is_some_and(|begins_s| begins_s > now_s) {
        report.tell(
            "clock_behind",
            json!(true),
            "By this machine's clock the certificate is not valid yet: set the clock (`date` shows it; \
             `timedatectl` sets it)\n",
        );
    }
    let problems = config.file_problems();
    if !problems.is_empty() {
        return Err(ConfigErrors::Refused(problems).into());
    }
    let ending = start::start_and_test(places.configuration, &config, renewed)?;
    Ok(tell_ending(&ending, &config, places, report))
}

/// The certificate that is there, if it fits what is configured now.
fn present(config: &Config) -> Option<Facts> {
    let broker = &config.brokers[0];
    let key = read_secret(&broker.key_file, KEY_FILE_BYTES_MAX).ok()?;
    let certificate = fs::read(&broker.certificate_file).ok()?;
    identity::judge(&certificate, &key, &fs::read(&broker.ca_file).ok()?).ok()
}

/// Puts the certificate (and the key, if one is brought) in place, if they are right.
fn install(config: &Config, certificate: &Path, arguments: &Arguments) -> Result<Facts, Failure> {
    let broker = &config.brokers[0];
    let text = questions::read(certificate, "the certificate")?;
    let key_file = arguments.key.as_ref().unwrap_or(&broker.key_file);
    let unread = |file: &Path| {
        let file = file.to_owned();
        move |error| Failure::refused(file_fault(&file, &error))
    };
    let key = read_secret(key_file, KEY_FILE_BYTES_MAX).map_err(unread(key_file))?;
    let ca = fs::read(&broker.ca_file).map_err(unread(&broker.ca_file))?;
    let facts = identity::judge(&text, &key, &ca)
        .map_err(|why| Failure::failed(format!("the certificate was not put in place: {why}")))?;
    let placer = placer(config);
    if arguments.key.is_some()
        && read_secret(&broker.key_file, KEY_FILE_BYTES_MAX).ok().as_ref() != Some(&key)
    {
        if is_credential(&broker.key_file) {
            return Err(Failure::refused(format!(
                "key_file is {}: put the key there by hand (docs/install.md, \"Keys as \
                 credentials\"), and leave --key out",
                broker.key_file.display()
            )));
        }
        if broker.key_file.exists() {
            return Err(Failure::refused(format!(
                "{} is there already, and a key is never overwritten; move it away first",
                broker.key_file.display()
            )));
        }
        placer.write(&broker.key_file, &key, Kind::Secret)?;
    }
    placer.write(&broker.certificate_file, &text, Kind::Public)?;
    Ok(facts)
}

fn tell_ending(ending: &Ending, config: &Config, places: &Places<'_>, report: &mut Report) -> Exit {
    let pendants = "Next: enrol the pendants (`pendant-gateway enroll --help`), then `pendant-gateway check`.\n";
    match ending {
        Ending::NotStarted { runs } => {
            let run = format!("pendant-gateway --config {} run", places.configuration.display());
            let next = match runs {
                true => {
                    "The gateway that runs goes on as it was set up before. Next: end it, and start it anew"
                }
                false => "Next: start the gateway",
            };
            let words = format!(
                "\n{next} (no systemd unit of it is here): {run}\nThen send a test alarm: \
                 pendant-gateway --config {} test\n",
                places.configuration.display()
            );
            report.tell("started", json!(false), "");
            report.tell("next", json!(run), &words);
            Exit::Done
        }
        Ending::NoBroker(why) => {
            let words = format!(
                "\nThe gateway runs, but no broker is connected:\n  -> {why}\n`pendant-gateway check` says more; \
                 then `pendant-gateway test` sends the test alarm.\n"
            );
            report.tell("started", json!(true), "");
            report.tell("look_at", json!(why), &words);
            Exit::Failed
        }
        Ending::Tested(outcome) => {
            report.tell("started", json!(true), "");
            let words = outcome.words(config.delivery.receipts);
            let reached = outcome.after_ms.is_some();
            let next = if reached { pendants } else { "Then try again: pendant-gateway test\n" };
            report.tell("test", outcome.json(), &format!("\n{words}\n\n{next}"));
            if reached { Exit::Done } else { Exit::Failed }
        }
    }
}
