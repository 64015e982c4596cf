//! The loop: every input goes to the engine one at a time, and every output goes
//! where it belongs before the next input is taken.

mod answers;
mod orders;

use super::clock::Clock;
use super::control::{self, Asked};
use super::disk::{self, JournalFolder};
use super::history::{Fact, History, HistoryLimits, Sample};
use super::keyring_files::KeyringFiles;
use super::lamps::LampPanel;
use super::links::{self, Links};
use super::log::LogSwitch;
use super::page::LocalPage;
use super::settings::{broker_settings, settings};
use super::store_key::StoreKey;
use super::survey::Survey;
use super::telling::Teller;
use super::uplink::{self, UplinkHandle};
use super::{journal_files, journal_words, message_ids};
use crate::config::Config;
use crate::engine::journal::recover::Findings;
use crate::engine::keyring::Keyring;
use crate::engine::lorawan;
use crate::engine::notice::Notice;
use crate::engine::seam::{
    BrokerId, BrokerInput, DiskDone, DiskOp, EnrolmentOrder, Input, LinkId, Output, TransmitOutcome,
};
use crate::engine::time::{Mono, Wall};
use crate::engine::{Gateway, Seed};
use pendant_hal::{Later, LinkEvent, SendFault, Transmission};
use pendant_protocol::SealedUplink;
use sd_notify::NotifyState;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

/// News from the broker that may wait for the loop.
const BROKER_NEWS_MAX: usize = 1024;
/// Ended disk operations that may wait for the loop.
const DISK_NEWS_MAX: usize = 64;
/// Questions that may wait for the loop.
const QUESTIONS_MAX: usize = 16;
/// How often the history's thread is woken.
const HISTORY_EVERY: Duration = Duration::from_secs(2);
/// Samples that may wait for it.
const SAMPLES_MAX: usize = 256;
/// How long a stop may wait for the last sync.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// The loop turns at least this often, so that the watchdog sees it alive.
const TURN_EVERY: Duration = Duration::from_secs(5);

/// Why the gateway cannot run. Each says what to do.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

pub(super) fn cannot<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> StartError {
    move |error| StartError(format!("{what}: {error}"))
}

/// Runs until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// Only while starting; what goes wrong later is told and mended.
pub async fn run(config: Config, log: LogSwitch) -> Result<(), StartError> {
    // As a task it takes its turn among links and uplinks; what a runtime is begun with
    // has to wait until the kernel was asked for news once more.
    match tokio::spawn(serve(config, log)).await {
        Ok(ended) => ended,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn serve(config: Config, log: LogSwitch) -> Result<(), StartError> {
    let mut daemon = Daemon::start(&config, log)?;
    // Outside systemd there is nobody to notify.
    drop(sd_notify::notify(&[NotifyState::Ready]));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(message_id = message_ids::READY, version, "ready");
    daemon.turn_until_stopped().await;
    daemon.stop().await;
    Ok(())
}

struct Daemon {
    clock: Clock,
    engine: Gateway,
    teller: Teller,
    store: PathBuf,
    keyring: KeyringFiles,
    /// As it was read last.
    enrolled: Keyring,
    reload_wanted: bool,
    /// What the centre wants of enrolments.
    orders: VecDeque<EnrolmentOrder>,
    operations: std::sync::mpsc::SyncSender<DiskOp>,
    /// Not handed to the disk's thread yet.
    waiting_operations: Vec<DiskOp>,
    disk_news: mpsc::Receiver<DiskDone>,
    links: Links,
    link_events: mpsc::Receiver<(u8, LinkEvent)>,
    link_states: BTreeMap<u8, LinkState>,
    /// By broker, in order of precedence.
    uplinks: Vec<(String, UplinkHandle)>,
    broker_news: mpsc::Receiver<(BrokerId, BrokerInput)>,
    history: History,
    page: LocalPage,
    /// What the journal held at the start.
    findings: Findings,
    /// For the history at `history_at`, so that no press waits for its thread.
    samples: Vec<Sample>,
    history_at: Instant,
    lamps: Option<LampPanel>,
    questions: mpsc::Receiver<Asked>,
    _control: control::Control,
    /// How the frame was heard that the engine judges now.
    hearing: Option<Hearing>,
    survey: Survey,
    stopped: bool,
    stop_by: Option<Instant>,
    signals: Signals,
    watchdog: Option<Duration>,
    fed: Instant,
    log: LogSwitch,
    /// Rings at the next deadline, or before it: see [`ring_at`].
    alarm: Pin<Box<Sleep>>,
}

/// What a receiver says of a frame.
#[derive(Clone, Copy)]
struct Hearing {
    link: LinkId,
    signal: pendant_hal::Signal,
    ended: Mono,
    /// As it stands in clear; `None` if it is no frame of a pendant.
    counter: Option<u32>,
}

struct LinkState {
    name: String,
    up: bool,
    fault: Option<String>,
    /// What a radio measured last, dBm.
    noise_dbm: Option<i16>,
}

struct Signals {
    term: UnixSignal,
    interrupt: UnixSignal,
    hangup: UnixSignal,
}

enum Woken {
    Link(u8, LinkEvent),
    Disk(DiskDone),
    Broker(BrokerId, BrokerInput),
    Asked(Asked),
    Stop,
    Reload,
    Time,
}

impl Daemon {
    fn start(config: &Config, log: LogSwitch) -> Result<Self, StartError> {
        let mut clock = Clock::start();
        let store = &config.store.directory;
        let key = StoreKey::read_or_make(&config.store.key_file, store)
            .map_err(cannot("the store's key"))?;
        let folder = JournalFolder::open(&store.join("journal")).map_err(journal_fault(store))?;
        let mut replay = journal_files::read(&folder, journal_files::journal_key(&key))
            .map_err(cannot("the journal"))?;
        let findings = replay.findings();
        // Who changes an enrolment from here on finds whom to tell; the keyring is read after.
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let control =
            control::listen(&config.control.socket, ask.clone()).map_err(cannot("control"))?;
        let keyring = KeyringFiles::new(store, &key);
        let enrolled = orders::told(keyring.load().map_err(cannot("the keyring"))?);
        let settings = settings(config)?;
        let (engine, report) = Gateway::recover(settings, &enrolled, seed()?, clock.now(), replay)
            .map_err(|error| StartError(format!("{}: {error}", store.display())))?;
        journal_words::tell(&findings);
        #[cfg(feature = "leaks")]
        let engine = super::settings::leaking(engine);
        let (disk_done, disk_news) = mpsc::channel(DISK_NEWS_MAX);
        let operations = disk::spawn(folder, disk_done).map_err(cannot("the disk thread"))?;
        let limits = HistoryLimits {
            bytes_max: u64::from(config.store.history_mib_max) * 1024 * 1024,
            days_max: config.store.history_days,
        };
        let history = History::open(store.join("history"), limits);
        let page = LocalPage::start(config, ask, history.reader());
        let (links, link_events) = Links::start(config);
        let (broker_done, broker_news) = mpsc::channel(BROKER_NEWS_MAX);
        let uplinks = uplinks(config, report.boot, &broker_done)?;
        let uplink_names = uplinks.iter().map(|(name, _)| name.clone()).collect();
        let names: Vec<String> = config.links.iter().map(|link| link.name.to_string()).collect();
        Ok(Self {
            clock,
            engine,
            teller: Teller::new(names.clone(), uplink_names),
            store: store.clone(),
            keyring,
            enrolled,
            reload_wanted: false,
            orders: VecDeque::new(),
            operations,
            waiting_operations: Vec::new(),
            disk_news,
            links,
            link_events,
            link_states: (0..).zip(names).map(|(tag, name)| (tag, LinkState::new(name))).collect(),
            uplinks,
            broker_news,
            history,
            page,
            findings,
            samples: Vec::new(),
            history_at: Instant::now() + HISTORY_EVERY,
            lamps: LampPanel::start(&config.lamps).map_err(cannot("the lamps' thread"))?,
            questions,
            _control: control,
            hearing: None,
            survey: Survey::default(),
            stopped: false,
            stop_by: None,
            signals: Signals::catch().map_err(cannot("signals"))?,
            watchdog: sd_notify::watchdog_enabled().map(|period| period / 3),
            fed: Instant::now(),
            log,
            alarm: Box::pin(sleep_until(Instant::now())),
        })
    }

    async fn turn_until_stopped(&mut self) {
        self.carry_outputs();
        while !self.stopped {
            self.carry_out_orders();
            if std::mem::take(&mut self.reload_wanted) {
                self.reload_or_say();
            }
            self.hand_over_operations().await;
            if let Some(lamps) = &mut self.lamps {
                lamps.show(self.engine.lamps());
            }
            let woken = self.next().await;
            self.turn(woken);
            self.feed_watchdog();
        }
        self.carry_out_last_orders();
    }

    /// Waking the disk's thread costs as much as sending an event, so the uplink
    /// gets its turn first: a press is told beside the sync, not behind its start.
    async fn hand_over_operations(&mut self) {
        if self.waiting_operations.is_empty() {
            return;
        }
        tokio::task::yield_now().await;
        for operation in self.waiting_operations.drain(..) {
            // The thread ends only with the daemon; without it nothing is durable,
            // so nothing is acknowledged.
            if self.operations.try_send(operation).is_err() {
                tracing::error!("the disk thread takes no operation");
            }
        }
    }

    async fn next(&mut self) -> Woken {
        let now = Instant::now();
        let deadline = self.engine.next_deadline().map(|mono| self.clock.instant(mono));
        let history = (!self.samples.is_empty()).then_some(self.history_at);
        let turn = Some(now + self.turn_every());
        let wake = [deadline, history, self.stop_by, self.log.deadline(), turn];
        let wake = wake.into_iter().flatten().min().unwrap_or(now);
        tokio::select! {
            Some((tag, event)) = self.link_events.recv() => Woken::Link(tag, event),
            Some(done) = self.disk_news.recv() => Woken::Disk(done),
            Some((broker, news)) = self.broker_news.recv() => Woken::Broker(broker, news),
            Some(asked) = self.questions.recv() => Woken::Asked(asked),
            _ = self.signals.term.recv() => Woken::Stop,
            _ = self.signals.interrupt.recv() => Woken::Stop,
            _ = self.signals.hangup.recv() => Woken::Reload,
            () = ring_at(&mut self.alarm, wake) => Woken::Time,
        }
    }

    fn turn(&mut self, woken: Woken) {
        match woken {
            Woken::Link(tag, event) => self.link_event(tag, event),
            Woken::Disk(done) => self.input(Input::Disk(done)),
            Woken::Broker(broker, news) => self.input(Input::Broker(broker, news)),
            Woken::Asked(asked) => self.answer(asked),
            Woken::Reload => {
                self.reload_or_say();
                self.uplinks.iter().for_each(|(_, uplink)| uplink.look_at_files());
            }
            Woken::Stop if self.stop_by.is_none() => {
                drop(sd_notify::notify(&[NotifyState::Stopping]));
                self.stop_by = Some(Instant::now() + STOP_WAIT);
                self.input(Input::Shutdown);
            }
            Woken::Stop => self.stopped = true,
            Woken::Time => {
                let now = Instant::now();
                self.stopped |= self.stop_by.is_some_and(|by| by <= now);
                if self.history_at <= now {
                    self.history_at = now + HISTORY_EVERY;
                    self.samples.drain(..).for_each(|sample| self.history.record(sample));
                }
                self.log.turn();
                self.input(Input::Timer);
            }
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.clock.now();
        self.engine.handle(now, input);
        self.carry_outputs();
    }

    fn carry_outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let Some(unsent) = self.carry(output) else { continue };
            let now = self.clock.now();
            let outcome = TransmitOutcome::Failed;
            self.engine.handle(now, Input::TransmitDone { link: unsent, outcome });
        }
    }

    /// Puts an output where it belongs; gives back the link that does not take
    /// its downlink.
    fn carry(&mut self, output: Output) -> Option<LinkId> {
        match output {
            Output::Disk(operation) => self.waiting_operations.push(operation),
            Output::Publish(publish) => {
                // What the uplink does not take is void with its connection.
                let uplink = self.uplinks.get(publish.broker.index());
                if let Some(Err(error)) = uplink.map(|(_, uplink)| uplink.offer(publish)) {
                    tracing::debug!(?error, "offer not taken");
                }
            }
            Output::Transmit(transmit) => {
                let transmission = Transmission {
                    ticket: transmit.id.0,
                    at: self.clock.instant(transmit.at),
                    wave: links::wave(transmit.wave),
                    or: transmit.or.map(|or| Later {
                        at: self.clock.instant(or.at),
                        wave: links::wave(or.wave),
                    }),
                    bytes: transmit.frame,
                };
                if !self.links.transmit(transmit.link, transmission) {
                    return Some(transmit.link);
                }
            }
            Output::Answer(answer) => {
                let uplink = self.uplinks.get(answer.broker.index());
                if uplink.is_some_and(|(_, uplink)| !uplink.answer(answer)) {
                    tracing::debug!("answer not taken");
                }
            }
            Output::Enrol(order) => self.order(order),
            Output::Tell(notice) => {
                self.note_heard(&notice);
                self.teller.tell(notice);
            }
            Output::Stopped => self.stopped = true,
        }
        None
    }

    fn link_event(&mut self, tag: u8, event: LinkEvent) {
        let link = LinkId(tag);
        match event {
            LinkEvent::Up => {
                self.link_states.entry(tag).and_modify(|state| state.set(true, None));
                self.input(Input::Link { link, up: true });
            }
            LinkEvent::Down(fault) => {
                let fault = fault.to_string();
                let state = self.link_states.get_mut(&tag);
                let name = state.as_ref().map_or("?", |state| state.name.as_str());
                let message_id = message_ids::LINK_DOWN;
                tracing::error!(message_id, link = name, fault, "link down; trying again");
                if let Some(state) = state {
                    state.set(false, Some(fault));
                }
                self.input(Input::Link { link, up: false });
            }
            LinkEvent::Received(reception) => {
                let ended = self.clock.mono(reception.ended);
                let signal = links::signal(&reception.signal);
                let counter = SealedUplink::parse(&reception.bytes)
                    .map(|frame| frame.counter())
                    .ok()
                    .or_else(|| lorawan::counter_in_clear(&reception.bytes).map(u32::from));
                self.hearing = Some(Hearing { link, signal: reception.signal, ended, counter });
                self.input(Input::Frame { link, ended, signal, bytes: reception.bytes });
                self.hearing = None;
            }
            LinkEvent::Sent { .. } => {
                self.input(Input::TransmitDone { link, outcome: TransmitOutcome::Sent });
            }
            LinkEvent::NotSent { fault, .. } => {
                tracing::debug!(%fault, "downlink not sent");
                let outcome = match fault {
                    SendFault::Airtime => {
                        self.teller.dropped(tag, "answers_without_airtime", 1);
                        TransmitOutcome::NoAirtime
                    }
                    _ => TransmitOutcome::Failed,
                };
                self.input(Input::TransmitDone { link, outcome });
            }
            LinkEvent::Air(quality) => {
                let noise = |state: &mut LinkState| {
                    state.noise_dbm = quality.noise_dbm.or(state.noise_dbm);
                };
                self.link_states.entry(tag).and_modify(noise);
                self.input(Input::Air { link, report: links::air_report(&quality) });
            }
            LinkEvent::Counted(count) => self.teller.dropped(tag, count.name(), count.n()),
        }
    }

    /// The survey and the history get what anyone could have heard: who, where, how well.
    fn note_heard(&mut self, notice: &Notice) {
        if let (
            Notice::Heard { pendant, .. }
            | Notice::HeardAgain { pendant, .. }
            | Notice::HeardBeside { pendant, .. },
            Some(Hearing { link, signal, ended, counter: Some(counter) }),
        ) = (notice, self.hearing)
        {
            self.survey.hear((*pendant, link), counter, signal, ended);
        }
        let (link, fact) = match (notice, self.hearing) {
            (
                Notice::Heard { pendant, .. } | Notice::HeardBeside { pendant, .. },
                Some(Hearing { link, signal, .. }),
            ) => (link, Fact::Heard(*pendant, links::signal(&signal))),
            (Notice::Link { link, up: false }, _) => (*link, Fact::LinkLost),
            _ => return,
        };
        // Without a set clock there is no place for it.
        let Wall::Set { unix_ms, .. } = self.clock.now().wall else { return };
        let Ok(unix_s) = u64::try_from(unix_ms / 1000) else { return };
        // Under a flood the plot has gaps.
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(Sample { unix_s, link, fact });
        }
    }

    fn turn_every(&self) -> Duration {
        self.watchdog.unwrap_or(TURN_EVERY).min(TURN_EVERY)
    }

    /// Fed by a turn of the loop that was completed, never by a timer's task.
    fn feed_watchdog(&mut self) {
        let now = Instant::now();
        if self.watchdog.is_some_and(|period| now - self.fed >= period) {
            self.fed = now;
            drop(sd_notify::notify(&[NotifyState::Watchdog]));
        }
    }

    async fn stop(self) {
        let Self { uplinks, links, history, page, lamps, mut broker_news, .. } = self;
        drop(page);
        // The uplinks tell while they stop, and must find an ear.
        let listen = async { while broker_news.recv().await.is_some() {} };
        let mut stopping = tokio::task::JoinSet::new();
        for (_, uplink) in uplinks {
            stopping.spawn(uplink.stop());
        }
        let stopped = async { while stopping.join_next().await.is_some() {} };
        tokio::select! { () = stopped => {}, () = listen => {} }
        links.stop().await;
        history.close().await;
        if let Some(lamps) = lamps {
            lamps.close().await;
        }
        tracing::info!("stopped");
    }
}

/// Waits until then at the latest. An alarm is set anew only when it must ring earlier, since
/// that has to be told to the kernel: once it has rung too early, it is.
async fn ring_at(alarm: &mut Pin<Box<Sleep>>, wake: Instant) {
    if wake < alarm.deadline() || alarm.is_elapsed() {
        alarm.as_mut().reset(wake);
    }
    alarm.await;
}

impl LinkState {
    fn new(name: String) -> Self {
        Self { name, up: false, fault: None, noise_dbm: None }
    }

    fn set(&mut self, up: bool, fault: Option<String>) {
        (self.up, self.fault, self.noise_dbm) = (up, fault, None);
    }
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// A line for each broker.
fn uplinks(
    config: &Config,
    boot: u64,
    news: &mpsc::Sender<(BrokerId, BrokerInput)>,
) -> Result<Vec<(String, UplinkHandle)>, StartError> {
    let lines = BrokerId::all().zip(&config.brokers).map(|(id, broker)| {
        let settings = broker_settings(config, broker, boot)?;
        Ok((broker.name.to_string(), uplink::spawn(id, settings, news.clone())))
    });
    lines.collect()
}

fn journal_fault(store: &Path) -> impl FnOnce(std::io::Error) -> StartError + '_ {
    move |error| {
        let folder = store.join("journal");
        StartError(match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                format!(
                    "{} is in use: another gateway runs on this store, and only one may; \
                     `systemctl status pendant-gateway` shows whether it is the service",
                    folder.display()
                )
            }
            _ => format!("the journal folder {}: {error}", folder.display()),
        })
    }
}

fn seed() -> Result<Seed, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(cannot("the kernel's random numbers"))?;
    Ok(Seed(seed))
}
