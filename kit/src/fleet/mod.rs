//! A fleet: hundreds of gateways in this process, each with people of its own, against a
//! real broker and a real desk; then the proof that nothing was lost and nothing came twice.
//!
//! Of a gateway everything is real that decides, keeps or sends: the engine, the journal in
//! files with a sync before each answer, the line to the broker by TLS under a certificate
//! of its own. Not there are receivers (pendants hand their frames over), the history, the
//! page and the control socket, which take no part in what is proven here.

mod books;
mod broker;
mod desk;
mod gateway;
mod load;
mod report;
mod wearers;

pub use books::{Delays, Verdict};
pub use broker::Given;
pub use load::Cpu;
pub use report::{Report, Traffic};
pub use wearers::Pace;

use crate::line::{From, Line};
use books::{Books, judge};
use broker::Broker;
use desk::Desk;
use gateway::{Order, Running};
use pendant_gateway::config::Config;
use pendant_hal::sim::chance::Chance;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use wearers::Wearers;

/// Most gateways: as many as a desk knows.
pub const GATEWAYS_MAX: u32 = crate::centre::GATEWAYS_MAX as u32;
/// Most pendants at one gateway.
pub const PENDANTS_MAX: u32 = 1_000;

/// One gateway in so many has a line that can be cut.
const CUT_ONE_IN: u32 = 10;
/// How long the broker is away.
const BROKER_AWAY: Duration = Duration::from_secs(2);
/// Files and sockets of a gateway, its line's and its journal's among them.
const FILES_OF_GATEWAY: u64 = 16;
const OTHER_FILES: u64 = 256;

/// A fleet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many gateways.
    pub gateways: u32,
    /// How many people at each.
    pub pendants: u32,
    /// What they do.
    pub pace: Pace,
    /// How long they do it.
    pub lasts: Duration,
    /// So long nobody does anything afterwards, to measure what is sent all the same.
    pub idle: Duration,
    /// Whether the broker is killed and a tenth of the gateways cut off meanwhile.
    pub disturbed: bool,
    /// How long everything may take to connect, and to arrive at the end.
    pub patience: Duration,
    /// How gateways are configured besides (sections of `gateway.toml`).
    pub more: String,
    /// A broker that others run; otherwise a mosquitto is started.
    pub broker: Option<Given>,
    /// Where journals and certificates go; a temporary folder if absent.
    pub folder: Option<PathBuf>,
    /// Everything that is chance follows from it, but not when packets come.
    pub seed: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many gateways run.
    Started(u32),
    /// All are connected.
    Connected,
    /// People work since so long; frames acknowledged, events at the centre.
    Working(Duration, u64, u64),
    /// The broker was killed and is there again.
    BrokerKilled,
    /// The lines of so many gateways are black now.
    Cut(u32),
    /// And are whole again.
    Whole,
    /// Nobody begins anything any more; what is on its way arrives.
    Settling,
    /// Nothing is on its way any more.
    Settled,
}

/// Why there is no report.
#[derive(Debug)]
pub enum FleetError {
    /// The system refuses.
    Io(io::Error),
    /// It did not come to this in time.
    Late(&'static str, String),
    /// A gateway ended.
    Gateway(String),
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Late(what, standing) => write!(f, "not in time: {what}: {standing}"),
            Self::Gateway(why) => write!(f, "a gateway ended: {why}"),
        }
    }
}

impl std::error::Error for FleetError {}

impl std::convert::From<io::Error> for FleetError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a fleet, and judges it.
///
/// # Errors
/// It could not be run. What went wrong in a run is in the report.
pub async fn run(
    settings: Settings,
    mut progress: impl FnMut(Progress),
) -> Result<Report, FleetError> {
    let temporary = tempfile::tempdir()?;
    let folder = settings.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    allow_files(u64::from(settings.gateways) * FILES_OF_GATEWAY + OTHER_FILES)?;
    let mut fleet = Fleet::start(settings, &folder, &mut progress).await?;
    let begun = Instant::now();
    let traffic = fleet.work(begun, &mut progress).await?;
    let worked = begun.elapsed();
    progress(Progress::Settling);
    fleet.settle().await?;
    progress(Progress::Settled);
    let idle = fleet.idle().await?;
    fleet.end(worked, traffic, idle).await
}

struct Fleet {
    settings: Settings,
    broker: Broker,
    lines: Vec<Line>,
    books: Arc<Books>,
    desk: Desk,
    orders: watch::Sender<Order>,
    gateways: JoinSet<io::Result<u64>>,
    /// Memory before there were gateways, and with all of them connected.
    resident_bytes: (u64, u64),
}

/// What the lines of some gateways have carried, and what for.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    at: Option<Instant>,
    up: u64,
    down: u64,
    events: u64,
    cpu: Cpu,
}

impl Fleet {
    async fn start(
        settings: Settings,
        folder: &Path,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Self, FleetError> {
        let broker = Broker::start(settings.broker.clone(), folder).await?;
        let books = Arc::new(Books::default());
        let (host, port) = broker.address();
        let desk = Desk::start(folder, (host, port), &broker.badge("centre")?, &books)?;
        let before = load::resident_bytes();
        let target = lookup_host((host, port)).await?.next();
        let target = target.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
        let mut fleet = Self {
            lines: Vec::new(),
            gateways: JoinSet::new(),
            orders: watch::Sender::new(Order::Quiet),
            resident_bytes: (before, before),
            settings,
            broker,
            books,
            desk,
        };
        let mut chance = Chance(fleet.settings.seed);
        for number in 1..=fleet.settings.gateways {
            let line = (number % CUT_ONE_IN == 1).then(|| Line::start(target)).transpose()?;
            let running = fleet.gateway(folder, number, line.as_ref(), chance.next())?;
            fleet.gateways.spawn(running.run());
            fleet.lines.extend(line);
            progress(Progress::Started(number));
            // Those that run already have their turn.
            tokio::task::yield_now().await;
        }
        let all = fleet.settings.gateways as usize;
        let mut ups = fleet.books.ups();
        fleet
            .wait("every gateway connected", async move {
                drop(ups.wait_for(|count| *count == all).await);
            })
            .await?;
        fleet.resident_bytes.1 = load::resident_bytes();
        progress(Progress::Connected);
        Ok(fleet)
    }

    fn gateway(
        &self,
        folder: &Path,
        number: u32,
        line: Option<&Line>,
        seed: u64,
    ) -> Result<Running, FleetError> {
        let name = format!("gw{number:04}");
        let badge = self.broker.badge(&name)?;
        let (host, port) = self.broker.address();
        let (dialled, port) = line.map_or((host, port), |line| ("127.0.0.1", line.port()));
        let text = format!(
            "site = \"fleet\"\ngateway = \"{name}\"\nslot = 1\n\
             [store]\ndirectory = \"{store}\"\nkey_file = \"{store}/store.key\"\n\
             journal_mib_max = 16\nurgent_mib_reserved = 2\n\
             [[link]]\nname = \"bench\"\nkind = \"serial\"\npath = \"/dev/null\"\n\
             [[broker]]\nhost = \"{dialled}\"\nserver_name = \"{host}\"\nport = {port}\n\
             ca_file = \"{ca}\"\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n{more}",
            store = folder.join(&name).display(),
            ca = badge.ca.display(),
            certificate = badge.files.certificate.display(),
            key = badge.files.key.display(),
            more = self.settings.more,
        );
        let config = Config::parse(&text, "the fleet's gateway.toml")
            .map_err(|error| io::Error::other(error.to_string()))?;
        let Settings { pendants, pace, .. } = self.settings;
        let people = Wearers::new((number - 1) * pendants + 1, pendants, pace, seed);
        let orders = self.orders.subscribe();
        Ok(Running::start(&config, people, Arc::clone(&self.books), orders)?)
    }

    /// Waits for this, unless a gateway ends before.
    async fn wait(
        &mut self,
        what: &'static str,
        done: impl Future<Output = ()>,
    ) -> Result<(), FleetError> {
        tokio::select! {
            done = timeout(self.settings.patience, done) => {
                done.map_err(|_| FleetError::Late(what, self.books.standing()))
            }
            ended = self.gateways.join_next() => Err(ended_early(ended)),
        }
    }

    /// People work. What the lines carried in the time before the first disturbance.
    async fn work(
        &mut self,
        begun: Instant,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(Carried, Carried), FleetError> {
        let lasts = self.settings.lasts;
        let (begin, quarter) = (self.carried(), lasts / 4);
        self.books.set_calm(true);
        self.orders.send_replace(Order::Work);
        self.work_until(begun, quarter, progress).await?;
        let calm = (begin, self.carried());
        if self.settings.disturbed {
            self.books.set_calm(false);
            if self.broker.kill_for(BROKER_AWAY).await? {
                progress(Progress::BrokerKilled);
            }
            self.work_until(begun, quarter * 2, progress).await?;
            self.lines.iter().for_each(|line| line.black(true));
            progress(Progress::Cut(u32::try_from(self.lines.len()).unwrap_or(u32::MAX)));
            self.work_until(begun, quarter * 3, progress).await?;
            for line in &self.lines {
                line.black(false);
                line.cut();
            }
            progress(Progress::Whole);
        }
        self.work_until(begun, lasts, progress).await?;
        self.books.set_calm(false);
        Ok(calm)
    }

    async fn work_until(
        &mut self,
        begun: Instant,
        until: Duration,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), FleetError> {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while begun.elapsed() < until {
            tokio::select! {
                _ = tick.tick() => {
                    let told = self.desk.told();
                    progress(Progress::Working(begun.elapsed(), self.books.acknowledged(), told));
                }
                () = sleep(until.saturating_sub(begun.elapsed())) => {}
                ended = self.gateways.join_next() => return Err(ended_early(ended)),
            }
        }
        Ok(())
    }

    /// Nobody begins anything any more, until nothing is on its way.
    async fn settle(&mut self) -> Result<(), FleetError> {
        self.orders.send_replace(Order::Quiet);
        let all = self.settings.gateways as usize;
        let mut settled = self.books.all_settled();
        self.wait("every event receipted", async move {
            drop(settled.wait_for(|count| *count == all).await);
        })
        .await
    }

    /// What is sent although nobody does anything.
    async fn idle(&mut self) -> Result<Option<(Carried, Carried)>, FleetError> {
        if self.settings.idle.is_zero() {
            return Ok(None);
        }
        let before = self.carried();
        tokio::select! {
            () = sleep(self.settings.idle) => Ok(Some((before, self.carried()))),
            ended = self.gateways.join_next() => Err(ended_early(ended)),
        }
    }

    fn carried(&self) -> Carried {
        let sum = |from| self.lines.iter().map(|line| line.carried(from)).sum();
        Carried {
            at: Some(Instant::now()),
            up: sum(From::Client),
            down: sum(From::Server),
            events: self.desk.told(),
            cpu: Cpu::now(self.broker.process()),
        }
    }

    async fn end(
        mut self,
        worked: Duration,
        calm: (Carried, Carried),
        idle: Option<(Carried, Carried)>,
    ) -> Result<Report, FleetError> {
        let at_end = load::resident_bytes();
        self.orders.send_replace(Order::Stop);
        let mut owed = 0;
        while let Some(ended) = self.gateways.join_next().await {
            owed += ended.map_err(io::Error::other)??;
        }
        let (heard, missing) = self.desk.stop().await?;
        let verdict = judge(&self.books, &heard, &missing, owed);
        let (given_up, transmissions) = self.books.said();
        let (calm_delays, all_delays) = self.books.delays();
        let (before, connected) = self.resident_bytes;
        let of_gateway = |all: u64| all.saturating_sub(before) / u64::from(self.settings.gateways);
        let lines = self.lines.len() as u64;
        Ok(Report {
            gateways: self.settings.gateways,
            pendants: self.settings.pendants,
            worked,
            acknowledged: self.books.acknowledged(),
            given_up,
            transmissions,
            offers: self.books.offers(),
            verdict,
            calm: calm_delays,
            all: all_delays,
            traffic: Traffic::between(calm, lines, self.settings.gateways),
            idle: idle.and_then(|idle| Traffic::between(idle, lines, self.settings.gateways)),
            resident_bytes: (of_gateway(connected), of_gateway(at_end)),
        })
    }
}

fn ended_early(ended: Option<Result<io::Result<u64>, tokio::task::JoinError>>) -> FleetError {
    FleetError::Gateway(match ended {
        None => "there is none".to_owned(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Err(error))) => error.to_string(),
        Some(Ok(Ok(_))) => "nobody asked it to".to_owned(),
    })
}

/// Lets this process have so many files and sockets open.
fn allow_files(wanted: u64) -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(most) = limit.maximum.filter(|most| *most < wanted) {
        return Err(io::Error::other(format!(
            "a fleet of this size has {wanted} files and sockets open, and {most} are allowed: \
             raise the limit (ulimit -Hn), or take fewer gateways"
        )));
    }
    limit.current = Some(wanted);
    Ok(setrlimit(Resource::Nofile, limit)?)
}
