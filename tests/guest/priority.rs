//! The radio's thread has real-time priority where the unit's `LimitRTPRIO` grants
//! it to a user without rights, and runs without where it does not.

use crate::wiring;
use pendant_hal::radio::account::Account;
use pendant_hal::radio::chip::{Board, Sx126x};
use pendant_hal::radio::{self, RadioSettings};
use rustix::process::{Resource, Rlimit, Uid, setrlimit};
use rustix::thread::set_thread_uid;
use std::fs;
use tokio::sync::mpsc;

const SETTINGS: RadioSettings = RadioSettings {
    downlink_frequency_hz: 869_525_000,
    spreading_factor: 10,
    ..RadioSettings::BENCH
};

const BOARD: Board = Board {
    low_power_amplifier: false,
    tcxo: None,
    dcdc: true,
    dio2_switches_antenna: true,
    receive_boost: true,
};

const NOBODY: u32 = 65534;

/// Priority and policy (proc(5), stat, fields 40 and 41) of a radio's thread that
/// nobody starts who has rights.
fn of_a_radio_s_thread(tag: u8) -> (u32, u32) {
    let started = std::thread::spawn(move || {
        set_thread_uid(Uid::from_raw(NOBODY)).expect("root may");
        let (events, mut told) = mpsc::channel(8);
        let chip = Sx126x::new(wiring("gpiochip1", 3, 6), BOARD);
        let link = radio::spawn(SETTINGS, chip, Account::default(), tag, events);
        // That it is not up: the thread is at work.
        told.blocking_recv().expect("it says how it is");
        let found = priority_of(&format!("(radio-{tag})"));
        drop(link);
        found
    });
    started.join().expect("no panic")
}

fn priority_of(name: &str) -> (u32, u32) {
    for task in fs::read_dir("/proc/self/task").expect("proc is mounted") {
        let path = task.expect("an entry").path().join("stat");
        // A thread may end meanwhile.
        let text = fs::read_to_string(path).unwrap_or_default();
        let Some((_, fields)) = text.split_once(name) else { continue };
        let field = |number: usize| {
            let text = fields.split_whitespace().nth(number - 3);
            text.and_then(|text| text.parse().ok()).expect("a number")
        };
        return (field(40), field(41));
    }
    panic!("no thread {name}");
}

#[test]
fn the_unit_s_limit_is_enough_and_without_it_the_radio_runs_all_the_same() {
    const ORDINARY: u32 = 0;
    const FIRST_IN_FIRST_OUT: u32 = 1;
    assert_eq!(of_a_radio_s_thread(1), (0, ORDINARY));
    let limit = Rlimit { current: Some(10), maximum: Some(10) };
    setrlimit(Resource::Rtprio, limit).expect("root may");
    assert_eq!(of_a_radio_s_thread(2), (10, FIRST_IN_FIRST_OUT));
}
