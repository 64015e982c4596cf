//! The chip by itself, held to the datasheet's tables rather than to the driver.

use super::core::{Core, irq};
use crate::airtime::Shape;
use crate::sim::ether::{Air, Arrival, Wave};
use crate::sim::wires::Machine;
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

/// A chip and a clock that the test moves.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Instant,
}

const FREQUENCY_HZ: u32 = 868_100_000;

impl Bench {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let mut bench = Self { core: Core::new(now), now };
        bench.pass(Duration::from_millis(4));
        bench
    }

    /// Set up to listen on 868.1 MHz, SF7, every interrupt on DIO1.
    pub(super) fn listening(timeout: [u8; 3]) -> Self {
        let mut bench = Self::new();
        bench.send(&[0x8A, 1]);
        bench.send(&[0x8B, 7, 4, 1, 0]);
        bench.send(&[0x8C, 0, 8, 0, 255, 1, 0]);
        // 868.1 MHz in steps of 32 MHz / 2^25, from the datasheet's formula.
        let steps = (u64::from(FREQUENCY_HZ) << 25) / 32_000_000;
        bench.send(&[&[0x86][..], &(steps as u32).to_be_bytes()].concat());
        bench.send(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
        bench.send(&[&[0x82][..], &timeout].concat());
        bench
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.advance(self.now);
    }

    pub(super) fn send(&mut self, mosi: &[u8]) -> Vec<u8> {
        let miso = self.core.exchange(mosi, self.now);
        // No switch takes longer (table 8-2).
        self.pass(Duration::from_millis(4));
        miso
    }

    pub(super) fn mode(&mut self) -> u8 {
        self.send(&[0xC0, 0])[1] >> 4 & 7
    }

    pub(super) fn irq(&mut self) -> u16 {
        let miso = self.send(&[0x12, 0, 0, 0]);
        u16::from_be_bytes([miso[2], miso[3]])
    }

    pub(super) fn arrive(&mut self, bytes: &[u8]) -> Duration {
        self.arrive_off(0, bytes)
    }

    pub(super) fn arrive_off(&mut self, offset_hz: i32, bytes: &[u8]) -> Duration {
        let shape = Shape {
            spreading_factor: 7,
            bandwidth_hz: 125_000,
            coding_rate_denominator: 5,
            preamble_symbols: 8,
            explicit_header: true,
            payload_crc: true,
        };
        self.core.hear(Wave::Frame(Arrival {
            air: Air { frequency_hz: FREQUENCY_HZ, shape, iq_inverted: false, sync_word: 0x1424 },
            started: self.now,
            rssi_dbm: -80,
            snr_quarter_db: 127,
            offset_hz,
            bytes: bytes.to_vec(),
        }));
        shape.frame(bytes.len() as u8)
    }
}

pub(super) const CONTINUOUS: [u8; 3] = [0xFF; 3];

#[test]
fn status_has_the_mode_of_table_13_76() {
    let mut bench = Bench::new();
    assert_eq!(bench.mode(), 2, "STDBY_RC after reset");
    bench.send(&[0x80, 1]);
    assert_eq!(bench.mode(), 3, "STDBY_XOSC");
    bench.send(&[0xC1]);
    assert_eq!(bench.mode(), 4, "FS");
    assert_eq!(Bench::listening(CONTINUOUS).mode(), 5, "RX");
}

#[test]
fn a_frame_raises_its_interrupts_in_order_and_they_stay() {
    let mut bench = Bench::listening(CONTINUOUS);
    let airtime = bench.arrive(&[1, 2, 3]);
    assert_eq!(bench.irq(), 0);
    bench.pass(Duration::from_millis(10));
    assert_eq!(bench.irq(), irq::PREAMBLE);
    bench.pass(airtime);
    let all = irq::PREAMBLE | irq::HEADER | irq::RX_DONE;
    assert_eq!(bench.irq(), all);
    assert!(bench.core.interrupt().is_some());
    // Cleared one by one; what is left keeps the line high.
    bench.send(&[0x02, 0, irq::PREAMBLE as u8]);
    assert_eq!(bench.irq(), irq::HEADER | irq::RX_DONE);
    assert!(bench.core.interrupt().is_some());
    bench.send(&[0x02, 0xFF, 0xFF]);
    assert_eq!(bench.irq(), 0);
    assert!(bench.core.interrupt().is_none());
}

#[test]
fn masked_interrupts_are_not_latched_and_unmapped_ones_not_on_the_line() {
    let mut bench = Bench::listening(CONTINUOUS);
    let (done, header) = (irq::RX_DONE as u8, irq::HEADER as u8);
    bench.send(&[0x08, 0, done | header, 0, done, 0, 0, 0, 0]);
    let airtime = bench.arrive(&[1; 24]);
    bench.pass(airtime - Duration::from_millis(8));
    assert_eq!(bench.irq(), irq::HEADER);
    assert!(bench.core.interrupt().is_none());
    bench.pass(airtime);
    assert_eq!(bench.irq(), irq::HEADER | irq::RX_DONE);
    assert!(bench.core.interrupt().is_some());
}

#[test]
fn payloads_follow_each_other_and_wrap_in_the_buffer() {
    let mut bench = Bench::listening(CONTINUOUS);
    for (bytes, start) in [(200u8, 0u8), (100, 200), (10, 44)] {
        let payload: Vec<u8> = (0..bytes).collect();
        let airtime = bench.arrive(&payload);
        bench.pass(airtime);
        let status = bench.send(&[0x13, 0, 0, 0]);
        assert_eq!(status[2..], [bytes, start]);
        let mut read = vec![0x1E, start, 0];
        read.resize(3 + payload.len(), 0);
        assert_eq!(bench.send(&read)[3..], payload);
    }
    let status = bench.send(&[0x14, 0, 0, 0, 0]);
    assert_eq!(
        status[2..],
        [160, 127, 160],
        "-80 dBm, and 31.75 dB are the most that the byte holds (section 13.5.3)"
    );
    let statistics = bench.send(&[0x10, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(statistics[2..], [0, 3, 0, 0, 0, 0]);
}

#[test]
fn single_reception_ends_in_standby_and_timeouts_are_told() {
    let mut bench = Bench::listening([0, 0, 0]);
    let airtime = bench.arrive(&[1]);
    bench.pass(airtime);
    assert_eq!(bench.mode(), 2);
    // 64 steps are a millisecond (section 13.1.4).
    let mut bench = Bench::listening([0, 0x19, 0x00]);
    bench.pass(Duration::from_millis(95));
    assert_eq!(bench.irq(), 0);
    bench.pass(Duration::from_millis(5));
    assert_eq!(bench.irq(), irq::TIMEOUT);
    assert_eq!(bench.mode(), 2);
}

#[test]
fn channel_activity_is_detected_while_it_lasts() {
    for active in [true, false] {
        let mut bench = Bench::listening(CONTINUOUS);
        if active {
            bench.arrive(&[0; 24]);
        }
        let rssi = bench.send(&[0x15, 0, 0])[2];
        assert_eq!(rssi, if active { 160 } else { 234 });
        bench.send(&[0x80, 0]);
        assert_eq!(bench.send(&[0x15, 0, 0])[2], 255, "nothing is measured in standby");
        bench.send(&[0x88, 2, 22, 10, 0, 0, 0, 0]);
        bench.send(&[0xC5]);
        bench.pass(Duration::from_millis(10));
        let detected = if active { irq::CAD_DETECTED } else { 0 };
        assert_eq!(bench.irq() & !irq::PREAMBLE, irq::CAD_DONE | detected);
    }
}

#[test]
fn what_the_chip_refuses_shows_in_the_status() {
    let refused = |mosi: &[u8]| {
        let mut bench = Bench::new();
        bench.send(mosi);
        let status = bench.send(&[0xC0, 0])[1] >> 1 & 7;
        assert_eq!(bench.core.violations.len(), 1, "{mosi:02x?}");
        status
    };
    assert_eq!(refused(&[0x83, 0, 0, 0]), 5, "SetTx before all is set");
    assert_eq!(refused(&[0x82, 0, 0, 0]), 5, "SetRx before all is set");
    assert_eq!(refused(&[0x8B, 7, 4, 1, 0]), 5, "modulation before packet type");
    assert_eq!(refused(&[0x42, 0]), 4, "no such command");
    assert_eq!(refused(&[0x86, 0]), 4, "too short");
    let mut bench = Bench::listening(CONTINUOUS);
    bench.send(&[0x8A, 1]);
    assert_eq!(bench.send(&[0xC0, 0])[1] >> 1 & 7, 5, "packet type outside STDBY_RC");
}

#[test]
fn busy_is_high_while_the_chip_switches() {
    let mut bench = Bench::new();
    let wakes = [(0x80, 1, 31), (0x80, 0, 0)];
    for (opcode, parameter, us) in wakes {
        bench.core.exchange(&[opcode, parameter], bench.now);
        let busy = Duration::from_micros(us);
        assert!(us == 0 || bench.core.is_busy(bench.now));
        bench.pass(busy);
        assert!(!bench.core.is_busy(bench.now));
    }
    // With a TCXO of 10 ms (640 steps) the oscillator is waited for first.
    bench.send(&[0x97, 2, 0, 2, 128]);
    bench.core.exchange(&[0x80, 1], bench.now);
    bench.pass(Duration::from_millis(10));
    assert!(bench.core.is_busy(bench.now));
    bench.core.exchange(&[0xC0, 0], bench.now);
    assert_eq!(bench.core.violations.len(), 1, "a transfer while BUSY was high");
    bench.pass(Duration::from_micros(31));
    assert!(!bench.core.is_busy(bench.now));
}

#[test]
fn sleep_forgets_unless_it_is_warm() {
    for (config, kept) in [(4, 0xAB), (0, 0x24)] {
        let mut bench = Bench::new();
        bench.send(&[0x0D, 0x07, 0x41, 0xAB]);
        bench.send(&[0x84, config]);
        assert!(bench.core.is_busy(bench.now), "BUSY is high asleep");
        bench.send(&[0xC0, 0]);
        assert_eq!(bench.send(&[0x1D, 0x07, 0x41, 0, 0])[4], kept);
    }
}

proptest! {
    #[test]
    fn no_transfer_panics(transfers in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..24), 0..60,
    )) {
        let mut bench = Bench::listening(CONTINUOUS);
        bench.arrive(&[7; 255]);
        for mosi in transfers {
            prop_assert_eq!(bench.send(&mosi).len(), mosi.len());
        }
    }
}
