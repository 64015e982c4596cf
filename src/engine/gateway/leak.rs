//! Deliberate leaks, one for each way in which a gateway could show on site
//! that help was asked for. They exist to be caught: the mutation check of P5
//! (`tests/leaks.rs`) sets one and asserts that the twins see it. Compiled only
//! with the feature `leaks`, and off until [`Gateway::set_leak`].

use super::Gateway;
use crate::engine::command::Standing;
use crate::engine::event::{Event, Kind, Lane};
use crate::engine::lamp::{Lamps, Light};
use crate::engine::lorawan::DownlinkBytes;
use crate::engine::notice::Notice;
use crate::engine::seam::{Answer, LinkId, Output, PublishId};
use crate::engine::time::Now;
use pendant_protocol::PendantId;
use std::collections::BTreeSet;

/// What shows although it must not, after a duress PIN or a discreet panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// One line more in the log.
    Notice,
    /// One byte of payload more.
    PayloadByte,
    /// The topic of another lane, in a message that is one byte longer for it.
    Topic,
    /// The event is offered twice.
    Publish,
    /// One more commit.
    Commit,
    /// Acknowledged 1 ms later.
    Late,
    /// Acknowledged through another link.
    Link,
    /// A retransmission is not answered.
    Retransmission,
    /// One event more in the status.
    Status,
    /// A line in the log at each track point: long after the PIN.
    TrackPoint,
    /// A lamp blinks.
    Lamp,
    /// The frame is counted under another label.
    Metric,
    /// A pendant moves although its covert incident is open.
    Move,
    /// The answer to the centre is one byte longer when it closed something.
    Answer,
    /// A command that is carried out costs one more commit.
    Order,
    /// The answer has no second window.
    Window,
    /// What the centre changed costs a frame more where the journal has no room for it, or
    /// does not know the pendant. Few histories come to that.
    Unkept,
}

impl Leak {
    /// All that any history shows which is long enough.
    pub const ALL: [Self; 16] = [
        Self::Notice,
        Self::PayloadByte,
        Self::Topic,
        Self::Publish,
        Self::Commit,
        Self::Late,
        Self::Link,
        Self::Retransmission,
        Self::Status,
        Self::TrackPoint,
        Self::Lamp,
        Self::Metric,
        Self::Move,
        Self::Answer,
        Self::Order,
        Self::Window,
    ];
}

impl Leak {
    /// The leak with this name, as it stands in the code.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|leak| format!("{leak:?}") == name)
    }
}

/// The leak that is set, and whose answers it is about.
#[derive(Default)]
pub(super) struct Leaking {
    leak: Option<Leak>,
    covert: BTreeSet<Vec<u8>>,
}

impl Leaking {
    fn at(&self, leak: Leak, answer: &[u8]) -> bool {
        self.leak == Some(leak) && self.covert.contains(answer)
    }

    /// Whether what the centre changed is kept as if nobody counted the frames.
    pub(super) fn unkept(&self) -> bool {
        self.leak == Some(Leak::Unkept)
    }

    /// Whether a retransmission with this answer is passed over.
    pub(super) fn ignores(&self, answer: &DownlinkBytes) -> bool {
        self.at(Leak::Retransmission, answer.as_bytes())
    }

    /// Events that the status counts too many.
    pub(super) fn backlog(&self) -> u64 {
        u64::from(self.leak == Some(Leak::Status) && !self.covert.is_empty())
    }

    /// The lamps as they are lit.
    pub(super) fn lamps(&self, lamps: Lamps) -> Lamps {
        match self.leak {
            Some(Leak::Lamp) if !self.covert.is_empty() => {
                Lamps { power: Light::Blinking, ..lamps }
            }
            _ => lamps,
        }
    }

    /// A pendant as a command finds it.
    pub(super) fn standing(&self, standing: Standing) -> Standing {
        match self.leak {
            Some(Leak::Move) => Standing { covert_incident: None, ..standing },
            _ => standing,
        }
    }

    /// An output as it leaves.
    pub(super) fn output(&self, mut output: Output) -> Output {
        if let Output::Transmit(transmit) = &mut output {
            if self.at(Leak::Late, &transmit.frame) {
                transmit.at = transmit.at.plus_ms(1);
            }
            if self.at(Leak::Window, &transmit.frame) {
                transmit.or = None;
            }
            if self.at(Leak::Link, &transmit.frame) {
                transmit.link.0 ^= 1;
            }
        }
        output
    }
}

impl Gateway {
    /// Makes the gateway leak from now on.
    pub fn set_leak(&mut self, leak: Leak) {
        self.leaking.leak = Some(leak);
    }

    /// After a fresh frame was recorded and its event offered.
    pub(super) fn leak(&mut self, event: &Event, answer: DownlinkBytes, now: Now) {
        let Some(from) = &event.from else { return };
        let Some(pendant) = PendantId::new(from.pendant) else { return };
        let told = Notice::HeardAgain { link: LinkId(0), pendant };
        match (self.leaking.leak, event.kind) {
            (Some(Leak::TrackPoint), Kind::TrackPoint) => self.notice(told),
            (Some(leak), Kind::Duress | Kind::DiscreetPanic) => {
                self.leaking.covert.insert(answer.as_bytes().to_vec());
                match leak {
                    Leak::Notice => self.notice(told),
                    Leak::Metric => self.leak_metric(told),
                    Leak::Commit => self.leak_commit(pendant, now),
                    _ => self.leak_publish(leak),
                }
            }
            _ => {}
        }
    }

    /// After the centre's commands were carried out, and changed this of pendants.
    pub(super) fn leak_order(&mut self, changed: &[PendantId], answer: &mut Answer, now: Now) {
        let Some(pendant) = changed.first().copied() else { return };
        match self.leaking.leak {
            Some(Leak::Answer) => answer.payload.push(b' '),
            Some(Leak::Order) => self.leak_commit(pendant, now),
            _ => {}
        }
    }

    /// Before what the centre changed of these is journalled.
    pub(super) fn leak_unkept(&mut self, changed: &[PendantId]) {
        let lacks = |pendant: &&PendantId| {
            !self.journal.has_room_for_lane(Lane::Urgent)
                || self.journal.state_at(**pendant).is_none()
        };
        if self.leaking.unkept() {
            self.volatile.extend(changed.iter().filter(lacks));
        }
    }

    fn leak_metric(&mut self, told: Notice) {
        let heard = self.outputs.iter_mut().rev().find_map(|output| match output {
            Output::Tell(notice @ Notice::Heard { .. }) => Some(notice),
            _ => None,
        });
        if let Some(notice) = heard {
            *notice = told;
        }
    }

    fn leak_commit(&mut self, pendant: PendantId, now: Now) {
        self.pump(now);
        let state = self.states.get(pendant);
        state.map(|state| self.journal.carry_state(pendant, state));
    }

    fn leak_publish(&mut self, leak: Leak) {
        let publishes = self.outputs.iter_mut().filter_map(|output| match output {
            Output::Publish(publish) => Some(publish),
            _ => None,
        });
        let Some(publish) = publishes.last() else { return };
        match leak {
            Leak::PayloadByte => publish.payload.push(b' '),
            Leak::Topic => {
                publish.topic =
                    publish.topic.replace(Lane::Urgent.as_str(), Lane::Trouble.as_str());
            }
            Leak::Publish => {
                let mut again = publish.clone();
                again.id = PublishId(u64::MAX - publish.id.0);
                self.outputs.push_back(Output::Publish(again));
            }
            _ => {}
        }
    }
}
