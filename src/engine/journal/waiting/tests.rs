//! What waits in a journal, read without a gateway.

use super::*;
use crate::engine::event::Kind;
use crate::engine::journal::medium_test::{BOOT, event};
use crate::engine::journal::reading::card::{Card, at, stretch};
use crate::engine::journal::slot::{Run, Written};
use crate::engine::limits_test::settings;
use crate::engine::time::{Mono, Wall};

const NOW: Now = Now { mono: Mono::ZERO, wall: Wall::Unset };

/// Three panics in file 3, of which the second was released; a heartbeat in file 1 that
/// was released as well; and one, of another boot, in file 2.
fn card() -> Card {
    let mut card = Card::of_files(5);
    let [one, two, three] =
        [stretch(3, 1, Lsn(0)), stretch(1, 2, at(1, 4)), stretch(2, 3, at(2, 3))];
    card.fill(one, 0..1);
    for number in 1..4 {
        card.say(one, number, &Written::Event(&event(Kind::Panic, BOOT, number), None));
    }
    let released = [at(1, 2), at(2, 1)].map(|lsn| Run { first: lsn.0, count: 1 });
    card.fill(two, 0..1);
    card.say(two, 1, &Written::Event(&event(Kind::Heartbeat, BOOT, 1), None));
    card.say(two, 2, &Written::Released(released.to_vec()));
    let mut other = three;
    other.boot = BOOT + 1;
    card.say(other, 0, &Written::Event(&event(Kind::Heartbeat, BOOT + 1, 1), None));
    card
}

fn waiting(card: &Card) -> Waiting {
    card.replay().into_waiting().expect("frames of this store")
}

#[test]
fn what_waits_is_counted_and_its_files_are_named_in_order() {
    let waiting = waiting(&card());
    assert_eq!((waiting.count(), waiting.order()), (3, vec![3, 2]));
    let none = self::waiting(&Card::of_files(2));
    assert_eq!((none.count(), none.order()), (0, vec![]));
}

#[test]
fn each_event_that_waits_is_one_message() {
    let card = card();
    let waiting = waiting(&card);
    let settings = settings();
    let messages = |file: u32| waiting.messages(file, &card.files[&file], &settings, NOW);
    let offer = |lsn: Lsn, kind, boot, number| {
        let offer = (PublishId(lsn.0), BrokerId(0));
        Voice::new(&settings, NO_BOOT).publish(offer, &event(kind, boot, number), true, NOW)
    };
    let panics = vec![offer(at(1, 1), Kind::Panic, BOOT, 1), offer(at(1, 3), Kind::Panic, BOOT, 3)];
    assert_eq!(messages(3), (panics, 0));
    assert_eq!(messages(2), (vec![offer(at(3, 0), Kind::Heartbeat, BOOT + 1, 1)], 0));
    assert_eq!(messages(1), (vec![], 0), "all were released");
    assert_eq!(messages(4), (vec![], 0), "no file of the log");
}

/// A gateway that runs meanwhile may use a file again; a sector may go bad.
#[test]
fn what_cannot_be_opened_any_more_is_counted() {
    let mut card = card();
    let waiting = waiting(&card);
    let settings = settings();
    let found = |card: &Card| {
        let (messages, gone) = waiting.messages(3, &card.files[&3], &settings, NOW);
        (messages.iter().map(|message| message.id.0).collect::<Vec<_>>(), gone)
    };
    card.tear(3, 1);
    assert_eq!(found(&card), (vec![at(1, 3).0], 1));
    card.say(stretch(3, 9, at(8, 3)), 3, &Written::Event(&event(Kind::Panic, BOOT, 40), None));
    assert_eq!(found(&card), (vec![], 2), "another segment stands there now");
}
