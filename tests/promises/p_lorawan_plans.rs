//! When and where LoRaWAN pendants are answered, by the region's channel plan.

use crate::lorawan::*;
use pendant_gateway::engine::lorawan::{DevNonceRule, Plan, SubBand};
use pendant_gateway::engine::seam::{Input, LinkId, Signal, Wave};
use pendant_gateway::engine::time::Mono;

#[test]
fn in_the_united_states_answers_leave_on_wide_channels() {
    let mut button = Button::new(1, DevNonceRule::Random);
    let mut rig = off(&[&button], false);
    rig.settings.lorawan = SubBand::new(2).map(|sub_band| Plan::Us915 { sub_band });
    rig.start();
    rig.run_ms(200);
    let signal =
        Signal { frequency_hz: Some(904_300_000), spreading_factor: Some(10), ..Signal::default() };
    let (ended, bytes) = (Mono::from_us(rig.now_us), button.device.join());
    rig.input(Input::Frame { link: LinkId(0), ended, signal, bytes });
    rig.run_ms(7_000);
    let answer = rig.downlinks.pop().expect("an answer");
    let wide = |frequency_hz, spreading_factor| Wave::LoRaWan {
        frequency_hz,
        spreading_factor,
        bandwidth_hz: 500_000,
    };
    assert_eq!(answer.wave, wide(924_500_000, 10));
    assert_eq!(answer.or.map(|later| later.wave), Some(wide(923_300_000, 12)));
    let joined = button.device.accept(&answer.frame).expect("ours");
    assert_eq!(joined.rx2_data_rate, 8);
}

/// Without a plan nobody listens, and a receiver that does not tell the frequency hears
/// but cannot have answered.
#[test]
fn without_a_plan_or_a_frequency_nothing_is_answered() {
    let mut button = Button::personalised(7, 0x2601_1234);
    let mut rig = on(&[&button]);
    let (ended, bytes) = (Mono::from_us(rig.now_us), button.say(SHORT, CONFIRMED));
    rig.input(Input::Frame { link: LinkId(0), ended, signal: Signal::default(), bytes });
    rig.run_ms(3_000);
    assert_eq!((rig.count("panic"), rig.downlinks.len()), (1, 0));

    let mut rig = off(&[&button], false);
    rig.settings.lorawan = None;
    rig.start();
    rig.run_ms(200);
    rig.frame(0, &button.say(SHORT, CONFIRMED));
    rig.run_ms(3_000);
    assert_eq!((rig.count("panic"), rig.downlinks.len()), (0, 0));
}
