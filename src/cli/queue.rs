//! `queue list | export | verify`: the journal, read without a gateway and beside
//! one. Files are opened to be read only; not a byte is changed.
//!
//! What is shown on site are counts and places (P5); what the events say goes into
//! the export, which only the centre can open.

use super::progress::Progress;
use super::{Exit, Failure, Json, print, print_json, tell};
use crate::config::Config;
use crate::engine::journal::JournalKey;
use crate::engine::journal::recover::{Findings, Replay};
use crate::shell::clock::Clock;
use crate::shell::disk::JournalReader;
use crate::shell::export::{ExportKey, Exporter};
use crate::shell::journal_files::{self, ReadError, journal_key};
use crate::shell::journal_words::{self, counted};
use crate::shell::settings::settings;
use crate::shell::store_key::StoreKey;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// How many events wait, and what each run of the gateway left in which segments
    List(Json),
    /// Write what waits into a file that only the centre can open
    Export(ExportArguments),
    /// Say in words what a start would find: frames, a cut-off end, damage
    Verify(Json),
}

#[derive(clap::Args)]
struct ExportArguments {
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    json: Json,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::failed(format!("the journal: {error}"))
    }
}

pub(super) fn queue(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (reader, key) = open(config)?;
    match &arguments.action {
        Action::List(Json { json }) => list(&read(&reader, &key)?, *json),
        Action::Verify(Json { json }) => verify(&read(&reader, &key)?, *json),
        Action::Export(arguments) => export(config, &reader, &key, arguments),
    }
}

/// What a start would find.
pub(super) fn look(config: &Config) -> Result<Findings, Failure> {
    let (reader, key) = open(config)?;
    read(&reader, &key)
}

fn open(config: &Config) -> Result<(JournalReader, JournalKey), Failure> {
    let store = &config.store;
    let reader = JournalReader::new(&store.directory.join("journal"));
    let key = StoreKey::read_if_made(&store.key_file, &store.directory).map_err(Failure::failed)?;
    // Without a store's key nothing was ever written.
    Ok((reader, key.map_or(JournalKey::from_bytes([0; 32]), |key| journal_key(&key))))
}

fn read(reader: &JournalReader, key: &JournalKey) -> Result<Findings, Failure> {
    let mut bar = Progress::new("reading");
    let mut progress = |done, all| bar.at(done, all);
    journal_files::read_unlocked(reader, key, &mut progress, |mut replay, _| Ok(replay.findings()))
}

fn list(findings: &Findings, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        print_json(&journal_words::json(findings))?;
        return Ok(exit(findings));
    }
    let mut text = String::from("boot              frames    segments\n");
    for found in &findings.boots {
        text += &format!(
            "{:016x}  {:8}  {} to {}\n",
            found.boot, found.frames, found.first_segment, found.last_segment
        );
    }
    print(&text)?;
    tell(&format!("{} to be delivered", counted(findings.waiting, "event")));
    if findings.damaged > 0 {
        tell("a part of the journal is lost: `queue verify` tells which");
    }
    Ok(exit(findings))
}

fn verify(findings: &Findings, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        print_json(&journal_words::json(findings))?;
    } else {
        print(&(journal_words::words(findings).join("\n") + "\n"))?;
    }
    Ok(exit(findings))
}

fn exit(findings: &Findings) -> Exit {
    if findings.damaged > 0 { Exit::FoundLoss } else { Exit::Done }
}

fn export(
    config: &Config,
    reader: &JournalReader,
    key: &JournalKey,
    arguments: &ExportArguments,
) -> Result<Exit, Failure> {
    let Some(key_file) = &config.centre.export_key_file else {
        return Err(Failure {
            exit: Exit::Refused,
            text: "there is no key of the centre to seal the export for: ask the centre for its \
                   export key, and name its file in the configuration, under [centre]: \
                   export_key_file = \"…\""
                .into(),
        });
    };
    let centre = ExportKey::read(key_file).map_err(Failure::failed)?;
    let named = |error: io::Error| Failure::of_file(&arguments.out, &error);
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.out);
    let mut out = out.map_err(named)?;
    let mut bar = Progress::new("exporting");
    let mut progress = |done, all| bar.at(done, all);
    let exported = journal_files::read_unlocked(reader, key, &mut progress, |replay, progress| {
        write_export(config, reader, replay, &centre, (&mut out, &arguments.out), progress)
    });
    drop(bar);
    let (messages, findings) = exported.inspect_err(|_| {
        // Half an export helps nobody; what counts is the error before.
        let _ = std::fs::remove_file(&arguments.out);
    })?;
    if arguments.json.json {
        print_json(&json!({ "messages": messages, "damaged_frames": findings.damaged }))?;
    } else {
        tell(&format!("{} exported", counted(messages, "event")));
    }
    Ok(exit(&findings))
}

/// One try: the file is begun anew.
fn write_export(
    config: &Config,
    reader: &JournalReader,
    mut replay: Replay,
    centre: &ExportKey,
    (out, path): (&mut File, &Path),
    progress: journal_files::Progress<'_>,
) -> Result<(u64, Findings), Failure> {
    let named = |error: io::Error| Failure::of_file(path, &error);
    let settings = settings(config).map_err(Failure::failed)?;
    let now = Clock::start().now();
    out.set_len(0).and_then(|()| out.rewind()).map_err(named)?;
    let mut findings = replay.findings();
    let waiting = replay.into_waiting().map_err(ReadError::from)?;
    let mut exporter = Exporter::begin(BufWriter::new(&mut *out), centre).map_err(named)?;
    let (mut exported, mut unreadable) = (0, 0);
    let (order, mut buffer) = (waiting.order(), Vec::new());
    for (place, file) in order.iter().enumerate() {
        reader.read_into(*file, &mut buffer).map_err(Failure::failed)?;
        let (messages, gone) = waiting.messages(*file, &buffer, &settings, now);
        for message in &messages {
            exporter.message(message).map_err(named)?;
        }
        exported += messages.len() as u64;
        unreadable += gone;
        progress(place + 1, order.len());
    }
    let more = json!({
        "site": settings.site,
        "gateway": settings.gateway,
        "damaged_frames": findings.damaged,
        "unreadable": unreadable,
    });
    exporter.end(waiting.missing(), more).map_err(named)?;
    out.sync_all().map_err(named)?;
    findings.damaged += unreadable;
    Ok((exported, findings))
}
