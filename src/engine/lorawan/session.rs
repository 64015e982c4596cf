//! Where a pendant's LoRaWAN session stands, and what a data frame is in it.

use super::downlink::{DownlinkBytes, data_downlink};
use super::frame::{DataUp, Opened};
use super::keys::{Activation, DevNonceRule, SessionKeys};
use super::mac::Requests;
use crate::engine::device::Downlink;
use crate::engine::mutant::{Mutant, planted};
use crate::engine::notice::Refusal;
use serde::{Deserialize, Serialize};

/// Joins that were answered and not used yet. A device that does not hear the answer
/// joins anew; one that heard it late may still use it.
const OFFERS_MAX: usize = 3;
/// High halves of FCntUp that are tried of a given session at its first frame here: a
/// million frames, years of any pendant's life.
const GIVEN_HALVES: u32 = 16;
/// Far below the gap of 16,384 that devices of before 1.0.4 take.
const SKIPPED_AT_START: u32 = 32;
/// DevNonces that are remembered of a device that draws them at random.
const NONCES_MAX: usize = 16;

/// A session that a device may begin: the two nonces from which its keys are derived, and
/// a random number that tells its events from those of every other session, also of one
/// that a lost or restored store knew (P3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Offer {
    /// JoinNonce (AppNonce before 1.0.4), 24 bits.
    pub(in crate::engine) join_nonce: u32,
    pub(in crate::engine) dev_nonce: u16,
    pub(in crate::engine) life: u32,
}

/// A running session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Session {
    /// Of which join; `None`: given (ABP), whose counter is the pendant's.
    join: Option<Offer>,
    /// The pendant's counter here when its FCntUp is 0. Sessions begin again at 0, the
    /// pendant's counter does not fall: it names what the centre closes.
    base: u32,
    /// FCntUp of the last frame, and its integrity code.
    up: Option<(u32, [u8; 4])>,
    /// The next FCntDown.
    down: u32,
    /// A confirmed downlink that the device has not acknowledged yet: whether it
    /// carried the command that silences it.
    asked: Option<Asked>,
    /// How the last frame was answered.
    reply: Option<Reply>,
}

/// How a data frame is answered; as much as its repetition is answered with again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Reply {
    /// FCntDown.
    pub(in crate::engine) down: u32,
    /// It acknowledges the frame.
    pub(in crate::engine) acknowledges: bool,
    /// It is to be acknowledged itself.
    pub(in crate::engine) asks: bool,
    /// It carries the command that silences the device.
    pub(in crate::engine) silences: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    silences: bool,
}

/// All that is kept of a LoRaWAN pendant beside what is kept of every pendant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct LoRaWanState {
    session: Option<Session>,
    /// The newest last.
    pub(super) offers: Vec<Offer>,
    /// DevNonces of late, the newest last; of a device whose nonces rise the newest only.
    pub(super) nonces: Vec<u16>,
    /// The last JoinNonce.
    pub(super) join_nonce: u32,
    /// Joins up to this JoinNonce prove nothing any more: their first frame may have been
    /// held back.
    doubted: u32,
    /// The device has acknowledged, in this session, the command that silences it.
    silenced: bool,
}

/// What a frame is in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Standing {
    /// New.
    Next,
    /// The last one, sent again.
    Again,
    /// Older than the last one: a device that lost its counter, or a replay.
    Old,
}

/// An authentic data frame.
pub(in crate::engine) struct Uplink {
    session: Session,
    keys: SessionKeys,
    counter_up: u32,
    code: [u8; 4],
    opened: Opened,
    pub(in crate::engine) standing: Standing,
    /// The join of which it is the first frame.
    begun: Option<Offer>,
    /// It was made after a downlink of ours, lately: it is the first of a session that was
    /// joined here, or it acknowledges our confirmed downlink.
    pub(in crate::engine) proves: bool,
}

impl Session {
    fn given() -> Self {
        Self { join: None, base: 0, up: None, down: 0, asked: None, reply: None }
    }

    /// One that a device begins. A block of 65,536 counters stays free above those that are
    /// known: what was told live and lost in a power cut had counters too.
    fn joined(join: Offer, highest: Option<u32>) -> Option<Self> {
        let base = match highest {
            Some(highest) => (highest | 0xFFFF).checked_add(0x1_0001)?,
            None => 0,
        };
        Some(Self { join: Some(join), base, ..Self::given() })
    }

    /// The pendant's counter of a frame; `None` if there is none so high.
    fn counter(&self, counter_up: u32) -> Option<u32> {
        self.base.checked_add(counter_up)
    }

    /// The lowest counter above the last one that has this low half.
    fn next_counter(&self, low: u16) -> Option<u32> {
        let Some((last, _)) = self.up else { return Some(u32::from(low)) };
        let same_high = last & !0xFFFF | u32::from(low);
        if same_high > last { Some(same_high) } else { same_high.checked_add(0x1_0000) }
    }

    /// The highest counter, the last one included, that has this low half.
    fn past_counter(&self, low: u16) -> Option<u32> {
        let (last, _) = self.up?;
        let same_high = last & !0xFFFF | u32::from(low);
        if same_high <= last { Some(same_high) } else { same_high.checked_sub(0x1_0000) }
    }

    fn find(&self, frame: &DataUp<'_>, keys: &SessionKeys) -> Option<(u32, Standing)> {
        let low = frame.counter_low();
        let next = self.next_counter(low).filter(|next| self.counter(*next).is_some());
        // Of a given session that was never heard here only the low half is known.
        let halves = if self.join.is_none() && self.up.is_none() { GIVEN_HALVES } else { 1 };
        let nexts = (0..halves).filter_map(|half| next?.checked_add(half << 16));
        if let Some(next) = nexts.into_iter().find(|next| frame.is_made_with(keys, *next)) {
            return Some((next, Standing::Next));
        }
        let past = self.past_counter(low).filter(|past| frame.is_made_with(keys, *past))?;
        let again = self.up == Some((past, frame.code()));
        Some((past, if again { Standing::Again } else { Standing::Old }))
    }
}

impl LoRaWanState {
    /// Finds the session in which a frame was made. Costs two integrity codes, and one for
    /// each open offer.
    pub(in crate::engine) fn authenticate(
        &self,
        frame: &DataUp<'_>,
        shared: &Activation,
        highest: Option<u32>,
    ) -> Result<Uplink, Refusal> {
        // A given session has no beginning; it is there.
        let running = self.session.unwrap_or(Session::given());
        let offered = self.offers.iter().rev().filter_map(|join| Session::joined(*join, highest));
        for session in [running].into_iter().chain(offered) {
            let Some(keys) = shared.of_session(session.join) else { continue };
            if let Some((counter_up, standing)) = session.find(frame, &keys) {
                let opened = frame.open(&keys, counter_up);
                let begun = session.join.filter(|_| session.up.is_none());
                let proves = begun.is_some_and(|join| join.join_nonce > self.doubted)
                    || opened.acknowledges && session.asked.is_some();
                let code = frame.code();
                return Ok(Uplink {
                    session,
                    keys,
                    counter_up,
                    code,
                    opened,
                    standing,
                    begun,
                    proves,
                });
            }
        }
        Err(Refusal::Forged)
    }

    /// Takes note of a new frame. Gives how it is to be answered, if it is:
    /// `doubts` whether the device hears us, `command` whether it has one to be given.
    pub(in crate::engine) fn take(
        &mut self,
        uplink: &Uplink,
        doubts: bool,
        command: bool,
    ) -> Option<Reply> {
        if let Some(begun) = uplink.begun {
            // A newer one stands: this frame may have been held back until now.
            self.offers.retain(|offer| offer.join_nonce > begun.join_nonce);
            self.silenced = false;
        }
        let mut session = uplink.session;
        if uplink.opened.acknowledges {
            self.silenced |= session.asked.take().is_some_and(|asked| asked.silences);
        }
        let silences = command && !self.silenced;
        let opened = &uplink.opened;
        let asks = silences || doubts && !uplink.proves;
        let answers = asks || opened.confirmed || opened.wants_answer || opened.requests.any();
        session.up = Some((uplink.counter_up, uplink.code));
        session.reply = answers.then_some(Reply {
            down: session.down,
            acknowledges: opened.confirmed,
            asks,
            silences,
        });
        if answers && !planted(Mutant::RepeatDownlinkCounter) {
            session.down = session.down.saturating_add(1);
        }
        if asks {
            session.asked = Some(Asked { silences });
        }
        self.session = Some(session);
        session.reply
    }

    /// How the last frame was answered.
    pub(in crate::engine) fn reply(&self) -> Option<Reply> {
        self.session.and_then(|session| session.reply)
    }

    /// Takes back that the frame with this counter was heard, if it was the last one:
    /// its repetition is taken anew. The downlink's counter is not used twice.
    pub(in crate::engine) fn unsay(&mut self, counter: u32) {
        if let Some(session) = self.last_heard(counter) {
            // No frame has this code with that counter: it was never heard.
            let before = session.up.and_then(|(up, _)| up.checked_sub(1));
            session.up = before.map(|before| (before, [0; 4]));
        }
    }

    /// A repetition of this frame is not answered any more.
    pub(in crate::engine) fn forget_reply(&mut self, counter: u32) {
        if let Some(session) = self.last_heard(counter) {
            session.reply = None;
        }
    }

    /// Takes back a join: the device may ask with the same nonce again.
    pub(in crate::engine) fn unjoin(&mut self, join_nonce: u32) {
        let nonces = &mut self.nonces;
        self.offers.retain(|offer| {
            let keep = offer.join_nonce != join_nonce;
            nonces.retain(|nonce| keep || *nonce != offer.dev_nonce);
            if nonces.is_empty() {
                // Where nonces rise, all below this one were used.
                nonces.extend(offer.dev_nonce.checked_sub(1));
            }
            keep
        });
    }

    /// What tells the running session's events from those of every other.
    pub(in crate::engine) fn life(&self) -> u32 {
        self.session.and_then(|session| session.join).map_or(0, |join| join.life)
    }

    /// What the device said until now may have been held back: nothing that it could
    /// answer before proves anything.
    pub(in crate::engine) fn doubt(&mut self) {
        self.doubted = self.join_nonce;
        if let Some(session) = &mut self.session {
            session.asked = None;
        }
    }

    /// Some answers may have left whose counters were not durable, on the centre's word
    /// while the journal failed: a device takes none with a counter that it has heard.
    pub(in crate::engine) fn skip_downlink_counters(&mut self) {
        if let Some(session) = &mut self.session {
            session.down = session.down.saturating_add(SKIPPED_AT_START);
        }
    }

    /// The longest that is kept.
    #[cfg(test)]
    pub(in crate::engine) fn longest() -> Self {
        let offer = Offer { join_nonce: 0xFF_FFFF, dev_nonce: u16::MAX, life: u32::MAX };
        let reply = Reply { down: u32::MAX, acknowledges: true, asks: true, silences: true };
        let session = Session {
            join: Some(offer),
            base: u32::MAX,
            up: Some((u32::MAX, [0xFF; 4])),
            down: u32::MAX,
            asked: Some(Asked { silences: true }),
            reply: Some(reply),
        };
        Self {
            session: Some(session),
            offers: vec![offer; OFFERS_MAX],
            nonces: vec![u16::MAX; NONCES_MAX],
            join_nonce: 0xFF_FFFF,
            doubted: 0xFF_FFFF,
            silenced: true,
        }
    }

    fn last_heard(&mut self, counter: u32) -> Option<&mut Session> {
        let is_last = |session: &&mut Session| {
            session.up.is_some_and(|(up, _)| session.counter(up) == Some(counter))
        };
        self.session.as_mut().filter(is_last)
    }

    /// A device may begin this session.
    pub(in crate::engine) fn offer(&mut self, offer: Offer, nonces: DevNonceRule) {
        if nonces == DevNonceRule::Rising {
            self.nonces.clear();
        } else if self.nonces.len() >= NONCES_MAX {
            self.nonces.remove(0);
        }
        self.nonces.push(offer.dev_nonce);
        if self.offers.len() >= OFFERS_MAX {
            self.offers.remove(0);
        }
        self.offers.push(offer);
        self.join_nonce = offer.join_nonce;
    }
}

impl Uplink {
    /// The pendant's counter, which rises over all its sessions.
    pub(in crate::engine) fn counter(&self) -> u32 {
        // That it fits was a condition for taking the frame.
        self.session.counter(self.counter_up).unwrap_or(u32::MAX)
    }

    /// What tells this session's events from those of every other.
    pub(in crate::engine) fn life(&self) -> u32 {
        self.session.join.map_or(0, |join| join.life)
    }

    /// The application's port and bytes; `None`: it says nothing but that it is there.
    pub(in crate::engine) fn payload(&self) -> Option<(u8, &[u8])> {
        self.opened.payload.as_ref().map(|(port, bytes)| (*port, bytes.as_slice()))
    }

    pub(in crate::engine) fn requests(&self) -> Requests {
        self.opened.requests
    }

    /// The downlink that answers it so. A repetition gets the same counter, the same
    /// text and the same acknowledgement, but no `options` again: what the network had
    /// to say was true when it was asked.
    pub(in crate::engine) fn answer(
        &self,
        dev_addr: u32,
        reply: Reply,
        options: &[u8],
        silencing: Option<&Downlink>,
    ) -> DownlinkBytes {
        let command = silencing.filter(|_| reply.silences);
        data_downlink(&self.keys, dev_addr, reply, options, command)
    }
}

#[cfg(test)]
mod tests;
