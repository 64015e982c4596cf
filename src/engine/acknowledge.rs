//! `Record` -> `Assured` -> `Released`: the custody rule (P1) in types. A
//! downlink can be made only of a `Released`, that only of an `Assured`, and that
//! only of a journal's `Durable` or, while the journal has failed, of the
//! centre's `Receipted`.

use super::delivery::Receipted;
use super::downlinks::{Ear, Receivers};
use super::event::EventId;
use super::journal::{Durable, Lsn};
use super::lorawan::DownlinkBytes;
use super::mutant::{Mutant, planted};
use super::seam::{Later, LinkId, Transmit, TransmitId, Wave};
use super::settings::Chance;
use super::time::Mono;
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// When a pendant listens, counted from the end of its frame, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) after_ms: u16,
    pub(super) wave: Wave,
}

/// The windows of native pendants (docs/protocol.md).
pub(super) const NATIVE_WINDOWS: [Window; 2] = windows_of([Wave::Native; 2], 1_000, 2_000);

/// Windows with these waves, so long after the frame.
pub(super) const fn windows_of([first, second]: [Wave; 2], ms: u16, or_ms: u16) -> [Window; 2] {
    [Window { after_ms: ms, wave: first }, Window { after_ms: or_ms, wave: second }]
}

/// Least time that a link needs to prepare a downlink, ms.
const PREPARE_MS: u64 = 5;
/// Most acknowledgements that may wait; a frame gets 1 in the order of reception.
const WAITING_MAX: usize = 1024;

/// An acknowledgement that may not leave yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) pendant: PendantId,
    /// It gives a LoRaWAN device a session. The centre's word is none for that: a session
    /// that a restart forgets leaves the device unheard until it joins anew.
    pub(super) joins: bool,
    /// Who may answer it.
    pub(super) receivers: Receivers,
    /// End of the frame that is answered, as the first receiver reckons. When the
    /// answer is handed over follows from this alone.
    pub(super) ended: Mono,
    pub(super) windows: [Window; 2],
    pub(super) reply: DownlinkBytes,
    /// What the frame said, by which its answer is known too.
    pub(super) event: EventId,
    /// Where the record stands; `None` if the journal had no room for it.
    pub(super) lsn: Option<Lsn>,
}

/// What the frame said is safe, and so is the state that it changed.
struct Assured(Waiting);

impl Assured {
    fn by_journal(waiting: Waiting, durable: Durable) -> Result<Self, Waiting> {
        let early = planted(Mutant::AnswerBeforeSync);
        if waiting.lsn.is_some_and(|lsn| early || durable.covers(lsn)) {
            Ok(Self(waiting))
        } else {
            Err(waiting)
        }
    }

    /// The centre's word counts only where the journal's cannot be had.
    fn by_centre(
        waiting: Waiting,
        receipted: Receipted,
        journal_failed: bool,
    ) -> Result<Self, Waiting> {
        let needed = (journal_failed || waiting.lsn.is_none()) && !waiting.joins;
        if needed && waiting.event == receipted.event() { Ok(Self(waiting)) } else { Err(waiting) }
    }

    fn release(self) -> Released {
        Released(self.0)
    }
}

/// An acknowledgement that may leave.
pub(super) struct Released(Waiting);

impl Released {
    /// The answer to a retransmission of a frame whose record is durable.
    pub(super) fn again(waiting: Waiting, durable: Durable) -> Result<Self, Waiting> {
        Assured::by_journal(waiting, durable).map(Assured::release)
    }

    /// The same, of an event that the centre receipted when the journal had no
    /// room for it.
    pub(super) fn again_by_centre(waiting: Waiting, receipted: Receipted) -> Result<Self, Waiting> {
        Assured::by_centre(waiting, receipted, true).map(Assured::release)
    }

    pub(super) fn pendant(&self) -> PendantId {
        self.0.pendant
    }

    /// The event of the frame that it answers.
    pub(super) fn event(&self) -> EventId {
        self.0.event
    }

    /// Another receiver heard the frame as well.
    pub(super) fn heard_too(&mut self, ear: Ear) {
        self.0.receivers.add(ear);
    }

    /// Whether anybody heard the frame who may answer it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.0.receivers.is_empty()
    }

    /// The next window that can still be met, and the one after it; `None` if both
    /// are over, and then the pendant repeats.
    pub(super) fn windows(&self, chance: Chance, now: Mono) -> Option<Windows> {
        let windows = match chance {
            Chance::Either => &self.0.windows[..],
            Chance::First => &self.0.windows[..1],
            Chance::Second => &self.0.windows[1..],
        };
        let in_time = |window: &&Window| {
            self.0.ended.plus_ms(window.after_ms.into()) >= now.plus_ms(PREPARE_MS)
        };
        let mut windows = windows.iter().filter(in_time).copied();
        Some(Windows { first: windows.next()?, or: windows.next() })
    }

    /// When the first of these windows begins, as the first receiver reckons.
    pub(super) fn begins(&self, windows: Windows) -> Mono {
        self.0.ended.plus_ms(windows.first.after_ms.into())
    }

    /// The downlink, by the best receiver that may answer; `None` if none may.
    pub(super) fn transmit(
        self,
        id: TransmitId,
        Windows { first, or }: Windows,
        is_up: impl Fn(LinkId) -> bool,
    ) -> Option<Transmit> {
        let Ear { link, ended, .. } = self.0.receivers.best(is_up)?;
        let at = |window: Window| ended.plus_ms(window.after_ms.into());
        Some(Transmit {
            id,
            link,
            at: at(first),
            wave: first.wave,
            or: or.map(|window| Later { at: at(window), wave: window.wave }),
            frame: self.0.reply.into_vec(),
        })
    }
}

/// When a downlink may leave, counted from the end of the frame that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    first: Window,
    /// If the link is receiving another frame then.
    or: Option<Window>,
}

/// Acknowledgements that wait for their assurance, in order of reception.
#[derive(Default)]
pub(super) struct Custody {
    waiting: VecDeque<Waiting>,
    /// The centre's word for some of them, which comes once: it counts if the journal
    /// fails, also if it fails later.
    receipted: BTreeMap<EventId, Receipted>,
}

impl Custody {
    /// Takes an acknowledgement. The oldest gives way when there are too many:
    /// its windows are over long since.
    pub(super) fn take(&mut self, waiting: Waiting) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            self.forget_words();
        }
        self.waiting.push_back(waiting);
    }

    /// A retransmission arrived while its record is not safe yet: the answer
    /// goes to the windows of the latest copy. False if nothing waits for it.
    pub(super) fn postpone(&mut self, again: &Waiting) -> bool {
        let found = self.waiting.iter_mut().find(|waiting| waiting.event == again.event);
        if let Some(waiting) = found {
            *waiting = Waiting { lsn: waiting.lsn, ..again.clone() };
            return true;
        }
        false
    }

    /// Another receiver heard a frame whose record is not safe yet.
    pub(super) fn heard_too(&mut self, event: EventId, ear: Ear) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.event == event) {
            waiting.receivers.add(ear);
        }
    }

    /// What the journal has made safe.
    pub(super) fn assured_by_journal(&mut self, durable: Durable) -> Vec<Released> {
        let released = self.sift(|waiting| Assured::by_journal(waiting, durable));
        self.forget_words();
        released
    }

    /// The centre has an event.
    pub(super) fn receipted(&mut self, receipted: Receipted) {
        if self.waiting.iter().any(|waiting| waiting.event == receipted.event()) {
            self.receipted.insert(receipted.event(), receipted);
        }
    }

    /// What the centre has made safe and the journal could not, with the centre's word.
    pub(super) fn assured_by_centre(&mut self, journal_failed: bool) -> Vec<(Released, Receipted)> {
        let words = std::mem::take(&mut self.receipted);
        let released = self.sift(|waiting| match words.get(&waiting.event) {
            Some(word) => Assured::by_centre(waiting, *word, journal_failed),
            None => Err(waiting),
        });
        let with_word = |released: Released| words.get(&released.event()).map(|it| (released, *it));
        let released = released.into_iter().filter_map(with_word).collect();
        self.receipted = words;
        self.forget_words();
        released
    }

    /// The journal has room for an event after all.
    pub(super) fn settle(&mut self, event: EventId, lsn: Lsn) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.event == event) {
            waiting.lsn.get_or_insert(lsn);
        }
    }

    /// The journal has the newest state of a pendant, and with it the answers that
    /// waited for nothing else: their events are in the journal, or delivered.
    pub(super) fn settle_state(&mut self, pendant: PendantId, lsn: Lsn) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.pendant == pendant) {
            waiting.lsn.get_or_insert(lsn);
        }
    }

    /// An event is lost for want of room: nobody is answered for it.
    pub(super) fn give_up(&mut self, event: EventId) {
        self.waiting.retain(|waiting| waiting.event != event);
        self.receipted.remove(&event);
    }

    pub(super) fn moved(&mut self, moved: &BTreeMap<Lsn, Lsn>) {
        for waiting in &mut self.waiting {
            if let Some(lsn) = &mut waiting.lsn {
                *lsn = moved.get(lsn).copied().unwrap_or(*lsn);
            }
        }
    }

    /// The centre's word is kept for what waits, and for nothing else.
    fn forget_words(&mut self) {
        if !self.receipted.is_empty() {
            let waits: BTreeSet<EventId> = self.waiting.iter().map(|it| it.event).collect();
            self.receipted.retain(|event, _| waits.contains(event));
        }
    }

    fn sift(&mut self, assure: impl Fn(Waiting) -> Result<Assured, Waiting>) -> Vec<Released> {
        let mut released = Vec::new();
        for _ in 0..self.waiting.len() {
            match self.waiting.pop_front().map(&assure) {
                Some(Ok(assured)) => released.push(assured.release()),
                Some(Err(waiting)) => self.waiting.push_back(waiting),
                None => {}
            }
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::downlinks::Downlinks;
    use crate::engine::event::EventIdKey;
    use crate::engine::seam::Signal;

    fn event(counter: u32) -> EventId {
        EventIdKey::derive(&[1; 16], &[]).of_frame(0, counter, 0)
    }

    fn waiting(counter: u32, lsn: Option<Lsn>) -> Waiting {
        Waiting {
            pendant: PendantId::new(1).expect("a number"),
            joins: false,
            receivers: Receivers::default(),
            ended: Mono::ZERO,
            windows: NATIVE_WINDOWS,
            reply: DownlinkBytes::new(&[0; 24]),
            event: event(counter),
            lsn,
        }
    }

    #[test]
    fn a_repetition_takes_the_place_of_what_waits_for_the_same_record() {
        let mut custody = Custody::default();
        custody.take(waiting(1, Some(Lsn(5))));
        custody.take(waiting(2, None));
        let later = Waiting { ended: Mono::from_us(9), ..waiting(1, None) };
        assert!(custody.postpone(&later));
        assert!(!custody.postpone(&waiting(3, None)), "nothing waits for it");
        let waits = |waiting: &Waiting| (waiting.event, waiting.ended, waiting.lsn);
        let waits: Vec<_> = custody.waiting.iter().map(waits).collect();
        assert_eq!(
            waits,
            [(event(1), Mono::from_us(9), Some(Lsn(5))), (event(2), Mono::ZERO, None)]
        );
    }

    #[test]
    fn nobody_is_answered_for_an_event_that_is_lost() {
        let mut custody = Custody::default();
        [1, 2, 3].into_iter().for_each(|counter| custody.take(waiting(counter, None)));
        custody.give_up(event(2));
        let waits: Vec<EventId> = custody.waiting.iter().map(|waiting| waiting.event).collect();
        assert_eq!(waits, [event(1), event(3)]);
    }

    #[test]
    fn a_record_that_finds_room_after_all_is_that_of_its_own_event() {
        let mut custody = Custody::default();
        custody.take(waiting(1, None));
        custody.take(waiting(2, None));
        custody.take(waiting(2, Some(Lsn(7))));
        custody.settle(event(2), Lsn(5));
        let lsns = |custody: &Custody| -> Vec<Option<Lsn>> {
            custody.waiting.iter().map(|waiting| waiting.lsn).collect()
        };
        assert_eq!(lsns(&custody), [None, Some(Lsn(5)), Some(Lsn(7))]);
        // A failed journal is begun anew: what was open stands elsewhere.
        custody.moved(&BTreeMap::from([(Lsn(5), Lsn(9))]));
        assert_eq!(lsns(&custody), [None, Some(Lsn(9)), Some(Lsn(7))]);
    }

    #[test]
    fn the_centre_s_word_is_kept_for_what_waits_and_no_longer() {
        let mut custody = Custody::default();
        [1, 2, 3].into_iter().for_each(|n| custody.take(waiting(n, Some(Lsn(n.into())))));
        [1, 2, 3, 4].into_iter().for_each(|n| custody.receipted(Receipted::of(event(n))));
        assert_eq!(custody.receipted.len(), 3, "nothing waits for the fourth");
        assert!(custody.assured_by_centre(false).is_empty(), "the journal works");
        custody.give_up(event(1));
        assert_eq!(custody.receipted.len(), 2);
        // A repetition takes its place, and is answered on the same word.
        assert!(custody.postpone(&waiting(2, None)));
        let released = custody.assured_by_centre(true).into_iter();
        let released = released.map(|(released, word)| (released.event(), word.event()));
        assert_eq!(released.collect::<Vec<_>>(), [2, 3].map(|n| (event(n), event(n))));
        assert!(custody.receipted.is_empty());
        custody.take(waiting(5, None));
        custody.receipted(Receipted::of(event(5)));
        (0..1_024).for_each(|n| custody.take(waiting(100 + n, None)));
        assert!(custody.receipted.is_empty(), "it gave way");
    }

    #[test]
    fn the_oldest_gives_way_and_only_when_there_are_too_many() {
        let mut custody = Custody::default();
        let most = u32::try_from(WAITING_MAX).expect("a small number");
        (0..most).for_each(|counter| custody.take(waiting(counter, None)));
        assert_eq!(custody.waiting.len(), WAITING_MAX);
        assert_eq!(custody.waiting[0].event, event(0));
        custody.take(waiting(most, None));
        assert_eq!(custody.waiting.len(), WAITING_MAX);
        assert_eq!(custody.waiting[0].event, event(1));
    }

    #[test]
    fn what_only_listeners_heard_is_wanted_by_nobody() {
        let mut released = Released(waiting(1, None));
        assert!(!released.is_wanted());
        released.heard_too(Ear { link: LinkId(0), signal: Signal::default(), ended: Mono::ZERO });
        assert!(released.is_wanted());
    }

    /// An answer to a frame that ended 10 s after the start, and its windows.
    fn answer(counter: u32) -> (Released, Windows) {
        let released =
            Released(Waiting { ended: Mono::ZERO.plus_ms(10_000), ..waiting(counter, None) });
        let windows = released.windows(Chance::Either, Mono::ZERO).expect("they are to come");
        (released, windows)
    }

    #[test]
    fn an_answer_is_held_until_350_ms_before_its_window() {
        let mut held = Downlinks::default();
        let hand_over = Mono::ZERO.plus_ms(10_650);
        let (released, windows) = answer(1);
        let before = Mono::from_us(hand_over.us() - 1);
        assert!(held.hold(released, windows, before).is_none());
        assert_eq!(held.next_deadline(), Some(hand_over));
        assert!(held.take_due(before).is_none());
        assert!(held.take_due(hand_over).is_some());
        assert_eq!(held.next_deadline(), None);
        let (released, windows) = answer(2);
        assert!(held.hold(released, windows, hand_over).is_some(), "its time has come");
    }

    #[test]
    fn answers_to_frames_that_ended_together_all_leave_and_in_their_order() {
        let mut held = Downlinks::default();
        for counter in [3, 1, 2] {
            let (released, windows) = answer(counter);
            assert!(held.hold(released, windows, Mono::ZERO).is_none());
        }
        let due = Mono::ZERO.plus_ms(10_650);
        let leave = std::iter::from_fn(|| held.take_due(due));
        let leave: Vec<EventId> = leave.map(|(released, _)| released.event()).collect();
        assert_eq!(leave, [3, 1, 2].map(event));
    }

    #[test]
    fn no_more_answers_are_held_than_there_is_room_for() {
        let mut held = Downlinks::default();
        for counter in 0..1_024 {
            let (released, windows) = answer(counter);
            assert!(held.hold(released, windows, Mono::ZERO).is_none());
        }
        let (released, windows) = answer(1_024);
        assert!(held.hold(released, windows, Mono::ZERO).is_some(), "it leaves at once");
    }
}
