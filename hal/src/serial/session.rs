//! One open port, from the moment it was opened until it goes away.

use super::SerialSettings;
use super::asked::{Ask, Asked};
use super::wire::{Confirms, Heard, Wire, short_ticket};
use crate::link::{LinkEvent, LinkFault, Reception, SendFault, Transmission, Wave};
use crate::outage::Outage;
use crate::outbox::Outbox;
use crate::schedule::{Schedule, is_late};
use bytes::{Buf, Bytes};
use futures_core::Stream;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_serial::{ClearBuffer, SerialPort, SerialStream};
use tokio_util::codec::{Decoder, FramedRead};

/// A frame of a few dozen bytes leaves even at 9600 baud within 300 ms; a port
/// that has not taken it by then is stuck.
const WRITE_STALL: Duration = Duration::from_millis(500);

/// A receiver confirms when the frame has left: the longest one at SF12 takes
/// 9 s on the air, one of 24 bytes 1.5 s.
const CONFIRM_WAIT: Duration = Duration::from_secs(10);

/// Why a session ended.
pub(super) enum End {
    /// The port went away.
    Fault(LinkFault),
    /// The link was stopped.
    Stopped,
}

/// A transmission that has begun.
struct Begun {
    ticket: u64,
    at: Instant,
    until: Instant,
}

enum PortEvent {
    Heard(Heard),
    /// Something has come that is to be looked at once more at another time than before.
    Begun,
    Wrote(usize),
    Gone(io::Result<()>),
}

pub(super) struct Session<'a> {
    settings: &'a SerialSettings,
    outbox: &'a mut Outbox,
    outage: &'a mut Outage,
    frames: FramedRead<SerialStream, Wire>,
    schedule: Schedule,
    outgoing: Bytes,
    /// The port is stuck if it has not taken that by then.
    stalled_at: Instant,
    writing: Option<Begun>,
    /// What the receiver was asked and has not answered.
    asked: Option<Asked>,
    /// What it is asked as soon as the wire is free.
    asks_next: Option<Ask>,
    /// When it last said something that can be understood.
    said_at: Instant,
    /// When it is asked whether it is there.
    asks_at: Option<Instant>,
    /// It is told that the receiver listens.
    is_up: bool,
    /// Why the session ends.
    fault: Option<LinkFault>,
    unconfirmed: VecDeque<Begun>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        port: SerialStream,
        settings: &'a SerialSettings,
        outbox: &'a mut Outbox,
        outage: &'a mut Outage,
    ) -> Self {
        Self {
            frames: FramedRead::new(port, Wire::new(settings.codec)),
            settings,
            outbox,
            outage,
            schedule: Schedule::default(),
            outgoing: Bytes::new(),
            stalled_at: Instant::now(),
            writing: None,
            asked: None,
            asks_next: None,
            said_at: Instant::now(),
            asks_at: None,
            is_up: false,
            fault: None,
            unconfirmed: VecDeque::new(),
        }
    }

    /// Carries frames until the port goes away or the link is stopped.
    pub(super) async fn run(mut self, transmissions: &mut mpsc::Receiver<Transmission>) -> End {
        if self.frames.decoder().words(Ask::Listen).is_empty() {
            self.outage.end(self.outbox).await;
        } else {
            self.ask(Ask::Listen);
        }
        let end = loop {
            if let Some(fault) = self.fault.take() {
                break End::Fault(fault);
            }
            self.begin_due().await;
            let wake = self.next_wake();
            tokio::select! {
                event = port_event(&mut self.frames, &self.outgoing) => match event {
                    PortEvent::Heard(heard) => self.handle_heard(heard).await,
                    PortEvent::Begun => {}
                    PortEvent::Wrote(bytes) => self.handle_wrote(bytes).await,
                    PortEvent::Gone(how) => break End::Fault(self.fault_of(how)),
                },
                transmission = transmissions.recv() => match transmission {
                    Some(transmission) => self.take(transmission).await,
                    None => break End::Stopped,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.handle_time().await;
                }
            }
        };
        self.close(&end).await;
        end
    }

    /// Tells a receiver to listen that must be told (it is deaf until it says that it does,
    /// and told again whenever it has started anew), or asks it whether it is there. What
    /// is being written goes first.
    fn ask(&mut self, what: Ask) {
        if self.outgoing.is_empty() {
            self.asks_at = None;
            self.asked = Some(Asked::new(what, self.frames.decoder().answer_wait()));
            self.write(Bytes::from_static(self.frames.decoder().words(what)));
        } else {
            self.asks_next = Some(what);
        }
    }

    /// The receiver has answered what it was asked.
    async fn answered(&mut self) {
        match self.asked.take().map(|asked| asked.what) {
            None => {}
            Some(Ask::Stop) => self.ask(Ask::ListenAnew),
            Some(_) => self.is_there().await,
        }
    }

    async fn is_there(&mut self) {
        let interval = self.frames.decoder().question_interval();
        self.asks_at = interval.map(|interval| Instant::now() + interval);
        if !std::mem::replace(&mut self.is_up, true) {
            self.outage.end(self.outbox).await;
        }
    }

    /// It refuses what it was asked, in these words.
    async fn refused(&mut self, what: Ask, words: String) {
        match what {
            Ask::Listen if self.frames.decoder().listens_already(&words) => self.ask(Ask::Stop),
            Ask::Listen | Ask::Stop | Ask::ListenAnew => self.deaf(Some(words)),
            // Whoever refuses is there.
            Ask::Alive | Ask::AliveAgain => self.is_there().await,
        }
    }

    /// It has not answered in time. What was lost on the line is no outage.
    async fn unanswered(&mut self, asked: Asked) {
        let must_say_so = self.frames.decoder().forgets_to_listen();
        match asked.what {
            Ask::Listen | Ask::Stop | Ask::ListenAnew if must_say_so => self.deaf(None),
            _ if self.said_at > asked.at => self.is_there().await,
            Ask::Alive => self.ask(Ask::AliveAgain),
            _ => self.deaf(None),
        }
    }

    /// When the receiver is asked whether it is there. Not while it has something to
    /// confirm, nor shortly before it is to send: the answers look alike.
    fn next_question(&self) -> Option<Instant> {
        let at = self.asks_at?;
        let wire = self.frames.decoder();
        let free_until = self.next_departure();
        let is_free = self.outgoing.is_empty()
            && self.asked.is_none()
            && (wire.confirms() != Confirms::InTurn || self.unconfirmed.is_empty());
        let asks = at.max(Instant::now());
        (is_free && free_until.is_none_or(|departs| departs > asks + wire.answer_wait()))
            .then_some(at)
    }

    /// Answers the receiver, unless something else is being written: it repeats what it is
    /// not answered to.
    fn reply(&mut self, bytes: &'static [u8]) {
        if !bytes.is_empty() && self.outgoing.is_empty() {
            self.write(Bytes::from_static(bytes));
        }
    }

    fn deaf(&mut self, says: Option<String>) {
        self.fault = Some(LinkFault::NotListening { says });
    }

    fn write(&mut self, bytes: Bytes) {
        self.outgoing = bytes;
        self.stalled_at = Instant::now() + WRITE_STALL;
    }

    /// Takes a transmission in for its time.
    async fn take(&mut self, transmission: Transmission) {
        let ticket = transmission.ticket;
        let taken = match transmission.wave {
            Wave::Native if self.frames.decoder().sends() => self.schedule.insert(transmission),
            // A receiver sends as it was set up by hand, if it sends at all.
            Wave::Native | Wave::LoRaWan { .. } => Err(SendFault::Wave),
        };
        if let Err(fault) = taken {
            self.outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
        }
    }

    /// Puts the next transmission on the wire if its time has come and the wire
    /// is free.
    async fn begin_due(&mut self) {
        while let Some(departs) = self.next_departure() {
            let now = Instant::now();
            if departs > now {
                return;
            }
            let transmission =
                self.schedule.take_next().expect("a departure belongs to a transmission");
            let ticket = transmission.ticket;
            let wire = if is_late(transmission.at, now) {
                Err(SendFault::Late)
            } else {
                self.frames.decoder().encode(&transmission, now).ok_or(SendFault::Length)
            };
            match wire {
                Ok(bytes) => {
                    self.write(Bytes::from(bytes));
                    let at = transmission.at.max(now);
                    self.writing = Some(Begun { ticket, at, until: at + CONFIRM_WAIT });
                }
                Err(fault) => self.outbox.tell(LinkEvent::NotSent { ticket, fault }).await,
            }
        }
    }

    /// When the next transmission may be written; `None` while none may be.
    fn next_departure(&self) -> Option<Instant> {
        let wire = self.frames.decoder();
        let in_turn = wire.confirms() == Confirms::InTurn && !self.unconfirmed.is_empty();
        if !self.outgoing.is_empty() || self.asked.is_some() || in_turn {
            return None;
        }
        let next = self.schedule.next()?;
        let lead = wire.lead(next.bytes.len(), self.settings.baud);
        Some(next.at.checked_sub(lead).unwrap_or(next.at))
    }

    fn next_wake(&self) -> Option<Instant> {
        [
            self.next_departure(),
            (!self.outgoing.is_empty()).then_some(self.stalled_at),
            self.asked.as_ref().map(|asked| asked.until),
            self.next_question(),
            self.frames.decoder().overdue(),
            self.unconfirmed.iter().map(|begun| begun.until).min(),
            self.outbox.counts_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    async fn handle_heard(&mut self, heard: Heard) {
        if !matches!(heard, Heard::Bad(_)) {
            self.said_at = Instant::now();
            // A receiver that speaks need not be asked.
            if let Some((at, wait)) =
                self.asks_at.as_mut().zip(self.frames.decoder().silence_before_question())
            {
                *at = self.said_at + wait;
            }
        }
        match heard {
            Heard::Frame { age, signal, bytes } => {
                let now = Instant::now();
                let ended = now.checked_sub(age).unwrap_or(now);
                if self.outbox.receive(Reception { ended, signal, bytes }) {
                    self.reply(self.frames.decoder().acknowledgement());
                }
            }
            // Nothing is being sent while a question is open.
            Heard::Outcome { .. }
                if self.asked.is_some() && self.frames.decoder().answers_alike() =>
            {
                self.answered().await;
            }
            Heard::Outcome { ticket, sent } => {
                let place = match ticket {
                    Some(short) => self
                        .unconfirmed
                        .iter()
                        .position(|begun| short_ticket(begun.ticket) == short),
                    None => (!self.unconfirmed.is_empty()).then_some(0),
                };
                if let Some(begun) = place.and_then(|place| self.unconfirmed.remove(place)) {
                    self.conclude(begun, sent.then_some(()).ok_or(SendFault::Refused)).await;
                }
            }
            Heard::Understood => self.answered().await,
            Heard::Refused(words) if self.asked.is_some() => {
                if let Some(asked) = self.asked.take() {
                    self.refused(asked.what, words).await;
                }
            }
            Heard::Refused(_) => {
                if let Some(begun) = self.unconfirmed.pop_front() {
                    self.conclude(begun, Err(SendFault::Refused)).await;
                }
            }
            Heard::Started => {
                // It has forgotten what it was to send, and to listen.
                while let Some(begun) = self.unconfirmed.pop_front() {
                    self.conclude(begun, Err(SendFault::Stalled)).await;
                }
                if self.frames.decoder().forgets_to_listen() {
                    self.is_up = false;
                    self.ask(Ask::Listen);
                }
            }
            Heard::Bad(count) => {
                self.outbox.count(count);
                self.reply(self.frames.decoder().refusal());
            }
        }
    }

    /// What has come means something else now that nothing came after it.
    async fn look_again(&mut self) {
        let mut buffer = std::mem::take(self.frames.read_buffer_mut());
        while let Ok(Some(heard)) = self.frames.decoder_mut().decode(&mut buffer) {
            self.handle_heard(heard).await;
        }
        *self.frames.read_buffer_mut() = buffer;
    }

    async fn handle_wrote(&mut self, bytes: usize) {
        self.outgoing.advance(bytes);
        if !self.outgoing.is_empty() {
            return;
        }
        let begun = self.writing.take();
        if let Some(what) = self.asks_next.take() {
            self.ask(what);
        }
        // A question is nobody's.
        let Some(begun) = begun else { return };
        if self.frames.decoder().confirms() == Confirms::Nobody {
            self.conclude(begun, Ok(())).await;
        } else {
            let until = begun.at.max(Instant::now()) + CONFIRM_WAIT;
            self.unconfirmed.push_back(Begun { until, ..begun });
        }
    }

    async fn handle_time(&mut self) {
        let now = Instant::now();
        if !self.outgoing.is_empty() && self.stalled_at <= now {
            self.outgoing.clear();
            // What the kernel still holds would leave at some other time.
            if let Err(error) = self.frames.get_mut().clear(ClearBuffer::Output) {
                tracing::debug!(%error, "cannot discard the output of a stalled port");
            }
            if let Some(begun) = self.writing.take() {
                self.conclude(begun, Err(SendFault::Stalled)).await;
            }
            if let Some(what) = self.asks_next.take() {
                self.ask(what);
            }
        }
        if let Some(asked) = self.asked.take_if(|asked| asked.until <= now) {
            self.unanswered(asked).await;
        }
        if self.next_question().is_some_and(|at| at <= now) {
            self.ask(self.frames.decoder().question());
        }
        if self.frames.decoder().overdue().is_some_and(|at| at <= now) {
            self.look_again().await;
        }
        while let Some(place) = self.unconfirmed.iter().position(|begun| begun.until <= now) {
            if let Some(begun) = self.unconfirmed.remove(place) {
                self.conclude(begun, Err(SendFault::Stalled)).await;
                // Who does not confirm may be gone.
                self.asks_at = self.asks_at.map(|at| at.min(now));
            }
        }
        if self.outbox.counts_due().is_some_and(|due| due <= now) {
            self.outbox.tell_counts();
        }
    }

    async fn conclude(&mut self, begun: Begun, result: Result<(), SendFault>) {
        let Begun { ticket, at, .. } = begun;
        self.outbox
            .tell(match result {
                Ok(()) => LinkEvent::Sent { ticket, at },
                Err(fault) => LinkEvent::NotSent { ticket, fault },
            })
            .await;
    }

    fn fault_of(&self, how: io::Result<()>) -> LinkFault {
        match how {
            Err(error) if error.raw_os_error() != Some(EIO) => {
                LinkFault::Io { doing: "reading or writing the port", says: error.to_string() }
            }
            Ok(()) | Err(_) => LinkFault::Gone(self.settings.path.clone()),
        }
    }

    /// Answers for what is still under way and lets the port go.
    async fn close(mut self, end: &End) {
        let fault = match end {
            End::Fault(_) => SendFault::Down,
            End::Stopped => SendFault::Stopped,
        };
        let begun = self.writing.take().into_iter().chain(self.unconfirmed.drain(..));
        let tickets: Vec<u64> = begun
            .map(|begun| begun.ticket)
            .chain(self.schedule.drain().map(|transmission| transmission.ticket))
            .collect();
        for ticket in tickets {
            self.outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
        }
        // Closing a tty waits until its output has drained, up to 30 s, on the
        // thread of the runtime. A port that is gone refuses; it has no output.
        let _ = self.frames.get_mut().clear(ClearBuffer::Output);
    }
}

/// `EIO`: the line discipline's answer once the device has hung up.
const EIO: i32 = 5;

/// Waits for the port to give or to take something. Nothing is lost if the
/// caller stops waiting.
async fn port_event(frames: &mut FramedRead<SerialStream, Wire>, outgoing: &[u8]) -> PortEvent {
    let overdue = frames.decoder().overdue();
    poll_fn(|context| {
        if !outgoing.is_empty() {
            match Pin::new(frames.get_mut()).poll_write(context, outgoing) {
                Poll::Ready(Ok(0)) => return Poll::Ready(PortEvent::Gone(Ok(()))),
                Poll::Ready(Ok(bytes)) => return Poll::Ready(PortEvent::Wrote(bytes)),
                Poll::Ready(Err(error)) => return Poll::Ready(PortEvent::Gone(Err(error))),
                Poll::Pending => {}
            }
        }
        match Pin::new(&mut *frames).poll_next(context) {
            Poll::Ready(Some(Ok(heard))) => Poll::Ready(PortEvent::Heard(heard)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(PortEvent::Gone(Err(error))),
            Poll::Ready(None) => Poll::Ready(PortEvent::Gone(Ok(()))),
            Poll::Pending if frames.decoder().overdue() != overdue => Poll::Ready(PortEvent::Begun),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
