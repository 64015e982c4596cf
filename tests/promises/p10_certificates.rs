//! P10: certificates near their end are told, by a set clock alone (P9), and so is
//! what becomes of new ones.

use crate::rig::*;
use pendant_gateway::engine::certificate::{CertificateOf, Nearness, Unfit};
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{BrokerId, BrokerInput, Input};
use serde_json::{Value, json};

const DAY_S: i64 = 86_400;
/// A certificate of these tests ends then.
const ENDS_S: i64 = EPOCH_MS / 1000 + 400 * DAY_S;
/// 2027-02-05T00:00:00Z
const ENDS: &str = "2027-02-05T00:00:00.000Z";

fn in_use(rig: &mut Rig, of: CertificateOf, ends_unix_s: i64) {
    rig.input(Input::Broker(BrokerId(0), BrokerInput::Certificate { of, ends_unix_s }));
}

/// A gateway whose clock says that so many seconds are left of its certificate.
fn with_left(left_s: i64) -> Rig {
    let mut rig = Rig::new(&[]);
    set_left(&mut rig, left_s);
    in_use(&mut rig, CertificateOf::Gateway, ENDS_S);
    rig
}

/// Steps the clock.
fn set_left(rig: &mut Rig, left_s: i64) {
    let elapsed_ms = i64::try_from(rig.now_us / 1000).expect("a short test");
    rig.wall_step_ms = (ENDS_S - left_s) * 1000 - EPOCH_MS - elapsed_ms;
}

/// What was told of certificates: kind, days left, milliseconds since the start.
fn told(rig: &Rig) -> Vec<(&str, Option<u64>, u64)> {
    let of_certificates = rig.seen.iter().filter(|seen| seen.kind().starts_with("certificate_"));
    let told = of_certificates.map(|seen| {
        let days = seen.json["data"]["detail"]["certificate"]["days_left"].as_u64();
        (seen.kind(), days, seen.at_us / 1000)
    });
    told.collect()
}

#[test]
fn thirty_seven_and_one_days_ahead_and_the_end_are_told_once_each_in_that_moment() {
    let mut rig = with_left(30 * DAY_S + 600);
    let stages = [
        (30 * DAY_S, "certificate_ending", 30),
        (7 * DAY_S, "certificate_ending", 7),
        (DAY_S, "certificate_ending", 1),
        (-1, "certificate_ended", 0),
    ];
    for (place, (left_s, kind, days)) in stages.into_iter().enumerate() {
        set_left(&mut rig, left_s + 600);
        rig.run_ms(70_000);
        assert_eq!(told(&rig).len(), place, "{left_s}: ten minutes before it is not told yet");
        let due_ms = rig.now_us / 1000 + 530_000;
        rig.run_ms(3_600_000);
        let told = told(&rig);
        assert_eq!(told.len(), place + 1, "{told:?}");
        let (of_kind, days_left, at_ms) = told[place];
        assert_eq!((of_kind, days_left), (kind, Some(days)));
        assert!((due_ms..due_ms + 1_100).contains(&at_ms), "{at_ms} ms, due at {due_ms} ms");
    }
    let detail = |seen: &Seen| seen.json["data"]["detail"].clone();
    let first = rig.seen.iter().find(|seen| seen.kind() == "certificate_ending").expect("told");
    assert_eq!(first.lane(), "trouble");
    let certificate = json!({
        "broker": "first", "of": "gateway", "ends": ENDS, "days_left": 30
    });
    assert_eq!(detail(first), json!({ "certificate": certificate }));
    let nearest = rig.gateway.as_ref().expect("running").ending_certificate(BrokerId(0));
    assert_eq!(nearest.map(|expiry| expiry.near), Some(Nearness::Ended));
    let notice = |near| rig.notices.iter().filter(move |n| is_of(n, near)).count();
    for near in [Nearness::Month, Nearness::Week, Nearness::Day, Nearness::Ended] {
        assert_eq!(notice(near), 1, "{near:?} is for the log as well");
    }
}

fn is_of(notice: &Notice, near: Nearness) -> bool {
    matches!(notice, Notice::Certificate(expiry) if expiry.near == near)
}

#[test]
fn one_that_is_near_its_end_when_it_is_first_seen_is_told_once() {
    let mut rig = with_left(5 * DAY_S);
    rig.run_ms(1_000);
    assert_eq!(told(&rig).len(), 1, "{:?}", told(&rig));
    assert_eq!(told(&rig)[0].1, Some(5));
    // The line is made anew, with the same certificate.
    in_use(&mut rig, CertificateOf::Gateway, ENDS_S);
    rig.run_ms(3_600_000);
    assert_eq!(told(&rig).len(), 1);
}

#[test]
fn a_clock_that_is_not_set_cries_no_end_and_a_set_one_does() {
    let mut rig = Rig::off(&[]);
    rig.wall_set = false;
    rig.start();
    in_use(&mut rig, CertificateOf::Gateway, EPOCH_MS / 1000 - 1_000 * DAY_S);
    rig.run_ms(7_200_000);
    assert_eq!(told(&rig), []);
    assert_eq!(rig.gateway.as_ref().expect("running").ending_certificate(BrokerId(0)), None);
    rig.wall_set = true;
    rig.run_ms(61_000);
    assert_eq!(told(&rig).len(), 1);
    assert_eq!(told(&rig)[0].0, "certificate_ended");
}

#[test]
fn a_clock_that_was_ahead_does_not_keep_the_true_end_from_being_told_nor_fill_the_log() {
    let mut rig = with_left(-10 * DAY_S);
    rig.run_ms(1_000);
    assert_eq!(told(&rig).len(), 1, "ended, says the clock");
    // To and fro for less than an hour: nothing more is told.
    for minute in 0..50 {
        set_left(&mut rig, if minute % 2 == 0 { 90 * DAY_S } else { -DAY_S });
        rig.run_ms(60_000);
    }
    assert_eq!(told(&rig).len(), 1);
    set_left(&mut rig, 90 * DAY_S);
    rig.run_ms(3_600_000);
    assert_eq!(rig.gateway.as_ref().expect("running").ending_certificate(BrokerId(0)), None);
    set_left(&mut rig, 7 * DAY_S - 5);
    rig.run_ms(61_000);
    assert_eq!(told(&rig).len(), 2);
    assert_eq!((told(&rig)[1].0, told(&rig)[1].1), ("certificate_ending", Some(6)));
}

#[test]
fn a_restart_tells_what_is_so_once_more_and_no_oftener() {
    let mut rig = with_left(20 * DAY_S);
    // Long enough that its receipt is durable.
    rig.run_ms(60_000);
    for starts in 2..5 {
        rig.restart();
        rig.run_ms(200);
        assert_eq!(told(&rig).len(), starts - 1, "not before it is known to be in use");
        in_use(&mut rig, CertificateOf::Gateway, ENDS_S);
        rig.run_ms(3_600_000);
        assert_eq!(told(&rig).len(), starts);
    }
}

#[test]
fn a_later_one_in_its_place_is_told_and_is_watched_in_turn() {
    let mut rig = with_left(5 * DAY_S);
    rig.run_ms(1_000);
    let later = ENDS_S + 90 * DAY_S;
    in_use(&mut rig, CertificateOf::Gateway, later);
    rig.run_ms(1_000);
    let kinds: Vec<&str> = told(&rig).iter().map(|told| told.0).collect();
    assert_eq!(kinds, ["certificate_ending", "certificate_renewed"]);
    assert_eq!(told(&rig)[1].1, Some(94));
    assert_eq!(rig.gateway.as_ref().expect("running").ending_certificate(BrokerId(0)), None);
    set_left(&mut rig, 5 * DAY_S - 90 * DAY_S);
    rig.run_ms(61_000);
    assert_eq!(rig.count("certificate_ending"), 2);
    // One that ends earlier is no renewal, and is judged by itself.
    in_use(&mut rig, CertificateOf::Gateway, ENDS_S - 200 * DAY_S);
    rig.run_ms(1_000);
    assert_eq!((rig.count("certificate_renewed"), rig.count("certificate_ended")), (1, 1));
}

#[test]
fn the_broker_s_and_the_authorities_are_watched_too() {
    let mut rig = with_left(400 * DAY_S);
    for of in [CertificateOf::Authority, CertificateOf::Broker] {
        in_use(&mut rig, of, ENDS_S - 380 * DAY_S);
    }
    // Behind one name two brokers answer in turn: that is no news.
    for days in [300, 200, 300] {
        in_use(&mut rig, CertificateOf::Broker, ENDS_S - days * DAY_S);
    }
    rig.run_ms(61_000);
    let of = |kind: &str| -> Vec<Value> {
        let told = rig.seen.iter().filter(|seen| seen.kind() == kind);
        told.map(|seen| seen.json["data"]["detail"]["certificate"]["of"].clone()).collect()
    };
    assert_eq!(of("certificate_ending"), ["authority", "broker"]);
    assert_eq!(of("certificate_renewed"), ["broker"], "after its end was told");
}

#[test]
fn refused_new_files_are_told_with_the_reason_and_so_is_that_they_are_mended() {
    let mut rig = Rig::new(&[]);
    for why in Unfit::ALL {
        let of = CertificateOf::Gateway;
        let refused = BrokerInput::CertificateRefused { of, why };
        rig.input(Input::Broker(BrokerId(0), refused));
    }
    rig.input(Input::Broker(BrokerId(0), BrokerInput::CertificateAccepted));
    rig.run_ms(100);
    assert_eq!(rig.count("certificate_refused"), Unfit::ALL.len());
    let details = rig.seen.iter().filter(|seen| seen.kind() == "certificate_refused");
    let whys: Vec<&Value> =
        details.map(|seen| &seen.json["data"]["detail"]["unfit"]["why"]).collect();
    let all = ["unreadable", "damaged", "wrong_key", "ended", "broker_untrusted", "broker_refused"];
    assert_eq!(whys, all.iter().collect::<Vec<_>>());
    let accepted = rig.seen.iter().find(|seen| seen.kind() == "certificate_accepted");
    assert_eq!(accepted.expect("told").json["data"]["detail"], json!({ "broker": "first" }));
}
