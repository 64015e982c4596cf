//! `fleet`: hundreds of gateways and their people in this process.

use super::{Exit, Refusal, say, told_to_stop};
use crate::fleet::{self, GATEWAYS_MAX, Given, PENDANTS_MAX, Pace, Progress, Settings};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Gateways, each with its own journal, certificate and line to the broker
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(GATEWAYS_MAX)))]
    gateways: u32,
    /// Pendants at each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(PENDANTS_MAX)))]
    pendants: u32,
    /// How long people work
    #[arg(long, value_name = "S", default_value_t = 60)]
    lasts_s: u64,
    /// Mean time between two heartbeats of a pendant
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    heartbeat_s: f64,
    /// Mean time between two presses, PINs or sessions of a pendant
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    press_s: f64,
    /// Measure for so long what is sent when nobody does anything
    #[arg(long, value_name = "S", default_value_t = 0)]
    idle_s: u64,
    /// Neither kill the broker nor cut a tenth of the gateways off
    #[arg(long)]
    undisturbed: bool,
    /// How long everything may take to connect, and to arrive at the end
    #[arg(long, value_name = "S", default_value_t = 300)]
    patience_s: u64,
    /// A broker that you run; otherwise a mosquitto is started
    #[arg(long, requires = "ca")]
    host: Option<String>,
    /// Its port
    #[arg(long, default_value_t = 8883)]
    port: u16,
    /// The authority that signed its certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["host", "certificate", "key"])]
    ca: Option<PathBuf>,
    /// A certificate that may speak for all gateways of the site `fleet` and for the centre (PEM)
    #[arg(long, value_name = "FILE", requires = "ca")]
    certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    /// Keep journals and certificates here; otherwise in a temporary folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// What people do follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// The longest mean time that makes sense, s.
const MEAN_MAX_S: f64 = 7.0 * 86_400.0;

pub(super) async fn fleet(arguments: Arguments) -> Result<Exit, Refusal> {
    let json = arguments.json;
    let settings = settings(arguments)?;
    let all = settings.gateways;
    let is_terminal = !json && io::stderr().is_terminal();
    let mut unheard = Ok(());
    let stop = told_to_stop()?;
    let running = fleet::run(settings, |progress| {
        if is_terminal {
            bar(progress, all);
        }
        let text = if json { Some(json_line(progress)) } else { line(progress, all) };
        if let (Some(text), true) = (text, unheard.is_ok()) {
            unheard = say(&text);
        }
    });
    // Dropped half-way, it takes its broker and its folder along.
    let report = tokio::select! {
        report = running => report?,
        why = stop => return Err(Refusal(why.into())),
    };
    unheard?;
    if json {
        say(&json!({ "report": report.json() }).to_string())?;
    } else {
        say(&report.to_string())?;
    }
    Ok(if report.is_whole() { Exit::AsExpected } else { Exit::Unexpected })
}

fn settings(arguments: Arguments) -> Result<Settings, Refusal> {
    let mean = |name: &str, seconds: f64| {
        let is_fine = seconds > 0.0 && seconds <= MEAN_MAX_S;
        let why = || Refusal(format!("--{name} {seconds}: above 0, at most {MEAN_MAX_S}"));
        if is_fine { Ok(Duration::from_secs_f64(seconds)) } else { Err(why()) }
    };
    let Arguments { host, port, ca, certificate, key, .. } = arguments;
    let given = host.zip(ca).zip(certificate.zip(key));
    Ok(Settings {
        gateways: arguments.gateways,
        pendants: arguments.pendants,
        pace: Pace {
            heartbeat: mean("heartbeat-s", arguments.heartbeat_s)?,
            press: mean("press-s", arguments.press_s)?,
        },
        lasts: Duration::from_secs(arguments.lasts_s),
        idle: Duration::from_secs(arguments.idle_s),
        disturbed: !arguments.undisturbed,
        patience: Duration::from_secs(arguments.patience_s),
        more: String::new(),
        broker: given.map(|((host, ca), (certificate, key))| Given {
            host,
            port,
            ca,
            certificate,
            key,
        }),
        folder: arguments.folder,
        seed: arguments.seed,
    })
}

/// One line that changes, where somebody watches.
fn bar(progress: Progress, all: u32) {
    let text = match progress {
        Progress::Started(number) if number < all => format!("\r{number} of {all} gateways\x1b[K"),
        Progress::Working(time, acknowledged, events) => {
            let time_s = time.as_secs();
            format!("\r{time_s} s: {acknowledged} frames acknowledged, {events} events\x1b[K")
        }
        _ => "\r\x1b[K".to_owned(),
    };
    // Nobody misses it.
    drop(io::stderr().write_all(text.as_bytes()));
}

fn line(progress: Progress, all: u32) -> Option<String> {
    match progress {
        Progress::Started(number) => (number == all).then(|| format!("{all} gateways run")),
        Progress::Connected => Some("all are connected; people begin".to_owned()),
        Progress::Working(..) => None,
        Progress::BrokerKilled => Some("the broker was killed, and is there again".to_owned()),
        Progress::Cut(lines) => Some(format!("{lines} gateways are cut off")),
        Progress::Whole => Some("they are connected again".to_owned()),
        Progress::Settling => Some("nobody begins anything any more".to_owned()),
        Progress::Settled => Some("all is receipted".to_owned()),
    }
}

fn json_line(progress: Progress) -> String {
    match progress {
        Progress::Started(number) => json!({ "started": number }),
        Progress::Connected => json!({ "connected": true }),
        Progress::Working(time, acknowledged, events) => json!({
            "working_s": time.as_secs_f64(), "acknowledged": acknowledged, "events": events,
        }),
        Progress::BrokerKilled => json!({ "broker_killed": true }),
        Progress::Cut(lines) => json!({ "cut": lines }),
        Progress::Whole => json!({ "cut": 0 }),
        Progress::Settling => json!({ "settling": true }),
        Progress::Settled => json!({ "settled": true }),
    }
    .to_string()
}
