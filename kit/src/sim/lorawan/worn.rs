//! A device in its wearer's hand: it sends, listens in its windows, repeats, and judges
//! all that is sent to it.

use super::memory::Remembering;
use super::plan::{Plan, Sort};
use super::roof::{Answer, Fate, Uplink};
use super::steps::{Payload, Spoils};
use crate::lorawan::{Asks, DeviceSession, Heard};
use pendant_hal::airtime::Shape;
use pendant_hal::sim::chance::Chance;
use pendant_hal::sim::ether::Air;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout_at};

/// Before it repeats, a device waits so long (ACK_TIMEOUT, RP002-1.0.4, section 2: 2 s,
/// 1 s more or less, by chance).
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_OVER: Duration = Duration::from_secs(2);

/// After its second window opened, a device waits so long for a preamble. Generous: the
/// window itself is judged by the forwarder's counter.
const LISTENS: Duration = Duration::from_millis(100);

/// How often a transmission goes wrong, hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) uplinks_percent: u8,
    pub(super) downlinks_percent: u8,
    pub(super) too_late_percent: u8,
}

/// Why a step cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The gateway did what none may do.
    Fault(String),
    /// It was given up after so many transmissions.
    Vain(u32),
    /// The scenario asks for what the device cannot do now.
    Cannot(&'static str),
    /// Its memory cannot be written.
    Memory(io::Error),
    /// The forwarder's task is gone.
    Gone,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(what) => f.write_str(what),
            Self::Vain(1) => f.write_str("no answer"),
            Self::Vain(transmissions) => write!(f, "no answer to {transmissions} transmissions"),
            Self::Cannot(why) => f.write_str(why),
            Self::Memory(error) => write!(f, "its memory cannot be written: {error}"),
            Self::Gone => f.write_str("the forwarder is gone"),
        }
    }
}

/// How something was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// Counted from the end of the transmission that was answered.
    pub(super) after: Duration,
    /// Transmissions until then.
    pub(super) attempts: u32,
    /// It acknowledges the frame.
    pub(super) acknowledges: bool,
}

/// A device at work.
pub(in crate::sim) struct Worn {
    pub(super) name: String,
    pub(super) plan: Plan,
    pub(super) spreading_factor: u8,
    pub(super) attempts_max: u32,
    pub(super) losses: Losses,
    pub(super) chance: Chance,
    pub(super) roof: mpsc::Sender<Uplink>,
    pub(super) kept: Remembering,
    pub(super) channels_hz: Vec<u32>,
    /// What goes wrong still in this step.
    pub(super) spoils: Spoils,
    /// The last FCntDown on the air, whether it was heard or not, and the FCntUp that it
    /// answered.
    pub(super) last_down: Option<(u32, u32)>,
    /// The last request that was answered.
    pub(super) answered_join: Option<Vec<u8>>,
    /// The last data frame of this session.
    pub(super) said: Option<Vec<u8>>,
    /// The one before the last that was acknowledged.
    pub(super) old: Option<Vec<u8>>,
}

impl Worn {
    /// Asks to join until it is answered.
    pub(super) async fn join(&mut self) -> Result<Came, Stop> {
        for attempts in 1..=self.attempts_max {
            self.pause_before(attempts).await;
            let request = self.kept.device.join();
            self.kept.remember().map_err(Stop::Memory)?;
            let Some(answer) = self.exchange(&request, Sort::Join).await? else { continue };
            self.answered_join = Some(request);
            self.take_accept(&answer)?;
            if !answer.lost {
                self.kept.remember().map_err(Stop::Memory)?;
                return Ok(Came { after: answer.after, attempts, acknowledges: false });
            }
        }
        Err(Stop::Vain(self.attempts_max))
    }

    /// Judges a join accept; it is the device's if it was heard.
    fn take_accept(&mut self, answer: &Answer) -> Result<(), Stop> {
        let mut device = self.kept.device.clone();
        let Some(joined) = device.accept(&answer.bytes) else {
            return fault("what came in its window is no join accept for it");
        };
        if !self.plan.keeps_windows(joined.rx_delay_s, joined.rx2_data_rate) {
            return fault("the join accept moves its windows");
        }
        if self.kept.join_nonce.is_some_and(|last| joined.join_nonce <= last) {
            return fault("the JoinNonce does not rise");
        }
        if !answer.lost {
            self.kept.device = device;
            self.kept.join_nonce = Some(joined.join_nonce);
            self.channels_hz = self.plan.channels_hz();
            self.channels_hz.extend(joined.channels_hz);
            (self.last_down, self.said, self.old) = (None, None, None);
        }
        Ok(())
    }

    /// Says something: once, or until it is acknowledged. Gives FCntUp and what came.
    pub(super) async fn say(
        &mut self,
        payload: &Payload,
        confirmed: bool,
    ) -> (Option<u32>, Result<Came, Stop>) {
        let asks = Asks { confirmed, ..Asks::default() };
        let Some(session) = &mut self.kept.device.session else {
            return (None, Err(Stop::Cannot("it has no session: let it `join` first")));
        };
        let counter = session.up;
        let frame = session.say(payload.port, &payload.bytes, asks);
        if let Err(error) = self.kept.remember() {
            return (None, Err(Stop::Memory(error)));
        }
        let before = self.said.replace(frame.clone());
        let came = self.repeat(&frame, counter, confirmed).await;
        if matches!(came, Ok(Came { acknowledges: true, .. })) {
            self.old = before;
        }
        (Some(counter), came)
    }

    async fn repeat(&mut self, frame: &[u8], counter: u32, confirmed: bool) -> Result<Came, Stop> {
        let attempts_max = if confirmed { self.attempts_max } else { 1 };
        for attempts in 1..=attempts_max {
            self.pause_before(attempts).await;
            let Some(answer) = self.exchange(frame, Sort::Data).await? else { continue };
            let heard = self.judge(&answer, counter)?;
            if heard.acknowledges != confirmed {
                return fault(match confirmed {
                    true => "an answer that does not acknowledge a confirmed frame",
                    false => "an acknowledgement of an unconfirmed frame",
                });
            }
            if answer.lost {
                continue;
            }
            if self.session()?.hear(&answer.bytes).is_none() {
                return fault("an FCntDown that was heard before");
            }
            self.kept.remember().map_err(Stop::Memory)?;
            let acknowledges = heard.acknowledges;
            return Ok(Came { after: answer.after, attempts, acknowledges });
        }
        Err(Stop::Vain(attempts_max))
    }

    /// Whether a downlink that was on the air is genuine, and its counter new: only what
    /// answers the same frame again may have the same.
    fn judge(&mut self, answer: &Answer, counter: u32) -> Result<Heard, Stop> {
        let Some(heard) = self.session()?.open(&answer.bytes) else {
            return fault("what came in its window is not made with its keys");
        };
        if let Some((last, of)) = self.last_down {
            let again = heard.counter == last && counter == of;
            if heard.counter <= last && !again {
                return fault(format!("FCntDown {} after {last}", heard.counter));
            }
        }
        self.last_down = Some((heard.counter, counter));
        Ok(heard)
    }

    /// Sends the last request again that was answered. Nothing may come.
    pub(super) async fn replay_join(&mut self) -> Result<Came, Stop> {
        let Some(request) = self.answered_join.clone() else {
            return Err(Stop::Cannot("no join of this run was answered"));
        };
        self.send_strange(&request, Sort::Join).await
    }

    /// Sends what is older than the last acknowledged frame. Nothing may come.
    pub(super) async fn replay(&mut self) -> Result<Came, Stop> {
        let Some(frame) = self.old.clone() else {
            return Err(Stop::Cannot(
                "nothing is old enough: say two things in one session, the later one confirmed",
            ));
        };
        self.send_strange(&frame, Sort::Data).await
    }

    /// Sends the next frame under another key. Nothing may come.
    pub(super) async fn forge(&mut self, payload: &Payload) -> Result<Came, Stop> {
        let mut forger = self.session()?.clone();
        forger.nwk_s_key[0] ^= 1;
        let asks = Asks { confirmed: true, ..Asks::default() };
        let frame = forger.say(payload.port, &payload.bytes, asks);
        self.send_strange(&frame, Sort::Data).await
    }

    async fn send_strange(&mut self, frame: &[u8], sort: Sort) -> Result<Came, Stop> {
        match self.exchange(frame, sort).await? {
            None => Err(Stop::Vain(1)),
            Some(answer) => {
                fault(format!("answered after {} ms, which nobody may", answer.after.as_millis()))
            }
        }
    }

    /// Sends a frame once and listens in both windows.
    async fn exchange(&mut self, frame: &[u8], sort: Sort) -> Result<Option<Answer>, Stop> {
        let fate = self.fate();
        let place = self.chance.next() as usize % self.channels_hz.len();
        let channel_hz = self.channels_hz[place];
        sleep(self.airtime(channel_hz, frame.len())).await;
        let windows = self.plan.windows(sort, channel_hz, self.spreading_factor);
        let (ended, sent) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        let uplink = Uplink {
            device: self.name.clone(),
            bytes: frame.to_vec(),
            channel_hz,
            spreading_factor: self.spreading_factor,
            windows,
            fate,
            ended,
            answer,
        };
        self.roof.send(uplink).await.map_err(|_| Stop::Gone)?;
        let until = sent.await.map_err(|_| Stop::Gone)? + windows[1].after() + LISTENS;
        let Ok(Ok(answer)) = timeout_at(until, &mut answered).await else {
            // The forwarder drops what was lost at once.
            sleep_until(until).await;
            return Ok(None);
        };
        sleep_until(answer.ends).await;
        if answer.lost {
            sleep_until(until).await;
        }
        Ok(Some(answer))
    }

    fn airtime(&self, channel_hz: u32, bytes: usize) -> Duration {
        let (factor, bandwidth_hz) = (self.spreading_factor, super::plan::UPLINK_HZ);
        let downlink = Air::lorawan_downlink(channel_hz, factor, bandwidth_hz).shape;
        Shape { payload_crc: true, ..downlink }.frame(bytes as u8)
    }

    /// Three draws whatever comes of them, so that a seed gives the same run.
    fn fate(&mut self) -> Fate {
        let mut spoilt = |left: &mut u32, percent: u8| {
            let by_chance = self.chance.fraction() * 100.0 < f64::from(percent);
            let told = *left > 0;
            *left = left.saturating_sub(1);
            told || by_chance
        };
        let Losses { uplinks_percent, downlinks_percent, too_late_percent } = self.losses;
        Fate {
            uplink_lost: spoilt(&mut self.spoils.uplinks, uplinks_percent),
            downlink_lost: spoilt(&mut self.spoils.downlinks, downlinks_percent),
            too_late: spoilt(&mut self.spoils.too_late, too_late_percent),
        }
    }

    /// Nothing before the first transmission.
    async fn pause_before(&mut self, attempt: u32) {
        if attempt > 1 {
            sleep(PAUSE_MIN + PAUSE_OVER.mul_f64(self.chance.fraction())).await;
        }
    }

    fn session(&mut self) -> Result<&mut DeviceSession, Stop> {
        let session = self.kept.device.session.as_mut();
        session.ok_or(Stop::Cannot("it has no session: let it `join` first"))
    }
}

fn fault<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(text.into()))
}
