//! Counters, joins and answers of one device's sessions.

use super::*;
use crate::engine::device::Downlink;
use crate::engine::lorawan::crypto::Crypto;
use crate::engine::lorawan::frame::Frame;
use crate::engine::lorawan::{Eui, Request, SecretKey};
use crate::engine::time::{Wall, WallSource};
use lorawan::creator::{DataPayloadCreator, JoinRequestCreator};
use lorawan::keys::{AppKey, AppSKey, NewSKey};
use lorawan::parser::FCtrl;

const DEV_ADDR: u32 = 0x0000_0007;
const APP_KEY: [u8; 16] = [0x11; 16];

fn joins(nonces: DevNonceRule) -> Activation {
    Activation::Otaa {
        dev_eui: Eui(0x70B3_D57E_D000_0001),
        join_eui: None,
        app_key: SecretKey::from_bytes(APP_KEY),
        nonces,
    }
}

fn given() -> Activation {
    Activation::Abp {
        dev_addr: DEV_ADDR,
        nwk_s_key: SecretKey::from_bytes([0x22; 16]),
        app_s_key: SecretKey::from_bytes([0x33; 16]),
    }
}

fn offer(join_nonce: u32) -> Offer {
    Offer { join_nonce, dev_nonce: 0x4000 + join_nonce as u16, life: 0xA000_0000 + join_nonce }
}

/// What a device sends in its session.
#[derive(Clone, Copy, Default)]
struct Said {
    counter: u32,
    confirmed: bool,
    acknowledges: bool,
    payload: u8,
}

impl Said {
    fn at(counter: u32) -> Self {
        Self { counter, ..Self::default() }
    }

    fn bytes(self, shared: &Activation, join: Option<Offer>) -> Vec<u8> {
        let keys = shared.of_session(join).expect("keys of such a session");
        let mut control = FCtrl::new(0, true);
        if self.acknowledges {
            control.set_ack();
        }
        let mut frame = DataPayloadCreator::with_options([0; 256], Crypto).expect("a buffer");
        frame
            .set_uplink(true)
            .set_confirmed(self.confirmed)
            .set_dev_addr(DEV_ADDR.to_le_bytes())
            .set_fctrl(&control)
            .set_fcnt(self.counter)
            .set_f_port(85);
        let network = NewSKey::from(*keys.network.as_bytes());
        let application = AppSKey::from(*keys.application.as_bytes());
        let built = frame.build(&[self.payload], &[], &network, &application);
        built.expect("a frame").to_vec()
    }
}

/// A device's state here, and what the device shares.
struct Kept {
    state: LoRaWanState,
    shared: Activation,
    highest: Option<u32>,
}

impl Kept {
    fn of_given() -> Self {
        Self { state: LoRaWanState::default(), shared: given(), highest: None }
    }

    /// After so many joins, JoinNonces 1, 2, ...; none of their sessions has begun.
    fn joined(joins_made: u32) -> Self {
        let mut state = LoRaWanState::default();
        (1..=joins_made).for_each(|nonce| state.offer(offer(nonce), DevNonceRule::Random));
        Self { state, shared: joins(DevNonceRule::Random), highest: None }
    }

    fn hear(&self, said: Said, join: Option<Offer>) -> Result<Uplink, Refusal> {
        let bytes = said.bytes(&self.shared, join);
        let Some(Frame::Data(frame)) = Frame::parse(&bytes) else { panic!("a data frame") };
        self.state.authenticate(&frame, &self.shared, self.highest)
    }

    fn standing(&self, said: Said, join: Option<Offer>) -> Option<(u32, Standing)> {
        let uplink = self.hear(said, join).ok()?;
        Some((uplink.counter(), uplink.standing))
    }

    fn take(&mut self, said: Said, join: Option<Offer>) -> Option<Reply> {
        let uplink = self.hear(said, join).unwrap_or_else(|_| panic!("{}", said.counter));
        self.highest = self.highest.max(Some(uplink.counter()));
        self.state.take(&uplink, false, false)
    }
}

#[test]
fn a_counter_is_completed_upwards_for_the_next_frame_and_downwards_for_a_past_one() {
    let at = |last: u32| Session { up: Some((last, [0; 4])), ..Session::given() };
    let session = at(0x1_0005);
    for (low, next, past) in
        [(0x0006, 0x1_0006, 0x0_0006), (0x0005, 0x2_0005, 0x1_0005), (0x0004, 0x2_0004, 0x1_0004)]
    {
        assert_eq!(session.next_counter(low), Some(next));
        assert_eq!(session.past_counter(low), Some(past));
    }
    assert_eq!(at(5).past_counter(6), None, "none was so low");
    assert_eq!(at(0xFFFF_0005).next_counter(5), None, "there is none so high");
    assert_eq!(Session::given().past_counter(0), None);
}

#[test]
fn a_repetition_is_told_from_a_device_that_lost_its_counter() {
    let mut kept = Kept::of_given();
    kept.take(Said::at(8), None);
    kept.take(Said::at(9), None);
    assert_eq!(kept.standing(Said::at(10), None), Some((10, Standing::Next)));
    assert_eq!(kept.standing(Said::at(9), None), Some((9, Standing::Again)));
    let another = Said { payload: 1, ..Said::at(9) };
    assert_eq!(kept.standing(another, None), Some((9, Standing::Old)), "the same number");
    assert_eq!(kept.standing(Said::at(8), None), Some((8, Standing::Old)));
}

/// Of a given session the high half is not known at its first frame here, and only then.
#[test]
fn high_halves_are_tried_of_a_given_session_that_was_never_heard() {
    let mut kept = Kept::of_given();
    let far = Said::at(0xF_0003);
    assert_eq!(kept.standing(far, None), Some((0xF_0003, Standing::Next)));
    assert_eq!(kept.standing(Said::at(0x10_0003), None), None, "more than a million frames");
    kept.take(Said::at(2), None);
    assert_eq!(kept.standing(far, None), None);
    assert_eq!(Kept::joined(1).standing(Said::at(0x1_0003), Some(offer(1))), None);
}

/// The pendant's counter rises over its sessions: what was told live and lost in a power
/// cut had counters too, so a block stays free.
#[test]
fn a_session_counts_from_a_block_above_all_that_is_known() {
    let base = |highest| Session::joined(offer(1), highest).map(|session| session.base);
    assert_eq!(base(None), Some(0));
    assert_eq!(base(Some(0)), Some(0x2_0000));
    assert_eq!(base(Some(0x12_FFFF)), Some(0x14_0000));
    assert_eq!(base(Some(0x12_3456)), Some(0x14_0000));
    assert_eq!(base(Some(u32::MAX)), None, "no counter is left");
}

#[test]
fn a_session_that_has_begun_takes_its_offer_and_older_ones_away() {
    let mut kept = Kept::joined(3);
    kept.take(Said::at(0), Some(offer(2)));
    assert_eq!(kept.state.offers, [offer(3)]);
    assert_eq!(kept.state.life(), offer(2).life);
    assert!(kept.hear(Said::at(0), Some(offer(1))).is_err(), "its time is over");
    kept.take(Said::at(0), Some(offer(3)));
    assert_eq!((kept.state.offers.len(), kept.state.life()), (0, offer(3).life));
}

#[test]
fn a_downlink_counter_is_used_by_what_is_answered_and_by_nothing_else() {
    let mut kept = Kept::of_given();
    let confirmed = |counter| Said { confirmed: true, ..Said::at(counter) };
    assert_eq!(kept.take(confirmed(1), None).map(|reply| reply.down), Some(0));
    assert_eq!(kept.take(Said::at(2), None), None, "it asks for no answer");
    assert_eq!(kept.take(confirmed(3), None).map(|reply| reply.down), Some(1));
    kept.state.skip_downlink_counters();
    assert_eq!(kept.take(confirmed(4), None).map(|reply| reply.down), Some(34));
}

/// The last frame, and only that one, can be taken back or left without its answer.
#[test]
fn what_is_taken_back_is_the_last_frame_s_only() {
    let mut kept = Kept::of_given();
    let confirmed = |counter| Said { confirmed: true, ..Said::at(counter) };
    kept.take(confirmed(1), None);
    kept.take(confirmed(2), None);
    for past in [1, 3] {
        kept.state.forget_reply(past);
        kept.state.unsay(past);
    }
    assert_eq!(kept.state.reply().map(|reply| reply.down), Some(1));
    assert_eq!(kept.standing(confirmed(2), None), Some((2, Standing::Again)));
    kept.state.forget_reply(2);
    assert_eq!(kept.state.reply(), None);
    kept.state.unsay(2);
    assert_eq!(kept.standing(confirmed(2), None), Some((2, Standing::Next)));
    assert_eq!(kept.standing(confirmed(1), None), Some((1, Standing::Old)));
    assert_eq!(kept.take(confirmed(2), None).map(|reply| reply.down), Some(2), "not used twice");
}

#[test]
fn nonces_that_rise_are_kept_as_the_newest_and_those_at_random_as_the_last_sixteen() {
    let (mut rising, mut random) = (LoRaWanState::default(), LoRaWanState::default());
    for nonce in 1..=20 {
        rising.offer(offer(nonce), DevNonceRule::Rising);
        random.offer(offer(nonce), DevNonceRule::Random);
    }
    assert_eq!(rising.nonces, [offer(20).dev_nonce]);
    let last: Vec<u16> = (5..=20).map(|nonce| offer(nonce).dev_nonce).collect();
    assert_eq!(random.nonces, last);
    assert_eq!(random.offers, [18, 19, 20].map(offer));
    assert_eq!(random.join_nonce, 20);
}

#[test]
fn a_join_that_is_taken_back_may_be_asked_for_again_and_no_other() {
    let mut random = Kept::joined(3).state;
    random.unjoin(2);
    assert_eq!(random.offers, [offer(1), offer(3)]);
    assert_eq!(random.nonces, [offer(1).dev_nonce, offer(3).dev_nonce]);
    let mut rising = LoRaWanState::default();
    (1..=2).for_each(|nonce| rising.offer(offer(nonce), DevNonceRule::Rising));
    rising.unjoin(2);
    assert_eq!(rising.offers, [offer(1)]);
    assert_eq!(rising.nonces, [offer(2).dev_nonce - 1], "all below were used");
}

/// A device takes a JoinNonce above the last one only: they count the minutes since 2020.
#[test]
fn a_join_nonce_is_the_minute_or_the_next_after_the_last_one() {
    let shared = joins(DevNonceRule::Random);
    let bytes = JoinRequestCreator::with_options([0; 23], Crypto)
        .expect("a buffer")
        .set_app_eui(&[1; 8])
        .set_dev_eui(&[2; 8])
        .set_dev_nonce(&[3, 0])
        .build(&AppKey::from(APP_KEY))
        .to_vec();
    let Some(Frame::Join(request)) = Frame::parse(&bytes) else { panic!("a join request") };
    let at = |unix_s: i64| Wall::Set {
        unix_ms: unix_s * 1_000,
        uncertainty_ms: 1,
        source: WallSource::Ntp,
    };
    let join_nonce = |state: &LoRaWanState, wall| match state.join(&request, &shared, wall) {
        Ok(Request::New { offer, .. }) => offer.join_nonce,
        _ => panic!("a new request"),
    };
    let mut state = LoRaWanState::default();
    // 2020-01-01T00:02:59Z and 2026-11-30T12:00:00Z.
    assert_eq!(join_nonce(&state, at(1_577_836_979)), 2);
    assert_eq!(join_nonce(&state, at(1_796_040_000)), 3_636_720);
    assert_eq!(join_nonce(&state, Wall::Unset), 1);
    assert_eq!(join_nonce(&state, at(7_000_000_000)), 1, "a clock beyond 2051 is none");
    state.join_nonce = 4_000_000;
    assert_eq!(join_nonce(&state, at(1_796_040_000)), 4_000_001);
}

#[test]
fn a_command_is_given_until_it_is_acknowledged() {
    let mut kept = Kept::of_given();
    let silence = |kept: &mut Kept, said: Said| {
        let uplink = kept.hear(said, None).expect("authentic");
        kept.state.take(&uplink, false, true).map(|reply| (reply.asks, reply.silences))
    };
    assert_eq!(silence(&mut kept, Said::at(1)), Some((true, true)));
    assert_eq!(silence(&mut kept, Said::at(2)), Some((true, true)), "not acknowledged");
    let acknowledges = Said { acknowledges: true, ..Said::at(3) };
    let uplink = kept.hear(acknowledges, None).expect("authentic");
    assert!(uplink.proves, "it was made after our downlink");
    let command = Downlink { port: 85, payload: vec![0xFF, 0x2F, 0x00] };
    let reply = Reply { down: 9, acknowledges: true, asks: false, silences: false };
    let [with, without] = [Reply { silences: true, ..reply }, reply]
        .map(|reply| uplink.answer(DEV_ADDR, reply, &[], Some(&command)).into_vec().len());
    assert_eq!((with, without), (12 + 1 + 3, 12));
    assert_eq!(silence(&mut kept, acknowledges), None);
    assert_eq!(silence(&mut kept, Said::at(4)), None);
}
