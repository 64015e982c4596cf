//! The same link on the other family of chips: lora-phy's driver on the virtual
//! SX1276, in paused time. What does not depend on the chip is in `radio.rs`.
#![cfg(feature = "sim")]

use pendant_hal::radio::RadioSettings;
use pendant_hal::radio::chip::{Board127, Sx127x};
use pendant_hal::sim::ether::{Air, Ether, Station};
use pendant_hal::sim::{spawn_sx1276, sx1276};
use pendant_hal::{
    Later, LinkCount, LinkEvent, LinkFault, LinkHandle, Reception, SendFault, Transmission, Wave,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const RFM95: Board127 = Board127 { pa_boost: true, tcxo: false, receive_boost: true };
const DOWNLINK_HZ: u32 = 869_525_000;

fn settings(spreading_factor: u8) -> RadioSettings {
    RadioSettings { downlink_frequency_hz: DOWNLINK_HZ, spreading_factor, ..RadioSettings::BENCH }
}

fn uplink(spreading_factor: u8) -> Air {
    Air {
        frequency_hz: 868_100_000,
        shape: settings(spreading_factor).shape(),
        iq_inverted: false,
        sync_word: 0x1424,
    }
}

struct Bench {
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    pendant: Station,
    faults: sx1276::Faults,
    factor: u8,
}

impl Bench {
    /// A link on a chip that is broken so before it starts.
    fn broken(factor: u8, fault: impl FnOnce(&sx1276::Faults)) -> Self {
        let ether = Ether::default();
        let (chip, faults) = sx1276::in_ether(&ether);
        fault(&faults);
        let (sender, events) = mpsc::channel(64);
        let link = spawn_sx1276(settings(factor), Sx127x::new(chip, RFM95), 0, sender);
        Self { link, events, pendant: Station::new(ether.port()), faults, factor }
    }

    async fn up(factor: u8) -> Self {
        let mut bench = Self::broken(factor, |_| {});
        assert_eq!(bench.event().await, LinkEvent::Up);
        bench
    }

    async fn event(&mut self) -> LinkEvent {
        loop {
            let event = timeout(Duration::from_secs(100), self.events.recv()).await;
            match event.expect("an event in time").expect("the link lives").1 {
                LinkEvent::Air(_) => {}
                event => return event,
            }
        }
    }

    async fn pendant_sends(&self, bytes: &[u8]) -> Instant {
        self.pendant.send(uplink(self.factor), 14, bytes).await
    }

    async fn received(&mut self) -> Reception {
        loop {
            match self.event().await {
                LinkEvent::Received(reception) => return reception,
                LinkEvent::Counted(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_are_heard_with_time_and_signal_at_every_spreading_factor() {
    for factor in [7, 8, 9, 10, 12] {
        let mut bench = Bench::up(factor).await;
        for n in 0..20 {
            let ended = bench.pendant_sends(&[n; 24]).await;
            let reception = bench.received().await;
            assert_eq!(reception.bytes, [n; 24], "SF{factor}");
            assert!(reception.ended.duration_since(ended) < Duration::from_millis(1));
            let rssi_dbm = reception.signal.rssi_dbm.expect("told");
            assert!((-98..=-94).contains(&rssi_dbm), "{rssi_dbm}");
            assert!(reception.signal.snr_quarter_db.expect("told") > 0);
        }
        assert_eq!(bench.faults.violations(), Vec::<String>::new());
        bench.link.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_at_its_time_on_the_downlink_channel() {
    let mut bench = Bench::up(10).await;
    for ticket in 0..20 {
        let ended = bench.pendant_sends(&[0x40; 24]).await;
        bench.received().await;
        let at = ended + Duration::from_micros(1_000_000 + 137 * ticket);
        let answer = Transmission::native(ticket, at, vec![0x61; 24]);
        bench.link.transmit.send(answer).await.expect("the link lives");
        let heard = bench.pendant.hear().await.expect("the ether is there");
        assert_eq!(heard.arrival.bytes, [0x61; 24]);
        assert_eq!(heard.arrival.air.frequency_hz.abs_diff(DOWNLINK_HZ) / 100, 0);
        let off = heard.started.max(at) - heard.started.min(at);
        assert!(off <= Duration::from_millis(2), "{off:?}");
        assert!(matches!(bench.event().await, LinkEvent::Sent { .. }));
    }
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

/// Its line tells nothing of headers: it is asked before it answers.
#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_second_chance_while_a_frame_is_coming_in() {
    let mut bench = Bench::up(9).await;
    let airtime = settings(9).shape().frame(24);
    for (ahead_ms, defers) in [(40, true), (40, true), (170, false)] {
        // The preamble alone is no reason: the header may be another network's.
        let at = Instant::now() + airtime - Duration::from_millis(ahead_ms);
        let or_at = at + Duration::from_secs(1);
        let later = Later { at: or_at, wave: Wave::Native };
        let answer =
            Transmission { or: Some(later), ..Transmission::native(1, at, vec![0x61; 24]) };
        bench.link.transmit.send(answer).await.expect("the link lives");
        bench.pendant_sends(&[0x42; 24]).await;
        if defers {
            assert_eq!(bench.received().await.bytes, [0x42; 24]);
        }
        match bench.event().await {
            LinkEvent::Sent { ticket: 1, at: left } => {
                let expected = if defers { or_at } else { at };
                let off = left.max(expected) - left.min(expected);
                assert!(off <= Duration::from_millis(2), "{ahead_ms} ms ahead: {off:?}");
            }
            other => panic!("{other:?}"),
        }
        bench.pendant.hear().await.expect("the ether is there");
    }
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_frame_with_a_crc_error_is_counted_and_dropped() {
    let mut bench = Bench::up(9).await;
    bench.faults.corrupt_payloads(1);
    bench.pendant_sends(&[0x41; 24]).await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::PhyCrc(1)));
    bench.pendant_sends(&[0x42; 24]).await;
    assert_eq!(bench.received().await.bytes, [0x42; 24]);
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_told_by_its_name() {
    for byte in [0x00, 0xFF] {
        let mut bench = Bench::broken(9, |faults| faults.hold_miso(Some(byte)));
        assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::NoChip), "{byte:02x}");
        bench.faults.hold_miso(None);
        assert_eq!(bench.event().await, LinkEvent::Up);
    }
    // An SX1272.
    let mut bench = Bench::broken(9, |faults| faults.hold_miso(Some(0x22)));
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::WrongChip { says: 0x22 }));
    let mut bench = Bench::broken(9, |faults| faults.cut_interrupts(true));
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::IrqLine));
    let mut bench = Bench::up(9).await;
    bench.faults.brown_out();
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::ChipReset));
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.faults.hold_transmissions(true);
    let at = Instant::now() + Duration::from_millis(100);
    let answer = Transmission::native(1, at, vec![0x61; 24]);
    bench.link.transmit.send(answer).await.expect("the link lives");
    let fault = SendFault::Down;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::TransmitStuck));
}

#[tokio::test(start_paused = true)]
async fn what_chip_or_driver_cannot_do_is_refused() {
    for factor in [5, 6, 11] {
        let mut bench = Bench::broken(factor, |_| {});
        let told = bench.event().await;
        assert!(matches!(told, LinkEvent::Down(LinkFault::Settings(_))), "SF{factor}: {told:?}");
    }
}
