//! The desk at work: messages, an operator's lines and the time in; lines, receipts and
//! commands out.
//!
//! In this order: an event is shown, then durable, then receipted. So a crash can show an
//! event twice, and never not at all.

use super::desk::{Asked, Desk, Link, Record};
use super::incident::{Due, Stage, Step, UnixMs};
use super::order::{HELP, Order, parse};
use super::store::{Change, Opened, Store, write_change};
use super::told::Told;
use super::told::ask_line;
use crate::centre::{Ask, Centre, CentreSettings, Done, Message, Missing, News, uuid};
use serde_json::json;
use std::io;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A number that is missing so long is told. A gateway sends its backlog at thousands of
/// events a second, but after what is fresh.
const MISSING_TOLD_AFTER: Duration = Duration::from_secs(10);
/// Messages that are taken together.
const BATCH_MAX: usize = 512;
/// A folder that cannot be written is tried again after.
const SICK_PAUSE: Duration = Duration::from_secs(2);

/// Where what is told goes to.
pub trait Show {
    /// Takes one thing.
    fn tell(&mut self, told: &Told, desk: &Desk, at_ms: UnixMs);

    /// Shows what was taken, before it is made durable; gives incidents that an operator
    /// sees for the first time.
    ///
    /// # Errors
    /// It cannot be written.
    fn flush(&mut self, desk: &Desk, at_ms: UnixMs) -> io::Result<Vec<u64>>;

    /// Some time has passed.
    fn tick(&mut self, desk: &Desk, at_ms: UnixMs);
}

/// How a desk is set up.
#[derive(Debug)]
pub struct Settings {
    /// The broker, and which gateways are heard.
    pub centre: CentreSettings,
    /// The state as it was, and where it is kept. `None`: an onlooker, who receipts nothing.
    pub opened: Option<Opened>,
    /// Who sits here.
    pub operator: String,
    /// Between a due time and its alarm, as the gateways are configured.
    pub grace: Duration,
}

/// 2025-01-01T00:00:00Z: a clock that says less was never set.
const NEVER_SET_BEFORE_MS: UnixMs = 1_735_689_600_000;

const CLOCK_UNSET: &str = "THE CLOCK of this machine is not set: time goes on from the last that the desk knew, and \
     overdue alarms can be late by the time for which it was off. Set the clock";

/// Wall time that never steps back while this runs: a due time may come early by a clock
/// that was put forward, and never late by one that was put back.
#[derive(Debug)]
struct Clock {
    /// The latest that was read of the wall, and when.
    wall_ms: UnixMs,
    read: Instant,
}

impl Clock {
    /// One that is not set goes on from the newest time that the desk knows: an overdue
    /// alarm is then late by the time for which the desk was off, and no more.
    fn new(wall_ms: UnixMs, desk: &Desk) -> Self {
        let known_ms = desk.gateways().map(|(_, it)| it.heard_ms).max().unwrap_or(0);
        let floor_ms = if wall_ms < NEVER_SET_BEFORE_MS { known_ms } else { 0 };
        Self { wall_ms: wall_ms.max(floor_ms), read: Instant::now() }
    }

    fn now_ms(&mut self) -> UnixMs {
        self.at(wall_ms(), Instant::now())
    }

    fn at(&mut self, wall_ms: UnixMs, now: Instant) -> UnixMs {
        let passed_ms = u64::try_from((now - self.read).as_millis()).unwrap_or(0);
        let counted_ms = self.wall_ms + passed_ms;
        if wall_ms > counted_ms {
            (self.wall_ms, self.read) = (wall_ms, now);
        }
        wall_ms.max(counted_ms)
    }
}

fn wall_ms() -> UnixMs {
    #[expect(clippy::disallowed_methods, reason = "the desk's clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What follows once everything before it is durable.
#[derive(Debug)]
enum After {
    Done(Done),
    Command { gateway: String, id: String, ask: Ask },
}

struct Run<'a> {
    centre: Centre,
    is_onlooker: bool,
    desk: Desk,
    store: Option<Store>,
    show: &'a mut dyn Show,
    operator: String,
    grace_ms: u64,
    clock: Clock,
    link: Link,
    gaps: Gaps,
    /// Not yet given to the store.
    lines: Vec<u8>,
    waiting: Vec<After>,
    /// Given to it.
    syncing: Vec<After>,
    sick_until: Option<Instant>,
}

/// Watches until an operator or `stop` ends it; gives what is missing then.
///
/// # Errors
/// What is told cannot be written, or the connection's task ended.
pub async fn run(
    settings: Settings,
    lines: &mut mpsc::Receiver<String>,
    show: &mut dyn Show,
    stop: impl Future<Output = ()>,
) -> io::Result<Vec<Missing>> {
    let Settings { centre, opened, operator, grace } = settings;
    let is_onlooker = centre.message_interval.is_none();
    let since = centre.since;
    let (store, desk, notes) = match opened {
        Some(Opened { store, desk, notes }) => (Some(store), desk, notes),
        None => (None, Desk::new(since), Vec::new()),
    };
    let (wall_ms, mut notes) = (wall_ms(), notes);
    if wall_ms < NEVER_SET_BEFORE_MS {
        notes.push(CLOCK_UNSET.to_owned());
    }
    let mut clock = Clock::new(wall_ms, &desk);
    let link = Link { connected: false, since_ms: clock.now_ms() };
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    let mut run = Run {
        centre: Centre::start_unjudged(centre),
        is_onlooker,
        desk,
        store,
        show,
        operator,
        grace_ms,
        clock,
        link,
        gaps: Gaps::default(),
        lines: Vec::new(),
        waiting: Vec::new(),
        syncing: Vec::new(),
        sick_until: None,
    };
    run.remember(notes);
    let ended = tokio::select! {
        ended = run.serve(lines) => ended,
        () = stop => Ok(()),
    };
    let settled = match ended {
        Ok(()) => run.settle().await,
        Err(error) => Err(error),
    };
    let missing = run.desk.missing();
    run.centre.stop().await;
    settled.map(|()| missing)
}

impl Run<'_> {
    /// What was known before is told, and goes on.
    fn remember(&mut self, notes: Vec<String>) {
        notes.into_iter().for_each(|note| self.tell(&Told::Note(note)));
        if self.is_onlooker {
            return;
        }
        let paths: Vec<String> = self.desk.gateways().map(|(path, _)| path.clone()).collect();
        for path in paths {
            let (site, gateway) = path.split_once('/').unwrap_or_default();
            self.centre.know(site, gateway);
        }
        let asked: Vec<_> = self.desk.asked().map(|(id, it)| (id.clone(), it.clone())).collect();
        for (id, asked) in asked {
            self.command(&asked.gateway, &id, &asked.ask);
        }
        let open = self.desk.incidents().open().count();
        if open > 0 {
            self.tell(&Told::Note(format!("{open} incidents are open from before")));
            self.incidents();
        }
    }

    async fn serve(&mut self, lines: &mut mpsc::Receiver<String>) -> io::Result<()> {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_heard = true;
        loop {
            tokio::select! {
                news = self.centre.next() => {
                    self.news(news.ok_or_else(|| io::Error::other("the connection's task ended"))?);
                    for _ in 1..BATCH_MAX {
                        let Some(news) = self.centre.try_next() else { break };
                        self.news(news);
                    }
                }
                synced = synced(&mut self.store) => self.synced(synced),
                line = lines.recv(), if is_heard => match line {
                    Some(line) if self.line(&line) => return Ok(()),
                    Some(_) => {}
                    None => is_heard = false,
                },
                _ = tick.tick() => self.tick(),
            }
            self.flush()?;
        }
    }

    /// What is shown is durable before anything follows from it.
    fn flush(&mut self) -> io::Result<()> {
        let at_ms = self.clock.now_ms();
        for incident in self.show.flush(&self.desk, at_ms)? {
            if !self.is_onlooker {
                self.stage(incident, Step::Displayed, None);
            }
        }
        let Some(store) = &mut self.store else {
            let waiting = std::mem::take(&mut self.waiting);
            self.follow(waiting);
            return Ok(());
        };
        if !store.is_free() {
            return Ok(());
        }
        if self.sick_until.is_some_and(|until| Instant::now() < until) {
            // A snapshot comes next, which has it all.
            self.lines.clear();
            return Ok(());
        }
        if store.wants_snapshot() {
            store.snapshot(self.desk.clone());
            self.lines.clear();
        } else if !self.lines.is_empty() {
            store.append(std::mem::take(&mut self.lines));
        } else {
            // What changed nothing waits for what was begun before it, and that is done.
            let waiting = std::mem::take(&mut self.waiting);
            self.follow(waiting);
            return Ok(());
        }
        self.syncing.append(&mut self.waiting);
        Ok(())
    }

    fn synced(&mut self, synced: io::Result<()>) {
        match synced {
            Ok(()) => {
                if self.sick_until.take().is_some() {
                    self.tell(&Told::Note("the state can be written again".into()));
                }
                let syncing = std::mem::take(&mut self.syncing);
                self.follow(syncing);
            }
            Err(error) => {
                if self.sick_until.is_none() {
                    let told = "THE STATE CANNOT BE WRITTEN; events are shown, not receipted";
                    self.tell(&Told::Note(format!("{told}: {error}")));
                }
                self.sick_until = Some(Instant::now() + SICK_PAUSE);
            }
        }
    }

    fn follow(&mut self, all: Vec<After>) {
        let mut done = Vec::with_capacity(all.len());
        for after in all {
            match after {
                After::Done(it) => done.push(it),
                After::Command { gateway, id, ask } => self.command(&gateway, &id, &ask),
            }
        }
        if !done.is_empty() {
            self.centre.done(done);
        }
    }

    fn command(&mut self, path: &str, id: &str, ask: &Ask) {
        let (site, gateway) = path.split_once('/').unwrap_or_default();
        if let Err(error) = self.centre.command_again(site, gateway, id, ask) {
            self.refuse(format!("{}: {error}", ask_line(ask)));
        }
    }

    /// What waits is made durable and receipted before the end.
    async fn settle(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            if self.store.as_ref().is_some_and(|store| !store.is_free()) {
                let done = synced(&mut self.store).await;
                self.synced(done);
            }
            self.flush()?;
        }
        Ok(())
    }

    fn news(&mut self, news: News) {
        let at_ms = self.clock.now_ms();
        let told = match news {
            News::Up { session_kept } => {
                self.link = Link { connected: true, since_ms: at_ms };
                Told::Up { session_kept }
            }
            News::Down(reason) => {
                if self.link.connected {
                    self.link = Link { connected: false, since_ms: at_ms };
                }
                Told::Down(reason)
            }
            News::Deaf { site, gateway } => Told::Deaf { gateway: format!("{site}/{gateway}") },
            News::Message(message) => return self.message(at_ms, message),
            // This centre does not judge.
            News::Heard(_) => return,
        };
        self.tell(&told);
    }

    fn message(&mut self, at_ms: UnixMs, message: Message) {
        let Message { topic, payload, retained, ticket } = message;
        let outcome = self.desk.hear(at_ms, &topic, &payload, retained);
        if outcome.keep && self.store.is_some() {
            let change = Change::Message { topic: &topic, payload: &payload };
            write_change(&mut self.lines, at_ms, &change);
        }
        outcome.told.iter().for_each(|told| self.tell(told));
        let receipt = outcome.receipt.filter(|_| self.store.is_some());
        self.waiting.push(After::Done(Done { receipt, ticket }));
        if !self.is_onlooker {
            outcome.asks.into_iter().for_each(|(gateway, ask)| self.ask(gateway, ask, "desk"));
        }
    }

    fn tick(&mut self) {
        let at_ms = self.clock.now_ms();
        for due in self.desk.due(at_ms, self.link, self.grace_ms) {
            self.raise(at_ms, due);
        }
        let told = self.gaps.look(self.desk.missing(), Instant::now());
        told.iter().for_each(|told| self.tell(told));
        self.show.tick(&self.desk, at_ms);
    }

    fn raise(&mut self, at_ms: UnixMs, due: Due) {
        let why = self.desk.why(at_ms, self.link, &due);
        let (change, elsewhere) = self.desk.raise(at_ms, &due);
        self.record(at_ms, &Record::Overdue(due.clone()));
        self.tell(&Told::Overdue { due, change, why, at_ms });
        elsewhere.iter().for_each(|told| self.tell(told));
    }

    fn record(&mut self, at_ms: UnixMs, record: &Record) {
        if self.store.is_some() {
            write_change(&mut self.lines, at_ms, &Change::Record(record));
        }
    }

    fn tell(&mut self, told: &Told) {
        let at_ms = self.clock.now_ms();
        self.show.tell(told, &self.desk, at_ms);
    }

    fn refuse(&mut self, why: String) {
        self.tell(&Told::Refused { why });
    }

    /// Takes an operator's line; true if it ends this.
    fn line(&mut self, line: &str) -> bool {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(Order::Quit)) => return true,
            Ok(Some(order)) => self.order(order),
            Err(why) => self.refuse(why),
        }
        false
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Stage { incident, step, note } => self.stage(incident, step, note),
            Order::Ask { gateway, ask } => {
                if self.is_onlooker {
                    return self.refuse("an onlooker sends no commands".into());
                }
                match self.desk.targets(gateway.as_deref(), &ask) {
                    Ok(gateways) => {
                        let operator = self.operator.clone();
                        gateways.into_iter().for_each(|it| self.ask(it, ask.clone(), &operator));
                    }
                    Err(why) => self.refuse(why),
                }
            }
            Order::Operator(name) => {
                self.operator = name;
                self.tell(&Told::Note(format!("{} sits here now", self.operator)));
            }
            Order::Incidents => self.incidents(),
            Order::Show(number) => self.incident(number),
            Order::Who(gateway) => self.who(gateway.as_deref()),
            Order::Gateways => self.gateways(),
            Order::Missing => self.missing(),
            Order::Commands => self.commands(),
            Order::Help => {
                let lines = HELP.iter().map(|line| format!("   {line}")).collect();
                self.shown("help", lines, json!(HELP));
            }
            Order::Quit => {}
        }
    }

    fn stage(&mut self, incident: u64, step: Step, note: Option<String>) {
        if self.is_onlooker {
            return self.refuse("an onlooker keeps no stages".into());
        }
        let at_ms = self.clock.now_ms();
        let stage = Stage { step, operator: self.operator.clone(), at_ms, note };
        let known = self.desk.incidents().open().find(|it| it.number == incident);
        let Some(known) = known else {
            return self.refuse(format!("no incident {incident} is open"));
        };
        let hint = known.closing().filter(|_| known.closed_at_gateway_ms.is_none());
        let pendant = known.pendant.clone();
        let hint = hint.map(|counter| Ask::Close { pendant, incident: counter });
        self.desk.stage(incident, stage.clone());
        self.record(at_ms, &Record::Stage { incident, stage: stage.clone() });
        self.tell(&Told::Stage { incident, stage, hint });
    }

    fn ask(&mut self, gateway: String, ask: Ask, operator: &str) {
        let (at_ms, id) = (self.clock.now_ms(), uuid());
        let asked = Asked { gateway, ask, operator: operator.to_owned(), at_ms };
        self.desk.ask(id.clone(), asked.clone());
        self.record(at_ms, &Record::Asked { id: id.clone(), asked: asked.clone() });
        let (gateway, ask) = (asked.gateway.clone(), asked.ask.clone());
        self.waiting.push(After::Command { gateway, id: id.clone(), ask });
        self.tell(&Told::Asked { id, asked });
    }
}

/// Waits until the store has done what it was given; for ever if there is none.
async fn synced(store: &mut Option<Store>) -> io::Result<()> {
    match store {
        Some(store) => store.done().await,
        None => std::future::pending().await,
    }
}

/// Which gaps were there when we last looked, since when, and whether told.
#[derive(Debug, Default)]
struct Gaps(Vec<(Missing, Instant, bool)>);

impl Gaps {
    fn look(&mut self, missing: Vec<Missing>, now: Instant) -> Vec<Told> {
        let was_told = self.0.iter().any(|(_, _, told)| *told);
        let mut all = Vec::new();
        let before: std::collections::BTreeMap<Missing, (Instant, bool)> =
            std::mem::take(&mut self.0)
                .into_iter()
                .map(|(gap, at, told)| (gap, (at, told)))
                .collect();
        for missing in missing {
            let (since, mut told) = before.get(&missing).copied().unwrap_or((now, false));
            if !told && now.duration_since(since) >= MISSING_TOLD_AFTER {
                all.push(Told::Missing(missing.clone()));
                told = true;
            }
            self.0.push((missing, since, told));
        }
        if was_told && self.0.is_empty() {
            all.push(Told::NothingMissing);
        }
        all
    }
}

#[path = "answers.rs"]
mod answers;
#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
