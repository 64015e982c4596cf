//! The walk test at a terminal.

use super::super::{Exit, Failure, print};
use super::answer::Answer;
use super::keys::{Typed, Typing};
use super::places::{Place, places};
use super::screen::{View, screen};
use super::terminal::{Event, Terminal};
use super::walk::{FORMAT, Head, Line, Walk};
use super::work_file::WorkFile;
use super::{LiveArguments, report, time_text, unix_ms};
use crate::config::Config;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

const WALK_PROMPT: &str = "Place: ";
const WALK_HELP: &str =
    "Type where you are, Enter. Enter alone: on the way. q, Enter or Ctrl-C: end.";
const NAME_PROMPT: &str = "Tested by: ";
const NAME_HELP: &str = "Your name for the report, Enter. Enter alone: without a name.";

struct Live<'a> {
    config: &'a Config,
    arguments: &'a LiveArguments,
    pendant: Option<String>,
    answer: Option<Answer>,
    fault: Option<String>,
    /// From the first place on.
    kept: Option<(Walk, WorkFile)>,
    places: Vec<Place>,
    typing: Typing,
    /// The end is near: the name is asked for.
    naming: bool,
}

/// What is to be done next.
enum Next {
    GoOn,
    /// With the name, if one was typed.
    End(Option<String>),
}

pub(super) fn live(config: &Config, arguments: &LiveArguments) -> Result<Exit, Failure> {
    let kept = match &arguments.resume {
        None => None,
        Some(path) => {
            let (file, walk) = WorkFile::resume(path)?;
            of_this_gateway(&walk.head, config)?;
            Some((walk, file))
        }
    };
    if let Some(path) = arguments.out.as_ref().or(arguments.resume.as_ref()) {
        report::beside(path)?;
    }
    if let Some(path) = arguments.out.as_ref().filter(|path| path.exists()) {
        // Better now than at the first place.
        WorkFile::create(path)?;
    }
    let resumed = kept.as_ref().and_then(|(walk, _)| walk.head.pendant.clone());
    let mut live = Live {
        config,
        arguments,
        pendant: arguments.pendant.map(|pendant| pendant.to_string()).or(resumed),
        answer: None,
        fault: None,
        kept,
        places: Vec::new(),
        typing: Typing::default(),
        naming: false,
    };
    live.ask()?;
    if let Some(fault) = live.fault {
        return Err(Failure::failed(fault));
    }
    let terminal = Terminal::open().map_err(|e| Failure::failed(format!("the terminal: {e}")))?;
    let ended = live.walk(&terminal);
    drop(terminal);
    let by = ended?;
    live.finish(by)
}

/// Two sites in one report would be wrong for both.
fn of_this_gateway(head: &Head, config: &Config) -> Result<(), Failure> {
    let here = (config.site.to_string(), config.gateway.to_string());
    if (&head.site, &head.gateway) == (&here.0, &here.1) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "that walk test is of {} / {}, and this gateway is {} / {}",
        head.site, head.gateway, here.0, here.1
    )))
}

impl Live<'_> {
    /// Until the installer ends it; gives the name that was typed.
    fn walk(&mut self, terminal: &Terminal) -> Result<Option<String>, Failure> {
        let pause = Duration::from_secs(self.arguments.every.unwrap_or(1));
        let mut next_ask = Instant::now() + pause;
        loop {
            self.show(terminal);
            let wait = next_ask.saturating_duration_since(Instant::now());
            match terminal.events.recv_timeout(wait) {
                Ok(Event::Typed(byte)) => {
                    let typed = self.typing.byte(byte);
                    let next = typed.map(|typed| self.typed(typed)).transpose()?;
                    if let Some(Next::End(by)) = next {
                        return Ok(by);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.ask()?;
                    next_ask = Instant::now() + pause;
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    fn typed(&mut self, typed: Typed) -> Result<Next, Failure> {
        match typed {
            Typed::Line(name) if self.naming => {
                Ok(Next::End(Some(name).filter(|name| !name.is_empty())))
            }
            Typed::End if self.naming => Ok(Next::End(None)),
            Typed::Line(label) if label != "q" => {
                self.mark(Some(label).filter(|label| !label.is_empty()))?;
                Ok(Next::GoOn)
            }
            Typed::Line(_) | Typed::End => {
                let Some((walk, _)) = &self.kept else { return Ok(Next::End(None)) };
                if self.arguments.by.is_some() || walk.head.by.is_some() {
                    return Ok(Next::End(None));
                }
                self.naming = true;
                Ok(Next::GoOn)
            }
        }
    }

    /// Asks the gateway, and keeps what is new.
    fn ask(&mut self) -> Result<(), Failure> {
        let answer = match Answer::get(&self.config.control.socket) {
            Ok(answer) => answer,
            Err(error) => {
                self.fault = Some(error.to_string());
                return Ok(());
            }
        };
        self.fault = None;
        if let Some((walk, file)) = &mut self.kept {
            file.append(&walk.take(&answer, unix_ms()))?;
            self.places = places(walk);
        }
        self.answer = Some(answer.of_pendant(self.pendant.as_deref()));
        Ok(())
    }

    /// From now on frames are of this place. Those that came until now are of the last one.
    fn mark(&mut self, label: Option<String>) -> Result<(), Failure> {
        if self.kept.is_none() {
            // On the way to nowhere yet.
            if label.is_none() {
                return Ok(());
            }
            self.begin()?;
        }
        self.ask()?;
        let Some((walk, file)) = &mut self.kept else { return Ok(()) };
        let line = Line::Place { label, unix_ms: unix_ms() };
        file.append(std::slice::from_ref(&line))?;
        file.sync()?;
        walk.apply(line);
        self.places = places(walk);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let head = Head {
            format: FORMAT,
            site: self.config.site.to_string(),
            gateway: self.config.gateway.to_string(),
            began_unix_ms: unix_ms(),
            pendant: self.pendant.clone(),
            spreading_factor: self.arguments.spreading_factor,
            by: self.arguments.by.clone(),
        };
        let path = self.arguments.out.clone().unwrap_or_else(|| file_name(&head));
        let mut file = WorkFile::create(&path)?;
        file.append(&[Line::Walk(head.clone())])?;
        self.kept = Some((Walk::new(head), file));
        Ok(())
    }

    fn show(&self, terminal: &Terminal) {
        let now = time_text(unix_ms());
        let clock = now.get(11..19).unwrap_or_default();
        let (site, gateway) = (&self.config.site, &self.config.gateway);
        let walk = self.kept.as_ref().map(|(walk, _)| walk);
        let (prompt, help) =
            if self.naming { (NAME_PROMPT, NAME_HELP) } else { (WALK_PROMPT, WALK_HELP) };
        let view = View {
            title: format!("Walk test {site} / {gateway}  {clock} UTC"),
            answer: self.answer.as_ref(),
            fault: self.fault.as_deref(),
            places: &self.places,
            place: walk.and_then(Walk::place),
            spreading_factor: walk
                .and_then(|walk| walk.head.spreading_factor)
                .or(self.arguments.spreading_factor),
            help,
            prompt,
            typed: &self.typing.text(),
        };
        // A terminal that is gone tells it by the end of what is typed, or by a signal.
        let _ = terminal.show(&screen(&view, terminal.size()));
    }

    /// Writes the report beside the work file.
    fn finish(mut self, by: Option<String>) -> Result<Exit, Failure> {
        // What came since the last answer; if the gateway is away, it does not have it.
        self.ask()?;
        let Some((mut walk, mut file)) = self.kept else {
            print("No place was marked: nothing is kept.\n")?;
            return Ok(Exit::Done);
        };
        let by = by.or_else(|| self.arguments.by.clone());
        let line = Line::End { unix_ms: unix_ms(), by };
        file.append(std::slice::from_ref(&line))?;
        file.sync()?;
        walk.apply(line);
        let html = report::beside(file.path())?;
        report::write(&walk, &html)?;
        print(&format!(
            "{}Kept in {}; go on with --resume.\nReport: {}\n",
            super::summary_text(&places(&walk)),
            file.path().display(),
            html.display()
        ))?;
        Ok(Exit::Done)
    }
}

/// In the folder where somebody stands.
fn file_name(head: &Head) -> PathBuf {
    let began = UNIX_EPOCH + Duration::from_millis(head.began_unix_ms);
    let began = humantime::format_rfc3339_seconds(began).to_string().replace(':', "-");
    PathBuf::from(format!("survey-{}-{}-{began}.jsonl", head.site, head.gateway))
}
