//! Where transmissions wait for the radio: filled by the channel's reader,
//! emptied by the driver's task, which is one and the same task polled twice.

use super::punctual::Thread;
use crate::link::{SendFault, Transmission};
use crate::schedule::Schedule;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Transmissions of one radio.
#[derive(Clone)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    /// How long before its time the radio begins with one.
    lead: Duration,
    thread: Thread,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    open: bool,
    stopped: bool,
}

impl Desk {
    pub(super) fn new(lead: Duration, thread: Thread) -> Self {
        let shared = Shared { state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared), lead, thread }
    }

    /// Waits for the moment of a transmission.
    pub(super) async fn moment(&self, at: Instant) {
        self.thread.wait_until(at).await;
    }

    /// Takes one in, if the radio is up.
    pub(super) fn insert(&self, transmission: Transmission) -> Result<(), SendFault> {
        let mut state = self.state();
        if !state.open {
            return Err(SendFault::Down);
        }
        state.schedule.insert(transmission)?;
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// The radio is up.
    pub(super) fn open(&self) {
        self.state().open = true;
    }

    /// The radio is down: gives back what can no longer be sent.
    pub(super) fn close(&self) -> impl Iterator<Item = Transmission> + use<> {
        let mut state = self.state();
        state.open = false;
        state.schedule.drain()
    }

    /// No more transmissions come: the link is to end.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.shared.changed.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Waits until the link is to end.
    pub(super) async fn stopped(&self) {
        while !self.is_stopped() {
            self.shared.changed.notified().await;
        }
    }

    /// Takes the one whose turn it is.
    pub(super) fn take_due(&self) -> Option<Transmission> {
        let due = self.next_due()?;
        if due > Instant::now() {
            return None;
        }
        self.state().schedule.take_next()
    }

    /// Puts what is due off to its second chance; false if it has none.
    pub(super) fn defer(&self) -> bool {
        self.state().schedule.defer_next()
    }

    /// Puts one that was refused off to its second chance, if it was late or that is in
    /// another wave; else gives the fault back.
    pub(super) fn retry(&self, refused: &Transmission, fault: SendFault) -> Result<(), SendFault> {
        let later = if fault == SendFault::Late { refused.later() } else { refused.otherwise() };
        let later = later.ok_or(fault)?;
        self.state().schedule.insert(later)
    }

    /// Waits until there is something else to do than to listen.
    pub(super) async fn due(&self) {
        loop {
            if self.is_stopped() {
                return;
            }
            match self.next_due() {
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.shared.changed.notified() => {}
                },
                None => self.shared.changed.notified().await,
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.state();
        let at = state.schedule.next()?.at;
        Some(at.checked_sub(self.lead).unwrap_or(at))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("nothing panics while it holds the lock")
    }
}
