use super::*;
use crate::dc09::Format;
use proptest::prelude::*;
use serde_json::json;

fn bridge(folder: &tempfile::TempDir) -> Bridge {
    let state = State::open(&folder.path().join("state")).expect("a file");
    let mapping = Mapping::new(Format::Sia, "12AB").expect("an account");
    Bridge::new(mapping, state, Duration::from_secs(60))
}

fn event(lane: &str, kind: &str, boot: &str, number: u64) -> Event {
    let data = json!({
        "lane": lane, "kind": kind, "covert": false, "boot": boot, "number": number,
        "codes": ["PA", 120],
    });
    Event {
        id: format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
        site: "plant".into(),
        gateway: "gate-1".into(),
        time: None,
        data: serde_json::from_value(data).expect("data"),
        wire_bytes: 1408,
    }
}

fn job(bridge: &mut Bridge, now: Instant) -> Option<Job> {
    bridge.job(now).expect("the state is written")
}

fn answer(bridge: &mut Bridge, job: Job, answer: Answer, now: Instant) {
    bridge.answered(job, answer, now).expect("the state is written");
}

fn unanswered() -> Answer {
    Answer::Unanswered("no answer".to_owned())
}

#[test]
fn what_comes_during_an_exchange_waits_for_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bridge, now) = (bridge(&folder), Instant::now());
    bridge.take(&event("routine", "heartbeat", "01", 1));
    bridge.take(&event("urgent", "panic", "01", 2));
    let first = job(&mut bridge, now).expect("the press goes out");
    assert!(job(&mut bridge, now).is_none(), "one at a time");
    bridge.take(&event("routine", "heartbeat", "01", 3));
    answer(&mut bridge, first, Answer::Acknowledged, now);
    assert_eq!(bridge.queue.take_due().len(), 2, "the press and the heartbeat before it");
    let second = job(&mut bridge, now).expect("the receiver is asked for the third");
    assert_eq!((second.sequence, second.key.is_none()), (0, true));
    answer(&mut bridge, second, Answer::Acknowledged, now);
    assert_eq!(bridge.queue.take_due().len(), 1);
    assert!(job(&mut bridge, now).is_none());
    assert!(job(&mut bridge, now + Duration::from_secs(60)).is_some(), "supervision");
}

#[test]
fn a_receiver_that_is_down_is_tried_ever_more_rarely_with_the_same_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bridge, mut now) = (bridge(&folder), Instant::now());
    bridge.take(&event("urgent", "panic", "01", 1));
    bridge.take(&event("urgent", "panic", "01", 2));
    for pause_s in [1, 2, 4, 8, 16, 30, 30] {
        let press = job(&mut bridge, now).expect("it is tried");
        assert_eq!(press.sequence, 1);
        answer(&mut bridge, press, unanswered(), now);
        let null = job(&mut bridge, now).expect("is the receiver there?");
        assert!(null.key.is_none());
        answer(&mut bridge, null, unanswered(), now);
        let pause = Duration::from_secs(pause_s);
        assert!(job(&mut bridge, now + pause - Duration::from_millis(1)).is_none());
        now += pause;
    }
    assert_eq!(bridge.told.len(), 1, "told once: {:?}", bridge.told);
    assert!(bridge.queue.take_due().is_empty());
    let press = job(&mut bridge, now).expect("it is tried");
    answer(&mut bridge, press, Answer::Acknowledged, now);
    let press = job(&mut bridge, now).expect("the next");
    assert_eq!(press.sequence, 2);
    answer(&mut bridge, press, Answer::Refused, now);
    assert_eq!((bridge.queue.len(), bridge.refused), (0, 1));
}

#[test]
fn a_press_overtakes_trouble_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut bridge, now) = (bridge(&folder), Instant::now());
    bridge.mapping.trouble = true;
    for (lane, number) in [("trouble", 1), ("urgent", 2), ("trouble", 3), ("urgent", 4)] {
        bridge.take(&event(lane, "something", "01", number));
    }
    let order = [2, 4, 1, 3].map(|number| event("", "", "", number).id);
    for id in order {
        let next = job(&mut bridge, now).expect("an event waits");
        assert_eq!(next.key.as_ref().map(|key| &key.id), Some(&id));
        answer(&mut bridge, next, Answer::Acknowledged, now);
    }
}

proptest! {
    /// Whatever gateways say, a press of another goes out, and the state can be read.
    #[test]
    fn any_event_leaves_the_way_free(
        kind in "\\PC{0,50}|[a-z_]{1,20}", boot in "\\PC{0,50}|[0-9a-f]{16}",
        lane in "urgent|trouble|\\PC{0,9}",
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut bridge, now) = (bridge(&folder), Instant::now());
        bridge.take(&event(&lane, &kind, &boot, 1));
        bridge.take(&event("urgent", "panic", "01", 2));
        let mut sent = Vec::new();
        while let Some(job) = job(&mut bridge, now) {
            sent.extend(job.key.as_ref().map(|key| key.kind.clone()));
            answer(&mut bridge, job, Answer::Acknowledged, now);
        }
        prop_assert_eq!(sent.last().map(String::as_str), Some("panic"));
        drop(bridge);
        let state = State::open(&folder.path().join("state")).expect("a file");
        let key = |id, kind: &str| Key { id: event("", kind, "", id).id, kind: kind.to_owned() };
        prop_assert!(state.is_done(&key(2, "panic")));
        prop_assert_eq!(state.is_done(&key(1, &kind)), sent.len() == 2);
    }
}
