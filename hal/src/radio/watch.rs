//! What the link's task knows of its chip beside the driver, and what the wires
//! below the driver tell it.

use super::RadioSettings;
use super::desk::Desk;
use super::dialect::{Dialect, Flags, Greeting, Learnt, Mode, Signal};
use super::tally::Tally;
use crate::link::{LinkCount, LinkFault, Reception};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A silent receiver is asked this often how it is.
const POLL: Duration = Duration::from_secs(1);

/// One whose interrupt line does not work is asked this often: frames are heard,
/// but not when they ended, so nothing is answered.
const POLL_WITHOUT_LINE: Duration = Duration::from_millis(50);

/// And set up anew this often, in the hope that the line works again.
const WITHOUT_LINE: Duration = Duration::from_secs(60);

/// Interrupts without a reason, or reasons without an interrupt, in a row, after
/// which the line is held to be broken.
const ODD_INTERRUPTS_MAX: u32 = 3;

/// What begins with a valid header is waited for this long at most: the longest
/// frame that pendants and receivers of a site send, bytes.
const AWAITED_BYTES: u8 = 64;

/// What the link's task knows of the chip beside the driver.
#[derive(Clone)]
pub struct Watch {
    state: Arc<Mutex<State>>,
    pub(super) desk: Desk,
    tally: Tally,
    /// From a frame's first symbol until its header is known.
    heading: Duration,
    /// From a header to the end of the longest frame awaited.
    awaited: Duration,
    frequency_hz: u32,
    bandwidth_hz: u32,
}

struct State {
    /// What the next wait for an interrupt is for.
    waiting: Waiting,
    next_poll: Instant,
    /// The channel's level was measured last then.
    measured: Instant,
    woken_by: Woken,
    irq_at: Instant,
    flags: Flags,
    signal: Signal,
    /// A header was heard, and the frame may last until then.
    frame_until: Option<Instant>,
    /// The line tells of headers.
    hears_headers: bool,
    /// The chip was asked whether a frame is coming, before the answer that is due.
    asked_before: bool,
    odd_interrupts: u32,
    /// The line does not work; the chip is to be set up anew then.
    without_line_until: Option<Instant>,
    /// The oscillator is to be asked about at the next opportunity.
    examine: bool,
    fault: Option<LinkFault>,
}

/// What a wait for an interrupt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A frame, or that one is to be sent.
    Frame,
    /// The end of a transmission, until then at the latest.
    Transmitted(Instant),
    /// The end of a look at the channel that tests the line.
    Looked(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// Nobody has waited yet.
    Not,
    ByLine,
    ByClock,
}

/// What was snooped of the frame that was received last.
pub(super) struct Snooped {
    pub(super) ended: Instant,
    pub(super) crc_error: bool,
    pub(super) signal: Signal,
}

impl Watch {
    pub(super) fn new(desk: Desk, tally: Tally, settings: &RadioSettings) -> Self {
        let now = Instant::now();
        let state = State {
            waiting: Waiting::Frame,
            next_poll: now + POLL,
            measured: now,
            woken_by: Woken::Not,
            irq_at: now,
            flags: Flags::default(),
            signal: Signal::default(),
            frame_until: None,
            hears_headers: true,
            asked_before: false,
            odd_interrupts: 0,
            without_line_until: None,
            examine: false,
            fault: None,
        };
        let shape = settings.shape();
        let heading = shape.header();
        let awaited = shape.frame(AWAITED_BYTES) - heading;
        tally.end_air();
        let RadioSettings { frequency_hz, bandwidth_hz, .. } = *settings;
        let state = Arc::new(Mutex::new(state));
        Self { state, desk, tally, heading, awaited, frequency_hz, bandwidth_hz }
    }

    /// The next wait is for the end of a transmission that takes so long.
    pub(super) fn transmitting(&self, airtime: Duration) {
        let mut state = self.state();
        let ends = Instant::now() + airtime;
        // A chip that starts with its oscillator off may be late by that.
        state.next_poll = ends + Duration::from_millis(30);
        state.waiting = Waiting::Transmitted(ends + Duration::from_millis(200));
        state.frame_until = None;
    }

    /// The next wait is for a frame.
    pub(super) fn receiving(&self) {
        let mut state = self.state();
        state.waiting = Waiting::Frame;
        state.asked_before = false;
    }

    /// Whether the chip's line tells of headers.
    pub(super) fn hears_headers(&self, hears: bool) {
        self.state().hears_headers = hears;
    }

    /// Whether the chip is to be asked before an answer leaves: once for each, if it
    /// does not tell of headers by itself.
    pub(super) fn asks_before(&self) -> bool {
        let mut state = self.state();
        state.asked_before = !state.hears_headers && !state.asked_before;
        state.asked_before
    }

    /// The next wait is for the end of a look at the channel, which tests the
    /// interrupt line; it takes no longer than this.
    pub(super) fn testing(&self, at_most: Duration) {
        self.state().waiting = Waiting::Looked(Instant::now() + at_most);
    }

    /// The test is over. Without the line the chip is only asked.
    pub(super) fn tested(&self, line_works: bool) {
        let now = Instant::now();
        let mut state = self.state();
        state.waiting = Waiting::Frame;
        state.woken_by = Woken::Not;
        state.odd_interrupts = 0;
        self.tally.begin_air();
        if !line_works {
            state.without_line_until = Some(now + WITHOUT_LINE);
            state.next_poll = now + POLL_WITHOUT_LINE;
        }
    }

    /// Whether it is time to try a line again that did not work.
    pub(super) fn line_is_to_be_tried(&self) -> bool {
        self.state().without_line_until.is_some_and(|until| Instant::now() >= until)
    }

    /// The test failed: the next answer is to say more.
    pub(super) fn examine(&self) {
        self.state().examine = true;
    }

    /// Whether the chip said that it has looked at the channel.
    pub(super) fn has_looked(&self) -> bool {
        self.state().flags.looked
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.state().waiting
    }

    pub(super) fn next_poll(&self) -> Instant {
        self.state().next_poll
    }

    /// Whether a frame is being received whose header was good.
    pub(super) fn frame_is_coming(&self) -> bool {
        self.state().frame_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn snooped(&self) -> Snooped {
        let state = self.state();
        Snooped { ended: state.irq_at, crc_error: state.flags.crc_error, signal: state.signal }
    }

    pub(super) fn count(&self, count: LinkCount) {
        self.tally.count(count);
    }

    /// Hands a frame over.
    pub(super) fn receive(&self, reception: Reception) {
        self.tally.receive(reception);
    }

    /// Why the last error came, if more is known than the driver says.
    pub(super) fn take_fault(&self) -> Option<LinkFault> {
        self.state().fault.take()
    }

    pub(super) fn blame(&self, fault: LinkFault) {
        self.state().fault.get_or_insert(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// The chip's line rose at this time.
    pub(super) fn interrupted(&self, at: Instant) {
        self.tally.tell();
        let mut state = self.state();
        state.woken_by = Woken::ByLine;
        state.irq_at = at;
        // Also a busy channel is to be measured, but not a frame that begins.
        state.next_poll = (state.measured + POLL).max(Instant::now() + self.heading);
    }

    /// The line did not rise for long enough that the chip is asked.
    pub(super) fn asked(&self) {
        self.tally.tell();
        let now = Instant::now();
        let mut state = self.state();
        state.woken_by = Woken::ByClock;
        state.irq_at = now;
        state.next_poll = match state.waiting {
            Waiting::Frame if state.without_line_until.is_some() => now + POLL_WITHOUT_LINE,
            Waiting::Frame => now + POLL,
            Waiting::Transmitted(_) | Waiting::Looked(_) => now + Duration::from_millis(30),
        };
    }

    /// What the chip said first after its reset.
    pub(super) fn greet(&self, dialect: Dialect, answer: &[u8]) -> Result<(), LinkFault> {
        match dialect.greeted(answer) {
            Greeting::Expected => Ok(()),
            Greeting::NoChip => Err(LinkFault::NoChip),
            Greeting::Stranger(says) => Err(LinkFault::WrongChip { says }),
        }
    }

    /// The question about the oscillator, if it is to be put now.
    pub(super) fn examination(&self, dialect: Dialect) -> Option<(&'static [u8], usize)> {
        std::mem::take(&mut self.state().examine).then(|| dialect.oscillator()).flatten()
    }

    /// The question for the power on the channel, if nothing was being received
    /// when the driver has just asked for interrupts because of the time.
    pub(super) fn measurement(
        &self,
        dialect: Dialect,
        command: &[u8],
    ) -> Option<(&'static [u8], usize)> {
        let state = self.state();
        let idle = state.waiting == Waiting::Frame
            && state.woken_by == Woken::ByClock
            && !state.flags.any
            && state.frame_until.is_none_or(|until| until <= Instant::now());
        (idle && command == [0x12]).then(|| dialect.level())
    }

    /// Learns from an answer of the chip.
    pub(super) fn learn(
        &self,
        dialect: Dialect,
        command: &[u8],
        answer: &[u8],
    ) -> Result<(), LinkFault> {
        let last = self.state().signal;
        match dialect.read(command, answer, last) {
            Learnt::Nothing | Learnt::Mode(Mode::Other) | Learnt::OscillatorFailed(false) => Ok(()),
            Learnt::NoChip => Err(LinkFault::NoChip),
            // Only the SX127x tells its mode alone, and it loses it to nothing
            // but a reset.
            Learnt::Mode(Mode::AsReset) => Err(LinkFault::ChipReset),
            Learnt::OscillatorFailed(true) => {
                self.state().fault = Some(LinkFault::Oscillator);
                Ok(())
            }
            Learnt::Signal(signal) => {
                self.state().signal = signal;
                Ok(())
            }
            Learnt::Offset(offset) => {
                self.state().signal.offset_hz = dialect.offset_hz(offset, self.bandwidth_hz);
                Ok(())
            }
            Learnt::Coming => {
                self.state().frame_until = Some(Instant::now() + self.awaited);
                Ok(())
            }
            Learnt::Level(level) => {
                self.state().measured = Instant::now();
                self.tally.sample(dialect.level_dbm(level, self.frequency_hz));
                Ok(())
            }
            Learnt::Interrupts(flags, mode) => self.learn_interrupts(flags, mode),
        }
    }

    fn learn_interrupts(&self, flags: Flags, mode: Option<Mode>) -> Result<(), LinkFault> {
        let mut state = self.state();
        state.flags = flags;
        if flags.header_error {
            self.count(LinkCount::PhyHeader(1));
        }
        if flags.received || flags.header_error {
            state.frame_until = None;
        } else if flags.header {
            state.frame_until = Some(state.irq_at + self.awaited);
        }
        if flags.received && flags.begun {
            // The line rose when the frame began, and stayed high to its end.
            state.irq_at = Instant::now();
        }
        if matches!(state.waiting, Waiting::Looked(_)) && !flags.looked {
            // The line is high for no reason. The driver would panic.
            return match state.woken_by {
                Woken::ByLine => Err(LinkFault::IrqLine),
                Woken::Not | Woken::ByClock => Ok(()),
            };
        }
        match (state.woken_by, flags.any) {
            (Woken::Not, _) => {}
            (Woken::ByLine, true) => state.odd_interrupts = 0,
            (Woken::ByClock, false) => {
                // A chip that was reset has forgotten everything.
                if mode == Some(Mode::AsReset) {
                    return Err(LinkFault::ChipReset);
                }
            }
            (Woken::ByLine, false) => state.odd_interrupts += 1,
            (Woken::ByClock, true) if state.without_line_until.is_some() => {}
            (Woken::ByClock, true) => {
                state.odd_interrupts += 1;
                self.count(LinkCount::LostIrq(1));
            }
        }
        if state.odd_interrupts > ODD_INTERRUPTS_MAX {
            return Err(LinkFault::IrqLine);
        }
        Ok(())
    }
}
