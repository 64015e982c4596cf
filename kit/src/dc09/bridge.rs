//! The bridge at work: events in, messages out, receipts back.

use super::cipher::Cipher;
use super::link::{Answer, Link, LinkSettings};
use super::mapping::Mapping;
use super::message::{Address, Message};
use super::queue::{Queue, Telling};
use super::state::{Key, State};
use super::told::Told;
use crate::centre::{Centre, CentreSettings, Event, Heard, News};
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Receipts leave together, so that the way to the receiver, which is not the same for
/// all events, does not show in their times.
const TICK: Duration = Duration::from_secs(1);
/// First and longest pause before a receiver that does not answer is tried again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest name of a kind or boot that is taken.
const NAME_BYTES_MAX: usize = 40;

/// What the bridge joins, and how.
#[derive(Debug)]
pub struct BridgeSettings {
    /// The broker, and which gateways are heard.
    pub centre: CentreSettings,
    /// What events become.
    pub mapping: Mapping,
    /// Where the receiver is.
    pub link: LinkSettings,
    /// Our receiver number, 1 to 6 hexadecimal digits.
    pub receiver_number: String,
    /// Our line number, 1 to 6 hexadecimal digits.
    pub line_number: String,
    /// The key that we share with the receiver; `None`: nothing is encrypted.
    pub cipher: Option<Cipher>,
    /// After so long without an answer the receiver is asked for one.
    pub supervision: Duration,
}

/// How the bridge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Events that the receiver does not have; their gateways keep them.
    pub waiting: usize,
    /// Events that it refused.
    pub refused: usize,
}

/// Bridges until `stop` ends.
///
/// # Errors
/// The state cannot be written. Events that were not receipted are kept by gateways.
pub async fn run(
    settings: BridgeSettings,
    state: State,
    tell: impl FnMut(Told),
    stop: impl Future<Output = ()>,
) -> io::Result<Ended> {
    let BridgeSettings { centre, mapping, link, receiver_number, line_number, cipher, supervision } =
        settings;
    let address = Address { receiver: receiver_number, line: line_number, cipher };
    let (jobs, answers, line) = start_line(Link::new(link, address));
    // The bridge calls for each receipt when it is due.
    let mut centre = Centre::start(CentreSettings { receipts: false, ..centre });
    let mut bridge = Bridge::new(mapping, state, supervision);
    let ended = tokio::select! {
        Err(error) = bridge.serve(&mut centre, &jobs, answers, tell) => Err(error),
        () = stop => Ok(()),
    };
    line.abort();
    centre.stop().await;
    ended.map(|()| Ended { waiting: bridge.queue.len(), refused: bridge.refused })
}

/// Only a panic, which has told of itself, ends one of the tasks.
fn line_ended() -> io::Error {
    io::Error::other("a task of the bridge ended")
}

type Answers = mpsc::Receiver<(Job, Answer)>;

fn start_line(mut link: Link) -> (mpsc::Sender<Job>, Answers, tokio::task::JoinHandle<()>) {
    let (jobs, mut jobs_in) = mpsc::channel::<Job>(1);
    let (answers_out, answers) = mpsc::channel(1);
    let line = tokio::spawn(async move {
        while let Some(job) = jobs_in.recv().await {
            let answer = link.exchange(&job.message, job.sequence).await;
            if answers_out.send((job, answer)).await.is_err() {
                return;
            }
        }
    });
    (jobs, answers, line)
}

/// A message under way.
#[derive(Debug)]
struct Job {
    message: Message,
    sequence: u16,
    /// The event; `None`: the receiver is only asked for an answer.
    key: Option<Key>,
    /// How many events had come when it was sent.
    came: u64,
}

/// What is known of the receiver.
#[derive(Debug)]
enum Receiver {
    Unknown,
    Up { answered: Instant },
    Down { until: Instant, pause: Duration },
}

#[derive(Debug)]
struct Bridge {
    mapping: Mapping,
    state: State,
    supervision: Duration,
    queue: Queue,
    receiver: Receiver,
    is_busy: bool,
    /// The event that the receiver did not answer, and why. Whether it answers at all
    /// is asked next.
    suspect: Option<(Key, String)>,
    refused: usize,
    told: Vec<Told>,
}

impl Bridge {
    fn new(mapping: Mapping, state: State, supervision: Duration) -> Self {
        Self {
            mapping,
            state,
            supervision,
            queue: Queue::default(),
            receiver: Receiver::Unknown,
            is_busy: false,
            suspect: None,
            refused: 0,
            told: Vec::new(),
        }
    }

    /// Goes on until something fails.
    async fn serve(
        &mut self,
        centre: &mut Centre,
        jobs: &mpsc::Sender<Job>,
        mut answers: Answers,
        mut tell: impl FnMut(Told),
    ) -> io::Result<Infallible> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(job) = self.job(Instant::now())? {
                jobs.send(job).await.map_err(|_| line_ended())?;
            }
            tokio::select! {
                news = centre.next() => self.hear(news.ok_or_else(line_ended)?),
                answer = answers.recv() => {
                    let (job, answer) = answer.ok_or_else(line_ended)?;
                    self.answered(job, answer, Instant::now())?;
                }
                _ = tick.tick() => {
                    let due = self.queue.take_due();
                    due.into_iter().for_each(|it| centre.receipt(it.topic, it.receipt));
                }
            }
            self.told.drain(..).for_each(&mut tell);
        }
    }

    /// What is to be sent now, if anything.
    fn job(&mut self, now: Instant) -> io::Result<Option<Job>> {
        if self.is_busy || matches!(self.receiver, Receiver::Down { until, .. } if now < until) {
            return Ok(None);
        }
        let came = self.queue.came();
        let next = if self.suspect.is_none() { self.queue.next(now) } else { None };
        let job = if let Some((key, message)) = next {
            let sequence = self.state.number(&key)?;
            Some(Job { message, sequence, key: Some(key), came })
        } else if self.suspect.is_some() || self.queue.asks() || self.is_supervision_due(now) {
            let message = Message::null(self.mapping.account());
            Some(Job { message, sequence: 0, key: None, came })
        } else {
            None
        };
        self.is_busy = job.is_some();
        Ok(job)
    }

    fn is_supervision_due(&self, now: Instant) -> bool {
        match self.receiver {
            Receiver::Up { answered } => now >= answered + self.supervision,
            Receiver::Unknown | Receiver::Down { .. } => true,
        }
    }

    fn answered(&mut self, job: Job, answer: Answer, now: Instant) -> io::Result<()> {
        self.is_busy = false;
        let Job { message, sequence, key, came } = job;
        match (key, answer) {
            (Some(key), Answer::Unanswered(why)) => self.suspect = Some((key, why)),
            (None, Answer::Unanswered(why)) => self.is_down(why, now),
            (Some(key), answer) => {
                self.state.done(&key)?;
                self.queue.done(&key);
                self.is_up(came, now);
                self.told.push(if answer == Answer::Refused {
                    self.refused += 1;
                    Told::refused(sequence, &key, &message.account)
                } else {
                    Told::acknowledged(sequence, &key, &message.account)
                });
            }
            (None, _) => {
                self.is_up(came, now);
                if let Some((key, why)) = self.suspect.take() {
                    self.queue.set_apart(&key, now);
                    self.told.push(Told::SetApart { id: key.id, kind: key.kind, why });
                }
            }
        }
        Ok(())
    }

    fn is_up(&mut self, came: u64, now: Instant) {
        if !matches!(self.receiver, Receiver::Up { .. }) {
            self.told.push(Told::ReceiverUp);
        }
        self.receiver = Receiver::Up { answered: now };
        self.queue.vouched(came);
    }

    fn is_down(&mut self, why: String, now: Instant) {
        self.suspect = None;
        let pause = match self.receiver {
            Receiver::Down { pause, .. } => (pause * 2).min(PAUSE_MAX),
            Receiver::Unknown | Receiver::Up { .. } => {
                self.told.push(Told::ReceiverDown { why, waiting: self.queue.len() });
                PAUSE_MIN
            }
        };
        self.receiver = Receiver::Down { until: now + pause, pause };
    }

    fn hear(&mut self, news: News) {
        let told = match news {
            News::Heard(Heard::Event { event, .. }) => self.take(&event),
            News::Heard(Heard::Malformed { topic, why }) => {
                Some(Told::Malformed { topic, why: why.to_string() })
            }
            News::Heard(Heard::State { .. } | Heard::Answer { .. }) | News::Message(_) => None,
            News::Up { .. } => Some(Told::BrokerUp),
            News::Down(why) => Some(Told::BrokerDown { why }),
            News::Deaf { site, gateway } => {
                Some(Told::Deaf { gateway: format!("{site}/{gateway}") })
            }
        };
        self.told.extend(told);
    }

    fn take(&mut self, event: &Event) -> Option<Told> {
        let (topic, gateway) = (
            format!("lonework/v1/{}/{}/receipt", event.site, event.gateway),
            format!("{}/{}", event.site, event.gateway),
        );
        // They are written to the state, and into the receipt.
        if !is_name(&event.data.kind) || !is_name(&event.data.boot) {
            return Some(Told::Malformed {
                topic: gateway,
                why: "its kind or boot is no name".into(),
            });
        }
        let telling = Telling { topic, receipt: event.receipt(), gateway };
        let key = Key { id: event.id.clone(), kind: event.data.kind.clone() };
        let message = self.mapping.message(event).filter(|_| !self.state.is_done(&key));
        let Some(message) = message else {
            self.queue.push_unsent(telling);
            return None;
        };
        let keeps = self.queue.push(key, event.data.lane == "urgent", message, telling);
        keeps.map(|gateway| Told::NoRoom { gateway })
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
