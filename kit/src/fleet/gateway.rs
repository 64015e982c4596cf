//! One gateway of a fleet: the real engine, the real journal on its own disk thread with
//! real syncs, the real line to the broker; in place of a receiver the pendants themselves.

use super::books::Books;
use super::wearers::{Leaving, Wearers};
use pendant_gateway::config::Config;
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::seam::{
    BrokerId, BrokerInput, DiskDone, DiskOp, Input, LinkId, Output, Publish, Signal, Transmit,
    TransmitOutcome,
};
use pendant_gateway::engine::{Gateway, Seed};
use pendant_gateway::shell::clock::Clock;
use pendant_gateway::shell::disk::{self, JournalFolder};
use pendant_gateway::shell::journal_files;
use pendant_gateway::shell::settings::{broker_settings, settings};
use pendant_gateway::shell::uplink::{self, UplinkHandle, UplinkStatus};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// News of a disk or a broker that may wait for the loop, as in the daemon.
const NEWS_MAX: usize = 1024;
/// The only receiver.
const LINK: LinkId = LinkId(0);
const BROKER: BrokerId = BrokerId(0);

/// What the fleet wants of its gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// People do as they do.
    Work,
    /// Nobody begins anything any more.
    Quiet,
    /// It is over.
    Stop,
}

/// A gateway at work.
pub(super) struct Running {
    clock: Clock,
    engine: Gateway,
    operations: std::sync::mpsc::SyncSender<DiskOp>,
    disk_news: mpsc::Receiver<DiskDone>,
    uplink: UplinkHandle,
    status: watch::Receiver<UplinkStatus>,
    broker_news: mpsc::Receiver<(BrokerId, BrokerInput)>,
    wearers: Wearers,
    /// Answers that leave at their time; of several at one moment the first asked for first.
    answers: BTreeMap<(Instant, u64), Transmit>,
    answers_made: u64,
    /// Frames heard of which no event was offered yet, by pendant and counter.
    heard: BTreeMap<(u32, u32), Heard>,
    /// Events offered and not receipted, by id.
    offered: BTreeMap<String, Heard>,
    books: Arc<Books>,
    orders: watch::Receiver<Order>,
    is_up: bool,
    is_settled: bool,
}

#[derive(Clone, Copy)]
struct Heard {
    at: Instant,
    calm: Option<u64>,
}

enum Woken {
    Disk(DiskDone),
    Broker(BrokerInput),
    /// The fleet or the uplink says how it is now.
    Told,
    Time,
}

fn other<E: std::fmt::Display>(error: E) -> io::Error {
    io::Error::other(error.to_string())
}

impl Running {
    /// Starts it; its pendants begin when it is ordered to work.
    pub(super) fn start(
        config: &Config,
        (wearers, keyring): (Wearers, Keyring),
        books: Arc<Books>,
        orders: watch::Receiver<Order>,
    ) -> io::Result<Self> {
        let mut clock = Clock::start();
        let folder = JournalFolder::open(&config.store.directory.join("journal"))?;
        let mut secrets = [0; 64];
        getrandom::fill(&mut secrets).map_err(other)?;
        let (key, seed) = secrets.split_at(32);
        let key = JournalKey::from_bytes(key.try_into().expect("32 bytes"));
        let replay = journal_files::read(&folder, key).map_err(other)?;
        let seed = Seed(seed.try_into().expect("32 bytes"));
        let settings = settings(config).map_err(other)?;
        let (engine, report) =
            Gateway::recover(settings, &keyring, seed, clock.now(), replay).map_err(other)?;
        let (disk_done, disk_news) = mpsc::channel(NEWS_MAX);
        let operations = disk::spawn(folder, disk_done)?;
        let (broker_done, broker_news) = mpsc::channel(NEWS_MAX);
        let broker = broker_settings(config, &config.brokers[0], report.boot).map_err(other)?;
        let uplink = uplink::spawn(BROKER, broker, broker_done);
        let mut running = Self {
            clock,
            engine,
            operations,
            disk_news,
            status: uplink.status(),
            uplink,
            broker_news,
            wearers,
            answers: BTreeMap::new(),
            answers_made: 0,
            heard: BTreeMap::new(),
            offered: BTreeMap::new(),
            books,
            orders,
            is_up: false,
            is_settled: false,
        };
        running.carry_outputs()?;
        running.input(Input::Link { link: LINK, up: true })?;
        Ok(running)
    }

    /// Works until it is ordered to stop, and says then what it still owes the centre.
    pub(super) async fn run(mut self) -> io::Result<u64> {
        loop {
            let order = *self.orders.borrow_and_update();
            if order == Order::Stop {
                break;
            }
            self.tell(order);
            match self.next(order).await {
                Woken::Disk(done) => self.input(Input::Disk(done))?,
                Woken::Broker(news) => self.broker(news)?,
                Woken::Told => {}
                Woken::Time => self.time(order)?,
            }
        }
        let owed = self.engine.status().backlog;
        let Self { uplink, mut broker_news, .. } = self;
        // The uplink tells while it stops, and must find an ear.
        let listen = async { while broker_news.recv().await.is_some() {} };
        tokio::select! { () = uplink.stop() => {}, () = listen => {} }
        Ok(owed)
    }

    async fn next(&mut self, order: Order) -> Woken {
        let engine = self.engine.next_deadline().map(|mono| self.clock.instant(mono));
        let answer = self.answers.keys().next().map(|(at, _)| *at);
        let people = self.wearers.next_deadline(order == Order::Quiet);
        let wake = [engine, answer, people].into_iter().flatten().min();
        tokio::select! {
            Some(done) = self.disk_news.recv() => Woken::Disk(done),
            Some((_, news)) = self.broker_news.recv() => Woken::Broker(news),
            _ = self.orders.changed() => Woken::Told,
            _ = self.status.changed() => Woken::Told,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Woken::Time,
        }
    }

    /// Tells the books what the fleet waits for.
    fn tell(&mut self, order: Order) {
        let (is_up, fault) = {
            let status = self.status.borrow_and_update();
            (status.connected, status.fault.as_ref().map(ToString::to_string))
        };
        if let Some(fault) = fault {
            self.books.fault(fault);
        }
        if is_up != self.is_up {
            self.is_up = is_up;
            self.books.up(is_up);
        }
        let is_settled = order == Order::Quiet
            && !self.wearers.is_waiting()
            && self.engine.status().backlog == 0;
        if is_settled != self.is_settled {
            self.is_settled = is_settled;
            self.books.settled(is_settled);
        }
    }

    fn time(&mut self, order: Order) -> io::Result<()> {
        let now = Instant::now();
        while self.answers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let Some((_, answer)) = self.answers.pop_first() else { break };
            self.wearers.hear(&answer.frame, Instant::now());
            let outcome = TransmitOutcome::Sent;
            self.input(Input::TransmitDone { link: LINK, outcome })?;
        }
        self.wearers.turn(now, order == Order::Quiet);
        let books = Arc::clone(&self.books);
        let leaving = self.wearers.drain(now, |pendant, seen| books.seen(pendant, seen));
        leaving.into_iter().try_for_each(|it| self.hear(now, it))?;
        self.input(Input::Timer)
    }

    fn hear(&mut self, at: Instant, leaving: Leaving) -> io::Result<()> {
        if leaving.is_first {
            let heard = Heard { at, calm: self.books.calm() };
            self.heard.insert((leaving.pendant, leaving.counter), heard);
        }
        let signal = Signal {
            rssi_dbm: Some(-97),
            snr_quarter_db: Some(20),
            frequency_hz: Some(868_300_000),
            spreading_factor: Some(9),
            frequency_error_hz: Some(-800),
        };
        let ended = self.clock.mono(at);
        self.input(Input::Frame { link: LINK, ended, signal, bytes: leaving.frame.to_vec() })
    }

    fn broker(&mut self, news: BrokerInput) -> io::Result<()> {
        if let BrokerInput::Receipt(receipt) = &news {
            if let Some(heard) = id_of_receipt(receipt).and_then(|id| self.offered.remove(&id)) {
                self.books.receipted(heard.at.elapsed(), heard.calm);
            }
        }
        self.input(Input::Broker(BROKER, news))
    }

    fn input(&mut self, input: Input) -> io::Result<()> {
        let now = self.clock.now();
        self.engine.handle(now, input);
        self.carry_outputs()
    }

    fn carry_outputs(&mut self) -> io::Result<()> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Disk(operation) => self.operations.try_send(operation).map_err(other)?,
                Output::Publish(publish) => self.publish(publish),
                Output::Transmit(transmit) => {
                    self.answers_made += 1;
                    let at = self.clock.instant(transmit.at);
                    self.answers.insert((at, self.answers_made), transmit);
                }
                // What is not taken is made up by the next.
                Output::Answer(answer) => drop(self.uplink.answer(answer)),
                // This fleet's centre asks for none; what is told, the books see at the centre.
                Output::Enrol(_) | Output::Tell(_) | Output::Stopped => {}
            }
        }
        Ok(())
    }

    fn publish(&mut self, publish: Publish) {
        if let Some((id, pendant, counter)) = of_pendant(&publish.payload) {
            if let Some(heard) = self.heard.remove(&(pendant, counter)) {
                self.offered.insert(id, heard);
            }
        }
        self.books.offered();
        // What the uplink does not take is void with its connection.
        drop(self.uplink.offer(publish));
    }
}

fn id_of_receipt(receipt: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Receipt {
        received: String,
    }
    serde_json::from_slice::<Receipt>(receipt).ok().map(|it| it.received)
}

/// Id, pendant and counter of an event.
fn of_pendant(payload: &[u8]) -> Option<(String, u32, u32)> {
    #[derive(serde::Deserialize)]
    struct Of {
        id: String,
        data: Data,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        pendant: Option<String>,
        counter: Option<u32>,
    }
    let Of { id, data } = serde_json::from_slice(payload).ok()?;
    let pendant = u32::from_str_radix(&data.pendant?, 16).ok()?;
    Some((id, pendant, data.counter?))
}
