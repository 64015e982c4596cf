//! How a link lives through the absence of its device: tells it once, tries
//! again at growing intervals, answers transmissions meanwhile.

use crate::link::{LinkEvent, LinkFault, SendFault, Transmission};
use crate::outbox::Outbox;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// First pause before a device is opened again; udev takes some 50 ms to make
/// the path after a device was plugged in.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause: somebody who plugs a receiver in watches for a lamp.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What was told of the present outage, and how long to wait in it.
pub(crate) struct Outage {
    told: Option<LinkFault>,
    pause: Duration,
}

impl Default for Outage {
    fn default() -> Self {
        Self { told: None, pause: PAUSE_MIN }
    }
}

impl Outage {
    /// The device works.
    pub(crate) async fn end(&mut self, outbox: &mut Outbox) {
        self.told = None;
        outbox.tell(LinkEvent::Up).await;
    }

    /// The device worked for so long. One that opens and dies at once must not
    /// be tried ten times a second.
    pub(crate) fn had_worked_for(&mut self, worked: Duration) {
        if worked >= PAUSE_MAX {
            self.pause = PAUSE_MIN;
        }
    }

    /// The device does not work. Told once, and again if the reason changes.
    pub(crate) async fn tell(&mut self, fault: LinkFault, outbox: &mut Outbox) {
        let news = match (&self.told, &fault) {
            (None, _) => true,
            // An unplugged device leaves no path: the same outage.
            (Some(LinkFault::Gone(_)), LinkFault::Missing(_)) => false,
            (Some(told), fault) => std::mem::discriminant(told) != std::mem::discriminant(fault),
        };
        if news {
            self.told = Some(fault.clone());
            outbox.tell(LinkEvent::Down(fault)).await;
        }
    }

    /// Waits before the next attempt, and refuses transmissions meanwhile. False if the
    /// link was stopped.
    pub(crate) async fn pause(
        &mut self,
        outbox: &mut Outbox,
        transmissions: &mut mpsc::Receiver<Transmission>,
    ) -> bool {
        let until = Instant::now() + self.next_pause();
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                transmission = transmissions.recv() => match transmission {
                    Some(Transmission { ticket, .. }) => {
                        let fault = SendFault::Down;
                        outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
                    }
                    None => return false,
                },
            }
        }
    }

    /// How long to wait before the next attempt; twice as long each time.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }
}
