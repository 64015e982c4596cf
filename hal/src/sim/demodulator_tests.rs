//! Receivers in one air: capture, orthogonality, limits.

use super::{Demodulator, Sight, Tuning};
use crate::airtime::Shape;
use crate::sim::waves::{Air, Arrival, Wave};
use std::time::Duration;
use tokio::time::Instant;

fn air(spreading_factor: u8) -> Air {
    let shape = Shape {
        spreading_factor,
        bandwidth_hz: 125_000,
        coding_rate_denominator: 5,
        preamble_symbols: 8,
        explicit_header: true,
        payload_crc: true,
    };
    Air { frequency_hz: 868_100_000, shape, iq_inverted: false, sync_word: 0x1424 }
}

fn frame(spreading_factor: u8, started: Instant, rssi_dbm: i16) -> Wave {
    Wave::Frame(Arrival {
        air: air(spreading_factor),
        started,
        rssi_dbm,
        snr_quarter_db: 0,
        offset_hz: 0,
        bytes: vec![rssi_dbm as u8; 24],
    })
}

/// What a receiver at SF7 makes of these: per frame its RSSI byte and whether it
/// is whole; header errors as `None`.
fn received(waves: impl IntoIterator<Item = Wave>, begun: Instant) -> Vec<Option<(i8, bool)>> {
    let mut demodulator = Demodulator::default();
    waves.into_iter().for_each(|wave| demodulator.hear(wave));
    let since = begun.checked_sub(Duration::from_secs(1)).unwrap_or(begun);
    let tuning = Tuning { air: air(7), since, low_data_rate: false };
    let mut received = Vec::new();
    while let Some(at) = demodulator.next_event() {
        match demodulator.step(at, Some(&tuning)) {
            Some(Sight::Frame(frame)) => {
                received.push(Some((frame.bytes[0] as i8, !frame.damaged)))
            }
            Some(Sight::HeaderError) => received.push(None),
            _ => {}
        }
    }
    received
}

fn now() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

#[test]
fn the_stronger_of_two_survives_from_6_db_on() {
    for (other_dbm, whole) in [(-85, false), (-86, true), (-90, true)] {
        let begun = now();
        let found = received([frame(7, begun, -80), frame(7, begun, other_dbm)], begun);
        assert_eq!(found, [Some((-80, whole))], "{other_dbm}");
    }
}

#[test]
fn a_far_stronger_frame_takes_the_receiver_over_before_the_preamble_ends_and_not_after() {
    let (begun, symbol) = (now(), air(7).shape.symbol());
    let found = received([frame(7, begun, -90), frame(7, begun + symbol * 6, -70)], begun);
    assert_eq!(found, [Some((-70, true))], "it synchronises to the stronger one");
    let found = received([frame(7, begun, -90), frame(7, begun + symbol * 25, -70)], begun);
    assert_eq!(found, [Some((-90, false))], "it follows the first, and loses both");
}

#[test]
fn what_ends_within_the_first_preamble_symbols_does_no_harm() {
    let (begun, symbol) = (now(), air(7).shape.symbol());
    let airtime = air(7).shape.frame(24);
    // The receiver is free again when it needs the last 8.25 symbols.
    for (symbols, whole) in [(4, true), (5, false), (9, false)] {
        let earlier = begun + symbol * symbols - airtime;
        let found = received([frame(7, earlier, -82), frame(7, begun, -80)], earlier);
        let second = found.iter().flatten().any(|frame| *frame == (-80, true));
        assert_eq!(second, whole, "{symbols} symbols of overlap: {found:?}");
    }
}

#[test]
fn other_spreading_factors_are_noise_that_despreading_suppresses() {
    let begun = now();
    // SF7 stands 7.5 dB of noise.
    for (other_dbm, whole) in [(-74, true), (-68, false)] {
        let found = received([frame(7, begun, -80), frame(9, begun, other_dbm)], begun);
        assert_eq!(found.contains(&Some((-80, true))), whole, "{other_dbm}: {found:?}");
    }
}

#[test]
fn a_frame_fades_from_whole_to_damaged_to_unseen() {
    // Noise -117 dBm, limit -7.5 dB: -124.5 dBm.
    let outcome = |rssi_dbm| {
        let begun = now();
        received([frame(7, begun, rssi_dbm)], begun)
    };
    assert_eq!(outcome(-124), [Some((-124, true))]);
    assert_eq!(outcome(-125), [Some((-125, false))]);
    assert_eq!(outcome(-126), [None], "the header fails");
    assert_eq!(outcome(-127), []);
}
