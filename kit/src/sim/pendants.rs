//! `[[pendant]]` and `[[site.crew]]`: who there is, with keys from enrolment files.

use super::scenario::{Mistake, ScenarioError, read_text, wrong};
use super::site_text::{self, CrewText, HabitText, WalkText};
use super::wires::WireSettings;
use crate::hex;
use crate::pendant::PendantIdentity;
use crate::site::Walk;
use pendant_protocol::{Body, EnrolmentKey, PendantId};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// One pendant.
#[derive(Debug)]
pub struct PendantSettings {
    /// The name by which steps refer to it.
    pub name: String,
    /// Where it is.
    pub post: Post,
    /// Number and key.
    pub identity: PendantIdentity,
    /// The file that keeps its counters.
    pub memory: PathBuf,
    /// Transmissions of one frame before it gives up.
    pub attempts_max: Option<u32>,
}

/// Where a pendant is.
#[derive(Debug)]
pub enum Post {
    /// On a wire: a place in [`super::Scenario::wires`].
    Wire(usize),
    /// On the site.
    Site {
        /// Where there.
        walk: Walk,
        /// What it says again and again, and the mean time between two of these.
        habits: Vec<(Body, Duration)>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendantText {
    pub(super) name: String,
    wire: Option<String>,
    enrolment_file: PathBuf,
    memory_file: Option<PathBuf>,
    attempts_max: Option<u32>,
    walk: Option<Spanned<WalkText>>,
    #[serde(default)]
    habit: Vec<Spanned<HabitText>>,
}

/// What `enroll --json` prints.
#[derive(Deserialize)]
struct EnrolmentText {
    pendant: String,
    key: String,
}

pub(super) fn check_pendant(
    text: PendantText,
    span: &Range<usize>,
    wires: &[WireSettings],
    is_on_site: bool,
    directory: &Path,
) -> Result<PendantSettings, Mistake> {
    let name = &text.name;
    let refuse =
        |why: String| Mistake { at: span.clone(), text: format!("pendant {name:?}: {why}") };
    let post = match (&text.wire, &text.walk) {
        (Some(wire), None) if !is_on_site && text.habit.is_empty() => {
            let place = wires.iter().position(|it| it.name() == wire);
            let place = place.ok_or_else(|| refuse(format!("there is no wire {wire:?}")))?;
            if matches!(wires[place], WireSettings::Forwarder(_)) {
                let why = format!("wire {wire:?} is a packet forwarder: it hears each [[device]]");
                return Err(refuse(why));
            }
            Post::Wire(place)
        }
        (None, Some(walk)) if is_on_site => Post::Site {
            walk: site_text::check_walk(walk, false)?,
            habits: site_text::check_habits(&text.habit)?,
        },
        _ if is_on_site => return Err(refuse("on a site it has a `walk`, and no `wire`".into())),
        _ => {
            return Err(refuse(
                "without a [site] it has a `wire`, no `walk` and no `habit`".into(),
            ));
        }
    };
    let path = directory.join(&text.enrolment_file);
    let memory = text.memory_file.map(|file| directory.join(file));
    enrolled(text.name.clone(), post, &path, memory, text.attempts_max)
        .map_err(|why| refuse(why.to_string()))
}

/// A pendant with what stands in its enrolment file.
fn enrolled(
    name: String,
    post: Post,
    path: &Path,
    memory: Option<PathBuf>,
    attempts_max: Option<u32>,
) -> Result<PendantSettings, ScenarioError> {
    if attempts_max == Some(0) {
        return wrong("attempts_max = 0 would say nothing; at least 1");
    }
    let identity = parse_enrolment(&read_text(path)?).map_err(|why| {
        let path = path.display();
        ScenarioError::new(format!(
            "{path} is not what `pendant-gateway enroll --json` prints: {why}"
        ))
    })?;
    let memory = memory.unwrap_or_else(|| path.with_extension("memory"));
    Ok(PendantSettings { name, post, identity, memory, attempts_max })
}

/// A pendant for each enrolment file in the crew's directory, by name.
pub(super) fn check_crew(
    crew: &CrewText,
    span: &Range<usize>,
    directory: &Path,
) -> Result<Vec<PendantSettings>, Mistake> {
    let walk = site_text::check_walk(&crew.walk, true)?;
    let habits = site_text::check_habits(&crew.habit)?;
    let members = || {
        let mut files = enrolment_files(&directory.join(&crew.enrolment_dir))?;
        if let Some(count) = crew.count {
            let found = files.len();
            if found < count {
                let place = crew.enrolment_dir.display();
                return wrong(format!("{found} enrolment files in {place} are fewer than {count}"));
            }
            files.truncate(count);
        }
        let one = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let post = Post::Site { walk: walk.clone(), habits: habits.clone() };
            enrolled(format!("{}/{stem}", crew.name), post, path, None, crew.attempts_max)
        };
        files.iter().map(one).collect()
    };
    let told = |why: ScenarioError| Mistake {
        at: span.clone(),
        text: format!("crew {:?}: {why}", crew.name),
    };
    members().map_err(told)
}

fn enrolment_files(directory: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let paths: std::io::Result<Vec<PathBuf>> =
            std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
        let is_json = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
        let mut files: Vec<PathBuf> = paths?.into_iter().filter(is_json).collect();
        files.sort();
        Ok(files)
    };
    let why = match list() {
        Ok(files) if !files.is_empty() => return Ok(files),
        Ok(_) => "there is no *.json in it".to_owned(),
        Err(error) => error.to_string(),
    };
    let place = directory.display();
    wrong(format!(
        "{place}: {why}; put there what `pendant-gateway enroll --json` prints, a file a pendant"
    ))
}

/// Reads what `enroll --json` printed.
///
/// # Errors
/// Says what is wrong; never shows the text, which holds a key.
pub fn parse_enrolment(text: &str) -> Result<PendantIdentity, &'static str> {
    let text: EnrolmentText =
        serde_json::from_str(text).map_err(|_| "no JSON object with `pendant` and `key`")?;
    let id: PendantId = text.pendant.parse().map_err(|_| "`pendant` is no pendant's number")?;
    let key = hex::decode(&text.key).and_then(|key| key.try_into().ok());
    let key = key.ok_or("`key` is not 32 hexadecimal digits")?;
    Ok(PendantIdentity { id, key: EnrolmentKey::from_bytes(key) })
}
