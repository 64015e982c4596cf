//! `watch`: a monitoring centre on a terminal, or for a program with `--json`.

use super::broker::BrokerArguments;
use super::{Exit, Refusal, say};
use crate::centre::{
    Answer, COVERT_ADVICE, Centre, CentreSettings, Event, Flaw, Heard, Missing, News, Since,
};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// A number that is missing so long is told. A gateway sends its backlog at
/// thousands of events a second, but after what is fresh.
const MISSING_TOLD_AFTER: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Our name at the broker; what we miss is kept under it
    #[arg(long, default_value = "pendant-kit-watch")]
    client_id: String,
    /// Only look on: send no receipts (the gateway then keeps its events), nor anything else
    #[arg(long)]
    no_receipts: bool,
    /// Expect every event of every gateway from its first one on
    #[arg(long)]
    from_start: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn watch(arguments: Arguments) -> Result<Exit, Refusal> {
    let json = arguments.json;
    let centre = arguments.broker.centre(&arguments.client_id)?;
    let settings = CentreSettings {
        receipts: !arguments.no_receipts,
        since: if arguments.from_start { Since::Start } else { Since::FirstHeard },
        message_interval: centre.message_interval.filter(|_| !arguments.no_receipts),
        ..centre
    };
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut centre = Centre::start(settings);
    let mut gaps = Gaps::default();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let lines = tokio::select! {
            news = centre.next() => match news {
                Some(news) => if json { json_lines(&news) } else { plain_lines(&news) },
                None => return Err(Refusal("the connection's task ended".into())),
            },
            _ = every_second.tick() => gaps.look(centre.missing(), Instant::now(), json),
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        };
        print(&lines)?;
    }
    let missing = centre.missing();
    centre.stop().await;
    print(&missing.iter().map(|missing| missing_line(missing, json)).collect::<Vec<_>>())?;
    Ok(if missing.is_empty() { Exit::AsExpected } else { Exit::Unexpected })
}

fn print(lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| say(line))
}

/// Which gaps were there when we last looked, since when, and whether told.
#[derive(Default)]
struct Gaps(Vec<(Missing, Instant, bool)>);

impl Gaps {
    fn look(&mut self, missing: Vec<Missing>, now: Instant, json: bool) -> Vec<String> {
        let was_told = self.0.iter().any(|(_, _, told)| *told);
        let mut lines = Vec::new();
        let before = std::mem::take(&mut self.0);
        for missing in missing {
            let known = before.iter().find(|(gap, _, _)| *gap == missing);
            let (since, mut told) = known.map_or((now, false), |(_, since, told)| (*since, *told));
            if !told && now.duration_since(since) >= MISSING_TOLD_AFTER {
                lines.push(missing_line(&missing, json));
                told = true;
            }
            self.0.push((missing, since, told));
        }
        if was_told && self.0.is_empty() {
            lines.push(match json {
                true => json!({ "news": "nothing_missing" }).to_string(),
                false => "-- nothing is missing any more".to_owned(),
            });
        }
        lines
    }
}

fn missing_line(missing: &Missing, json: bool) -> String {
    if json {
        let series = &missing.series;
        json!({
            "news": "missing", "gateway": series.gateway, "boot": series.boot,
            "lane": series.lane, "first": missing.first, "last": missing.last,
        })
        .to_string()
    } else {
        format!("-- MISSING {missing}")
    }
}

fn plain_lines(news: &News) -> Vec<String> {
    match news {
        News::Up { session_kept: true } => vec!["-- connected; nothing was missed".into()],
        News::Up { session_kept: false } => {
            vec!["-- connected; the broker had kept nothing for us".into()]
        }
        News::Down(reason) => vec![format!("-- NOT CONNECTED: {reason}")],
        News::Heard(Heard::Event { event, again, flaws }) => event_lines(event, *again, flaws),
        News::Heard(Heard::State { site, gateway, text, .. }) => {
            vec![format!("-- {site}/{gateway} {}", text.replace(char::is_control, "?"))]
        }
        News::Heard(Heard::Answer { site, gateway, answer, flaws }) => {
            answer_lines(&format!("{site}/{gateway}"), answer, flaws)
        }
        News::Deaf { site, gateway } => {
            vec![format!("-- NO ANSWER from {site}/{gateway}: commands may not arrive there")]
        }
        News::Heard(Heard::Malformed { topic, why }) => {
            vec![format!("-- WRONG: a message on {topic:?}: {why}")]
        }
    }
}

/// Mostly an answer says that there was nothing to answer.
fn answer_lines(who: &str, answer: &Answer, flaws: &[Flaw]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &answer.refused {
        lines.push(format!("-- {who} refuses our message: {why}"));
    }
    for result in &answer.results {
        let id = result.id.as_deref().unwrap_or("a command");
        let reasons = [&result.reason, &result.first].into_iter().flatten();
        let words: Vec<&str> =
            [id, result.result.as_str()].into_iter().chain(reasons.map(String::as_str)).collect();
        lines.push(format!("-- {who} answers: {}", words.join(" ")));
    }
    if !flaws.is_empty() {
        lines.push(format!("-- WRONG: an answer of {who} has {} bytes", answer.wire_bytes));
    }
    lines.iter().map(|line| line.replace(char::is_control, "?")).collect()
}

fn event_lines(event: &Event, again: bool, flaws: &[Flaw]) -> Vec<String> {
    let mut lines = Vec::new();
    if !again {
        lines.push(event.line());
        if event.data.covert && event.is_alarm() {
            lines.push(format!("   {COVERT_ADVICE}"));
        }
    }
    let at = format!("{}/{} #{}", event.site, event.gateway, event.data.number);
    for flaw in flaws {
        lines.push(match flaw {
            Flaw::Size => format!("-- WRONG: {at} has {} bytes on the wire", event.wire_bytes),
            Flaw::NumberTwice => format!("-- WRONG: {at} bears a number that was taken"),
        });
    }
    lines
}

fn json_lines(news: &News) -> Vec<String> {
    let value = match news {
        News::Up { session_kept } => json!({ "news": "up", "session_kept": session_kept }),
        News::Down(reason) => json!({ "news": "down", "reason": reason }),
        News::Heard(Heard::Event { event, again, flaws }) => json!({
            "news": "event", "again": again,
            "flaws": flaws.iter().map(|flaw| match flaw {
                Flaw::Size => "size",
                Flaw::NumberTwice => "number_twice",
            }).collect::<Vec<_>>(),
            "site": event.site, "gateway": event.gateway, "id": event.id, "time": event.time,
            "wire_bytes": event.wire_bytes, "data": event.data,
        }),
        News::Heard(Heard::State { site, gateway, text, retained }) => {
            let state = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            json!({ "news": "state", "site": site, "gateway": gateway, "state": state,
                "retained": retained })
        }
        News::Heard(Heard::Answer { site, gateway, answer, flaws }) => {
            json!({ "news": "answer", "site": site, "gateway": gateway, "answer": answer,
                "flaws": flaws.iter().map(|_| "size").collect::<Vec<_>>() })
        }
        News::Deaf { site, gateway } => {
            json!({ "news": "deaf", "site": site, "gateway": gateway })
        }
        News::Heard(Heard::Malformed { topic, why }) => {
            json!({ "news": "malformed", "topic": topic, "why": why.to_string() })
        }
    };
    vec![value.to_string()]
}
