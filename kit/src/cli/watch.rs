//! `watch`: an operator's desk on a terminal, or for a program with `--json`.

use super::broker::BrokerArguments;
use super::{Exit, Refusal, say, told_to_stop};
use crate::centre::{CentreSettings, Since, is_name};
use crate::watch::{LINE_BYTES_MAX, Lines, Screen, Settings, Show, Store, Terminal, Told, run};
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Lines that wait to be taken.
const LINES_MAX: usize = 64;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Our name at the broker; what we miss is kept under it
    #[arg(long, default_value = "pendant-kit-watch")]
    client_id: String,
    /// Keep in this folder what has to outlive a restart. Needed to receipt events
    #[arg(long, value_name = "FOLDER", required_unless_present = "no_receipts")]
    state: Option<PathBuf>,
    /// Keep so much of the record of events there, MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    history_mib: u64,
    /// Only look on: send no receipts (the gateway then keeps its events), nor anything else
    #[arg(long, conflicts_with = "state")]
    no_receipts: bool,
    /// Expect every event of every gateway from its first one on
    #[arg(long)]
    from_start: bool,
    /// Who sits here; by default the user
    #[arg(long)]
    operator: Option<String>,
    /// Between a session's due time and its alarm, as gateways have it (`grace_s`)
    #[arg(long, value_name = "S", default_value_t = 30)]
    grace_s: u64,
    /// How often each gateway is sent the centre's message; all desks of a centre alike
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1200))]
    message_interval_s: u64,
    /// Print lines, also on a terminal
    #[arg(long)]
    plain: bool,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "plain")]
    json: bool,
}

pub(super) async fn watch(arguments: Arguments) -> Result<Exit, Refusal> {
    let Arguments { json, plain, .. } = arguments;
    let is_screen = !json && !plain && io::stdout().is_terminal() && io::stdin().is_terminal();
    let settings = settings(arguments)?;
    let told = told_to_stop()?;
    let stop = async {
        told.await;
    };
    let (send, mut lines) = mpsc::channel(LINES_MAX);
    let (mut screen, mut output): (Option<Screen>, Lines);
    let terminal = if is_screen { Some(Terminal::open()?) } else { None };
    let show: &mut dyn Show = if is_screen {
        screen = Some(Screen::new(&settings.operator, send));
        screen.as_mut().expect("it was just made")
    } else {
        std::thread::spawn(move || read_lines(&send));
        let stdout = Box::new(io::stdout());
        output = if json { Lines::json(stdout) } else { Lines::plain(stdout) };
        &mut output
    };
    let ended = run(settings, &mut lines, show, stop).await;
    drop(terminal);
    let missing = ended?;
    for missing in &missing {
        let told = Told::Missing(missing.clone());
        let lines = if json { vec![told.json()] } else { told.lines() };
        lines.iter().try_for_each(|line| say(line))?;
    }
    Ok(if missing.is_empty() { Exit::AsExpected } else { Exit::Unexpected })
}

fn settings(arguments: Arguments) -> Result<Settings, Refusal> {
    let centre = arguments.broker.centre(&arguments.client_id)?;
    let since = if arguments.from_start { Since::Start } else { Since::FirstHeard };
    let centre = CentreSettings {
        receipts: false,
        since,
        message_interval: (!arguments.no_receipts)
            .then_some(Duration::from_secs(arguments.message_interval_s)),
        ..centre
    };
    let operator = arguments.operator.map_or_else(user, |name| {
        let why = || Refusal(format!("--operator {name:?}: 1 to 32 of a-z A-Z 0-9 . _ -"));
        is_name(&name).then(|| name.clone()).ok_or_else(why)
    })?;
    let open = |folder: PathBuf| {
        Store::open(&folder, since, arguments.history_mib << 20)
            .map_err(|error| Refusal(format!("{}: {error}", folder.display())))
    };
    let opened = arguments.state.map(open).transpose()?;
    Ok(Settings { centre, opened, operator, grace: Duration::from_secs(arguments.grace_s) })
}

/// The user's name, if it can stand where operators' names do.
fn user() -> Result<String, Refusal> {
    Ok(std::env::var("USER").ok().filter(|name| is_name(name)).unwrap_or("operator".into()))
}

/// Reads an operator's lines until there are no more. One that is too long is given
/// cut, and refused for its length.
fn read_lines(lines: &mpsc::Sender<String>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 2;
        match input.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        if !line.ends_with(b"\n") && line.len() as u64 == most {
            // The rest of it is no line of its own.
            let mut rest = Vec::new();
            while input.by_ref().take(most).read_until(b'\n', &mut rest).is_ok_and(|read| read > 0)
                && !rest.ends_with(b"\n")
            {
                rest.clear();
            }
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}
