use super::*;
use pendant_protocol::{Instruction, Outcome, PinDigits, SealedUplink};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ID: u32 = 0x00_012F;
const SALT: u16 = 0x5A17;

fn identity() -> PendantIdentity {
    let id = PendantId::new(ID).expect("within range");
    PendantIdentity { id, key: EnrolmentKey::from_bytes([7; 16]) }
}

fn slot() -> Slot {
    Slot::new(3).expect("within range")
}

fn answer(counter: u32, salt: u16) -> FrameBytes {
    let message = DownlinkMessage {
        outcome: Outcome::Noted,
        instruction: Instruction::None,
        minutes_left: 0,
    };
    let identity = identity();
    message.seal(&identity.key.downlink(slot()), slot(), identity.id, counter, salt)
}

/// A pendant with the air around it and the memory that outlives its power.
struct Bench {
    pendant: Pendant,
    now: Instant,
    remembered: u32,
    /// Every frame ever sent.
    sent: Vec<FrameBytes>,
    shown: Vec<Seen>,
}

impl Bench {
    fn new() -> Self {
        let pendant = Pendant::power_up(identity(), Habits::default(), 0, 1);
        let now = Instant::now();
        Self { pendant, now, remembered: 0, sent: Vec::new(), shown: Vec::new() }
    }

    /// Carries outputs out; a frame takes no time. Gives back what was sent.
    fn drain(&mut self) -> Option<FrameBytes> {
        let mut frame = None;
        while let Some(output) = self.pendant.poll_output() {
            match output {
                PendantOutput::Remember(below) => self.remembered = below,
                PendantOutput::Transmit(bytes) => {
                    let counter = open(&bytes).0;
                    assert!(counter < self.remembered, "used before it was reserved");
                    self.sent.push(bytes);
                    self.pendant.handle_sent(self.now);
                    frame = Some(bytes);
                }
                PendantOutput::Show(seen) => self.shown.push(seen),
            }
        }
        frame
    }

    fn press(&mut self, body: Body) -> Option<FrameBytes> {
        self.pendant.press(body, self.now).expect("room");
        self.drain()
    }

    fn hear(&mut self, after: Duration, bytes: &[u8]) -> Option<FrameBytes> {
        self.now += after;
        self.pendant.handle_heard(bytes, self.now);
        self.drain()
    }

    /// Lets time pass to the next deadline, if there is one.
    fn tick(&mut self) -> Option<FrameBytes> {
        self.now = self.pendant.next_deadline()?;
        self.pendant.handle_timer(self.now);
        self.drain()
    }

    fn tick_until_sent(&mut self) -> FrameBytes {
        (0..3).find_map(|_| self.tick()).expect("a retransmission")
    }

    fn power_cycle(&mut self) {
        self.pendant = Pendant::power_up(identity(), Habits::default(), self.remembered, 1);
    }
}

fn open(frame: &FrameBytes) -> (u32, Message) {
    let sealed = SealedUplink::parse(frame).expect("a frame");
    let message = sealed.open(&identity().key.uplink()).expect("our own frame");
    (sealed.counter(), message)
}

const HEARTBEAT: Body = Body::Heartbeat { place: 0 };
const PANIC: Body = Body::Panic { place: 0 };
const FIRST: Duration = Duration::from_millis(1000);
const SECOND: Duration = Duration::from_millis(2000);

#[test]
fn an_answer_in_either_window_is_shown_and_echoed() {
    for delay in [FIRST, SECOND] {
        let mut bench = Bench::new();
        let frame = bench.press(HEARTBEAT).expect("sent at once");
        let (counter, message) = open(&frame);
        assert_eq!(message.echo, 0);
        bench.hear(delay, &answer(counter, SALT));
        let seen = bench.shown.pop().expect("shown");
        assert_eq!((seen.counter, seen.attempts), (counter, 1));
        let heard = seen.answer.expect("an answer");
        assert_eq!((heard.delay, heard.slot), (delay, slot()));
        assert_eq!(bench.pendant.next_deadline(), None);
        let next = bench.press(HEARTBEAT).expect("sent at once");
        assert_eq!(open(&next).1.echo, SALT);
    }
}

#[test]
fn what_comes_at_other_times_or_from_others_is_ignored() {
    let mut bench = Bench::new();
    let (counter, _) = open(&bench.press(HEARTBEAT).expect("sent"));
    bench.hear(Duration::from_millis(500), &answer(counter, SALT));
    bench.hear(Duration::from_millis(500), &answer(counter + 1, SALT));
    let mut forged = answer(counter, SALT);
    forged[20] ^= 1;
    bench.hear(Duration::ZERO, &forged);
    bench.hear(Duration::ZERO, &[0; 24]);
    bench.hear(Duration::ZERO, b"short");
    let ignored = bench.pendant.ignored();
    assert_eq!((ignored.out_of_window, ignored.not_ours, ignored.forged), (1, 3, 1));
    assert!(bench.shown.is_empty());
    bench.hear(Duration::ZERO, &answer(counter, SALT));
    assert_eq!(bench.shown.len(), 1);
}

#[test]
fn presses_wait_their_turn_and_alarms_do_not() {
    let mut bench = Bench::new();
    let start = Body::SessionStart { minutes: 30, place: 0 };
    let pin = Body::Pin(PinDigits::from_digits("1234").expect("digits"));
    let first = bench.press(start).expect("sent at once");
    assert_eq!(bench.press(pin), None);
    assert_eq!(bench.press(PANIC), None);
    // Nobody hears: the alarm goes as soon as listening ends, then alarms again.
    let alarm = bench.tick().expect("the alarm");
    assert_eq!(open(&alarm).1.body, PANIC);
    assert_eq!(bench.tick_until_sent(), alarm);
    // During the pause a new alarm leaves at once.
    assert_eq!(bench.tick(), None);
    let fall = Body::Fall { place: 9 };
    let second = bench.press(fall).expect("sent at once");
    assert_eq!(open(&second).1.body, fall);
    let bodies: Vec<Body> = (0..3)
        .map(|_| {
            let counter = open(bench.sent.last().expect("sent")).0;
            bench.hear(FIRST, &answer(counter, SALT)).map(|frame| open(&frame).1.body)
        })
        .map(|body| body.expect("the next one"))
        .collect();
    assert_eq!(bodies, [PANIC, start, pin]);
    assert_eq!(bench.sent.iter().filter(|frame| **frame == first).count(), 2);
}

#[test]
fn it_gives_up_in_the_end_and_says_so() {
    let mut bench = Bench::new();
    bench.press(HEARTBEAT);
    while bench.tick().is_some() || bench.pendant.next_deadline().is_some() {}
    let seen = bench.shown.pop().expect("shown");
    assert_eq!((seen.answer, seen.attempts), (None, Habits::default().attempts_max));
}

#[test]
fn a_pendant_without_counters_says_so() {
    let pendant = Pendant::power_up(identity(), Habits::default(), u32::MAX, 0);
    let mut bench = Bench { pendant, ..Bench::new() };
    assert_eq!(bench.pendant.press(PANIC, bench.now), Err(PressError::CountersUsedUp));
}

#[derive(Clone, Debug)]
enum Step {
    Press(bool),
    Tick,
    Answer,
    PowerCycle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Press),
        6 => Just(Step::Tick),
        3 => Just(Step::Answer),
        1 => Just(Step::PowerCycle),
    ]
}

proptest! {
    #[test]
    fn a_counter_belongs_to_one_frame_for_ever(
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Press(alarm) => {
                    // A full pendant refuses, which is not the matter here.
                    let body = if alarm { PANIC } else { HEARTBEAT };
                    let _ = bench.pendant.press(body, bench.now);
                    bench.drain();
                }
                Step::Tick => {
                    bench.tick();
                }
                Step::Answer => {
                    if let Some(frame) = bench.sent.last() {
                        let counter = open(frame).0;
                        bench.hear(FIRST, &answer(counter, SALT));
                    }
                }
                Step::PowerCycle => bench.power_cycle(),
            }
        }
        let mut frames = BTreeMap::new();
        for frame in &bench.sent {
            let first = *frames.entry(open(frame).0).or_insert(*frame);
            prop_assert_eq!(first, *frame);
        }
    }

    #[test]
    fn lost_downlinks_lead_to_the_same_bytes_again(lost in 1u32..20, seed: u64) {
        let mut bench = Bench::new();
        bench.pendant = Pendant::power_up(identity(), Habits::default(), 0, seed);
        let frame = bench.press(PANIC).expect("sent at once");
        let mut ended = bench.now;
        for _ in 0..lost {
            prop_assert_eq!(bench.tick_until_sent(), frame);
            let pause = bench.now - ended;
            let habits = Habits::default();
            let listens = habits.windows.second + habits.windows.length;
            prop_assert!(pause >= listens + habits.pause / 2);
            prop_assert!(pause <= listens + habits.pause_max * 3 / 2);
            ended = bench.now;
        }
        bench.hear(FIRST, &answer(open(&frame).0, SALT));
        prop_assert_eq!(bench.shown[0].attempts, lost + 1);
        prop_assert_eq!(bench.sent.len(), lost as usize + 1);
    }
}
