//! `survey`: how pendants are heard, live from the running gateway; a walk test with
//! named places at a terminal; and its report.

mod answer;
mod keys;
mod live;
mod places;
mod report;
mod screen;
mod terminal;
mod walk;
mod work_file;

use super::control_client::{Ask, ControlError, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use crate::margin::Margin;
use answer::Answer;
use pendant_protocol::PendantId;
use places::Place;
use serde_json::Value;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = WALK)]
pub(super) struct Arguments {
    #[command(flatten)]
    live: LiveArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

const WALK: &str = "\
At a terminal it is a walk test: type where you are, press Enter, and press the pendant
there; what is heard until the next place belongs to it. Enter alone: on the way. q and
Enter, or Ctrl-C: end. From the first place on everything is kept in a file, and at the
end a report is written beside it. Elsewhere, or with --once, it prints the table.";

#[derive(clap::Args)]
struct LiveArguments {
    /// Print the table once, also at a terminal
    #[arg(long, conflicts_with_all = ["every", "by", "out", "resume"])]
    once: bool,
    /// Print JSON, one line each time
    #[arg(long)]
    json: bool,
    /// Ask again every so many seconds; at a terminal 1 if nothing is said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: Option<u64>,
    /// Only this pendant: six hexadecimal digits
    #[arg(long, value_name = "NUMBER")]
    pendant: Option<PendantId>,
    /// What pendants use, where a receiver does not say (it then counts as 7)
    #[arg(long, value_name = "7-12", value_parser = clap::value_parser!(u8).range(7..=12))]
    spreading_factor: Option<u8>,
    /// Who tests, for the report; else it asks at the end
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Keep the walk test in this file, not in one named after site, gateway and time here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on with a walk test that was ended or cut off
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "pendant", "spreading_factor"])]
    resume: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Write the report of a walk test again
    Report(report::Arguments),
}

pub(super) fn survey(
    config: impl FnOnce() -> Result<Config, Failure>,
    arguments: &Arguments,
) -> Result<Exit, Failure> {
    if let Some(Command::Report(arguments)) = &arguments.command {
        return report::report(arguments);
    }
    let (config, arguments) = (config()?, &arguments.live);
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if at_terminal && !arguments.once && !arguments.json {
        return live::live(&config, arguments);
    }
    if arguments.out.is_some() || arguments.resume.is_some() || arguments.by.is_some() {
        return Err(Failure::refused(
            "a walk test needs a terminal to type places at; leave --out, --resume and --by away",
        ));
    }
    // Nobody ever sends: what comes is the end of the wait.
    let (_never, wait) = channel::<()>();
    loop {
        print_once(&config, arguments)?;
        let Some(seconds) = arguments.every else { return Ok(Exit::Done) };
        if wait.recv_timeout(Duration::from_secs(seconds)) != Err(RecvTimeoutError::Timeout) {
            return Ok(Exit::Done);
        }
    }
}

fn print_once(config: &Config, arguments: &LiveArguments) -> Result<(), Failure> {
    let pendant = arguments.pendant.map(|pendant| pendant.to_string());
    if !arguments.json {
        let answer = Answer::get(&config.control.socket).map_err(Failure::failed)?;
        let answer = answer.of_pendant(pendant.as_deref());
        return print(&table(&answer, arguments.spreading_factor));
    }
    let mut answer = ask(&config.control.socket, Ask::Survey).map_err(Failure::failed)?;
    if let Some(pendant) = pendant {
        for list in ["rows", "recent"] {
            let Some(list) = answer.get_mut(list).and_then(Value::as_array_mut) else { continue };
            list.retain(|member| member["pendant"] == pendant.as_str());
        }
    }
    print_json(&answer)
}

/// How all pendants are heard now.
pub(super) fn once(socket: &Path) -> Result<String, ControlError> {
    Answer::get(socket).map(|answer| table(&answer, None))
}

fn table(answer: &Answer, spreading_factor: Option<u8>) -> String {
    let minutes = answer.minutes;
    let mut text = format!(
        "pendant  last heard  RSSI dBm  SNR dB  SF  margin dB  error Hz  frames in {minutes} min  lost  link\n"
    );
    for row in &answer.rows {
        let lost = row.lost_percent.map_or("-".to_owned(), |lost| format!("{lost} %"));
        // Names are checked, but a terminal obeys some bytes: nothing goes there raw.
        let link = row.link.as_deref().unwrap_or("removed").escape_debug().to_string();
        text += &format!(
            "{:7}  {:>10}  {:>8}  {:>6}  {:>2}  {:>9}  {:>8}  {:>width$}  {lost:>5}  {link}\n",
            row.pendant.escape_debug().to_string(),
            ago(Some(row.last_heard_s)),
            number(row.heard.rssi_dbm),
            number(row.heard.snr_db),
            number(row.heard.spreading_factor.or(spreading_factor)),
            margin_text(row.heard.margin(spreading_factor)),
            number(row.frequency_error_hz),
            row.frames,
            width = "frames in  min".len() + minutes.to_string().len(),
        );
    }
    if answer.rows.is_empty() {
        text += "No pendant was heard since the gateway was started.\n";
    }
    text
}

/// A line a place.
fn summary_text(places: &[Place]) -> String {
    let line = |place: &Place| {
        let label = place.label.escape_debug();
        let pendant = place.pendant.as_deref().unwrap_or("-").escape_debug();
        format!("{:9}  {pendant:6}  {label}\n", place.verdict.text())
    };
    places.iter().map(line).collect()
}

fn number(value: Option<impl Display>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn margin_text(margin: Option<Margin>) -> String {
    let text = |margin: Margin| {
        format!("{}{:.1}", if margin.at_least { ">" } else { "" }, margin.rounded_db())
    };
    margin.map_or("-".to_owned(), text)
}

/// Universal time, to the second: `2026-11-30T12:03:11Z`.
fn time_text(unix_ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(unix_ms)).to_string()
}

#[expect(clippy::disallowed_methods, reason = "a command beside the gateway has no other clock")]
fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

fn ago(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s @ 0..=119) => format!("{s} s"),
        Some(s @ 120..=7199) => format!("{} min", s / 60),
        Some(s) => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_become_a_table() {
        let answer = json!({ "minutes": 15, "boot": "a", "receptions": 0, "recent": [], "rows": [
            { "pendant": "00012f", "link": "roof", "last_heard_s": 7, "rssi_dbm": -101,
              "snr_db": -3.25, "spreading_factor": 9, "bandwidth_hz": 125_000,
              "frequency_error_hz": -1250, "frames": 12, "lost_percent": 8 },
            { "pendant": "000130", "link": null, "last_heard_s": 7200, "rssi_dbm": null,
              "snr_db": null, "frames": 0, "lost_percent": null },
        ]});
        let answer: Answer = serde_json::from_value(answer).expect("an answer");
        assert_eq!(
            table(&answer, None),
            "pendant  last heard  RSSI dBm  SNR dB  SF  margin dB  error Hz  frames in 15 min  lost  \
             link\n\
             00012f          7 s      -101   -3.25   9        9.3     -1250                12    8 %  \
             roof\n\
             000130          2 h         -       -   -          -         -                 0      -  \
             removed\n"
        );
        let only = table(&answer.of_pendant(Some("000130")), Some(12));
        assert!(only.contains("000130") && !only.contains("00012f"), "{only}");
        assert!(table(&Answer::default(), None).contains("No pendant was heard"));
    }
}
