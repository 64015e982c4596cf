//! The chip by itself against the tables of the SX1261/2 datasheet, rev 2.1.

use super::core::irq;
use super::tests::{Bench, CONTINUOUS};
use crate::sim::ether::{Noise, Wave};
use crate::sim::waves::Band;
use crate::sim::wires::Machine;
use std::time::Duration;

/// Table 8-2: from, to, BUSY in microseconds.
#[test]
fn switching_times_of_table_8_2() {
    const STBY_XOSC: &[u8] = &[0x80, 1];
    const FS: &[u8] = &[0xC1];
    const RX: &[u8] = &[0x82, 0xFF, 0xFF, 0xFF];
    const TX: &[u8] = &[0x83, 0, 0, 0];
    for (from, to, us) in [
        (None, STBY_XOSC, 31),
        (None, FS, 50),
        (None, RX, 83),
        (None, TX, 126),
        (Some(STBY_XOSC), FS, 40),
        (Some(STBY_XOSC), RX, 62),
        (Some(STBY_XOSC), TX, 105),
        (Some(FS), RX, 41),
        (Some(FS), TX, 76),
        (Some(RX), FS, 15),
        (Some(RX), TX, 92),
    ] {
        let mut bench = Bench::listening(CONTINUOUS);
        bench.send(&[0x8E, 22, 4]);
        bench.send(&[0x80, 0]);
        if let Some(from) = from {
            bench.send(from);
        }
        bench.core.exchange(to, bench.now);
        bench.pass(Duration::from_nanos(us * 1_000 - 1));
        assert!(bench.core.is_busy(bench.now), "{from:02x?} {to:02x?}");
        bench.pass(Duration::from_nanos(1));
        assert!(!bench.core.is_busy(bench.now), "{from:02x?} {to:02x?}");
    }
}

/// Table 8-2 and section 8.1: cold start 3.5 ms, warm start 340 us.
#[test]
fn it_is_busy_while_it_starts() {
    for (config, us) in [(0x00, 3_500), (0x04, 340)] {
        let mut bench = Bench::new();
        bench.send(&[0x84, config]);
        bench.core.exchange(&[0xC0, 0], bench.now);
        bench.pass(Duration::from_micros(us - 1));
        assert!(bench.core.is_busy(bench.now), "{config}");
        bench.pass(Duration::from_micros(1));
        assert!(!bench.core.is_busy(bench.now), "{config}");
    }
}

/// Table 12-1, as far as the driver touches it.
#[test]
fn registers_after_reset_of_table_12_1() {
    let mut bench = Bench::new();
    for (address, value) in [
        (0x0736u16, 0x0D),
        (0x0740, 0x14),
        (0x0741, 0x24),
        (0x0889, 0x01),
        (0x08AC, 0x94),
        (0x08D8, 0xC8),
        (0x08E7, 0x18),
        (0x0911, 0x05),
    ] {
        let [high, low] = address.to_be_bytes();
        assert_eq!(bench.send(&[0x1D, high, low, 0, 0])[4], value, "{address:04x}");
    }
}

/// Table 13-76: what a command did, in bits 3:1 of the status.
#[test]
fn command_status_of_table_13_76() {
    let status = |bench: &mut Bench| bench.send(&[0xC0, 0])[1] >> 1 & 7;
    let mut bench = Bench::listening(CONTINUOUS);
    let airtime = bench.arrive(&[1; 24]);
    bench.pass(airtime);
    assert_eq!(status(&mut bench), 2, "data is available");
    let mut bench = Bench::listening([0, 0x19, 0x00]);
    bench.pass(Duration::from_millis(100));
    assert_eq!(status(&mut bench), 3, "timeout");
    let mut bench = Bench::listening(CONTINUOUS);
    bench.send(&[0x80, 0]);
    bench.send(&[0x8E, 22, 4]);
    bench.send(&[0x83, 0, 0, 0]);
    bench.pass(Duration::from_millis(500));
    assert_eq!(status(&mut bench), 6, "sent");
    assert_eq!(bench.irq(), irq::TX_DONE);
}

/// Section 13.1.4: 15.625 us a step; a transmission that takes longer is cut off.
#[test]
fn a_transmission_can_time_out() {
    let mut bench = Bench::listening(CONTINUOUS);
    bench.send(&[0x80, 0]);
    bench.send(&[0x8E, 22, 4]);
    // 255 bytes take 399 ms at SF7; 6400 steps are 100 ms.
    bench.send(&[0x83, 0, 0x19, 0x00]);
    bench.pass(Duration::from_millis(95));
    assert_eq!(bench.irq(), 0);
    bench.pass(Duration::from_millis(5));
    assert_eq!(bench.irq(), irq::TIMEOUT);
    assert_eq!(bench.mode(), 2);
}

/// Table 13-21: what the amplifier gives out for its configuration and setting.
#[test]
fn output_power_of_table_13_21() {
    for (amplifier, setting, dbm) in [
        ([4, 7, 0], 22, 22),
        ([3, 5, 0], 22, 20),
        ([2, 3, 0], 22, 17),
        ([2, 2, 0], 22, 14),
        ([6, 0, 1], 14, 15),
        ([4, 0, 1], 14, 14),
        ([1, 0, 1], 13, 10),
        // The driver's setting for 5 dBm: 8 more than asked for.
        ([2, 2, 0], 13, 5),
    ] {
        let mut bench = Bench::new();
        let [duty, max, device] = amplifier;
        bench.send(&[0x95, duty, max, device, 1]);
        bench.send(&[0x8E, setting, 4]);
        assert_eq!(bench.core.output_dbm(), Some(dbm), "{amplifier:?}");
    }
}

/// Table 13-75: received, CRC errors, header errors; `ResetStats` clears them.
#[test]
fn statistics_count_and_are_cleared() {
    let mut bench = Bench::listening(CONTINUOUS);
    bench.core.faults.corrupt_payloads = 1;
    for _ in 0..2 {
        let airtime = bench.arrive(&[1; 24]);
        bench.pass(airtime);
    }
    bench.core.faults.corrupt_headers = 1;
    let airtime = bench.arrive(&[1; 24]);
    bench.pass(airtime);
    assert_eq!(bench.irq() & irq::HEADER_ERROR, irq::HEADER_ERROR);
    assert_eq!(bench.send(&[0x10, 0, 0, 0, 0, 0, 0, 0])[2..], [0, 2, 0, 1, 0, 1]);
    bench.send(&[0x00, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.send(&[0x10, 0, 0, 0, 0, 0, 0, 0])[2..], [0; 6]);
}

/// Section 13.3.6 and table 13-86: without its TCXO the oscillator does not
/// start; the error stays until it is cleared.
#[test]
fn a_board_with_a_tcxo_works_only_if_the_chip_is_told() {
    let mut bench = Bench::listening(CONTINUOUS);
    bench.send(&[0x80, 0]);
    bench.core.faults.needs_tcxo = true;
    bench.send(&[0x82, 0xFF, 0xFF, 0xFF]);
    assert_eq!(bench.mode(), 2, "it stays in STDBY_RC");
    assert_eq!(bench.send(&[0xC0, 0])[1] >> 1 & 7, 5);
    assert_eq!(bench.send(&[0x17, 0, 0, 0])[2..], [0x00, 0x20], "XOSC_START_ERR");
    bench.send(&[0x07, 0, 0]);
    assert_eq!(bench.send(&[0x17, 0, 0, 0])[2..], [0, 0]);
    bench.send(&[0x97, 2, 0, 2, 128]);
    bench.core.exchange(&[0x82, 0xFF, 0xFF, 0xFF], bench.now);
    bench.pass(Duration::from_millis(11));
    assert_eq!(bench.mode(), 5);
}

/// Section 13.4.7: after a detection the chip can go on to listen.
#[test]
fn activity_can_lead_to_reception() {
    let mut bench = Bench::listening(CONTINUOUS);
    bench.send(&[0x80, 0]);
    // Four symbols, then RX for 100 ms.
    bench.send(&[0x88, 2, 22, 10, 1, 0, 0x19, 0x00]);
    bench.arrive(&[1; 24]);
    bench.core.exchange(&[0xC5], bench.now);
    bench.pass(Duration::from_millis(6));
    assert_eq!(bench.irq() & irq::CAD_DETECTED, irq::CAD_DETECTED);
    assert_eq!(bench.mode(), 5);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.irq() & irq::TIMEOUT, irq::TIMEOUT);
}

/// The carrier's error is reported after each frame, with its sign.
#[test]
fn the_frequency_error_can_be_read() {
    for offset_hz in [0, 1_500, -1_500, 20_000, -20_000] {
        let mut bench = Bench::listening(CONTINUOUS);
        let airtime = bench.arrive_off(offset_hz, &[1; 24]);
        bench.pass(airtime);
        let read = bench.send(&[0x1D, 0x07, 0x6B, 0, 0, 0, 0]);
        let raw = u32::from_be_bytes([0, read[4], read[5], read[6]]);
        // 20 bits, two's complement.
        let value = f64::from((raw << 12) as i32 >> 12);
        let error_hz = 1.55 * value * 125_000.0 / 1_600_000.0;
        assert!((error_hz - f64::from(offset_hz)).abs() < 1.0, "{offset_hz}: {error_hz}");
    }
}

/// Noise over a frame's header, over its payload, over all of it; and in the
/// next channel.
#[test]
fn noise_spoils_what_it_covers() {
    let symbol = Duration::from_micros(1_024);
    let frame = symbol * 61;
    for (centre_hz, from, lasts, flags) in [
        (868_100_000, symbol * 13, symbol * 4, irq::PREAMBLE | irq::HEADER_ERROR),
        (
            868_100_000,
            symbol * 30,
            symbol * 4,
            irq::PREAMBLE | irq::HEADER | irq::RX_DONE | irq::CRC_ERROR,
        ),
        (868_100_000, symbol * 30, symbol / 2, irq::PREAMBLE | irq::HEADER | irq::RX_DONE),
        (868_100_000, Duration::ZERO, frame, 0),
        (868_300_000, Duration::ZERO, frame, irq::PREAMBLE | irq::HEADER | irq::RX_DONE),
    ] {
        let mut bench = Bench::listening(CONTINUOUS);
        let airtime = bench.arrive(&[1; 24]);
        bench.core.hear(Wave::Noise(Noise {
            band: Band { centre_hz, width_hz: 125_000 },
            started: bench.now + from,
            duration: lasts,
            rssi_dbm: -70,
        }));
        bench.pass(airtime);
        assert_eq!(bench.irq(), flags, "{from:?} {lasts:?}");
    }
}
