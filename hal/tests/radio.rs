//! The radio link: lora-phy's driver on the virtual chip, in paused time.
#![cfg(feature = "sim")]

use pendant_hal::radio::RadioSettings;
use pendant_hal::sim::ether::{Air, Ether, Station};
use pendant_hal::sim::{spawn_radio, sx1262};
use pendant_hal::{
    LinkCount, LinkEvent, LinkFault, LinkHandle, Reception, SendFault, Transmission,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const TAG: u8 = 5;
const PRIVATE: u16 = 0x1424;

fn settings() -> RadioSettings {
    RadioSettings {
        frequency_hz: 868_100_000,
        spreading_factor: 10,
        bandwidth_hz: 125_000,
        coding_rate_denominator: 5,
        power_dbm: 14,
        preamble_symbols: 8,
        private_network: true,
    }
}

fn uplink() -> Air {
    Air {
        frequency_hz: settings().frequency_hz,
        shape: settings().shape(),
        iq_inverted: false,
        sync_word: PRIVATE,
    }
}

/// A radio that is up, somebody to talk to it, and the means to break it.
struct Bench {
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    pendant: Station,
    faults: sx1262::Faults,
}

impl Bench {
    async fn up() -> Self {
        Self::with(sx1262::BOARD).await
    }

    async fn with(board: pendant_hal::radio::chip::Board) -> Self {
        let ether = Ether::default();
        let (chip, faults) = sx1262::in_ether(&ether, board);
        let (sender, events) = mpsc::channel(64);
        let link = spawn_radio(settings(), chip, TAG, sender);
        let mut bench = Self { link, events, pendant: Station::new(ether.port()), faults };
        assert_eq!(bench.event().await, LinkEvent::Up);
        bench
    }

    async fn event(&mut self) -> LinkEvent {
        let (tag, event) = timeout(Duration::from_secs(60), self.events.recv())
            .await
            .expect("an event within a minute")
            .expect("the link lives");
        assert_eq!(tag, TAG);
        event
    }

    async fn received(&mut self) -> Reception {
        match self.event().await {
            LinkEvent::Received(reception) => reception,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&self, ticket: u64, at: Instant, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.link.transmit.send(Transmission { ticket, at, bytes }).await.expect("the link lives");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_heard_with_its_time_and_signal() {
    let mut bench = Bench::up().await;
    for n in 0..5 {
        let ended = bench.pendant.send(uplink(), 14, &[0x40 + n; 24]).await;
        let reception = bench.received().await;
        assert_eq!(reception.bytes, [0x40 + n; 24]);
        assert!(reception.ended.duration_since(ended) < Duration::from_millis(1));
        assert_eq!(reception.signal.rssi_dbm, Some(-96));
        assert_eq!(reception.signal.snr_quarter_db, Some(21 * 4));
        assert_eq!(reception.signal.frequency_hz, Some(868_100_000));
        assert_eq!(reception.signal.spreading_factor, Some(10));
    }
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_at_its_time_and_listening_goes_on() {
    for tcxo in [None, Some(pendant_hal::radio::chip::TcxoCtrlVoltage::Ctrl1V8)] {
        let mut bench =
            Bench::with(pendant_hal::radio::chip::Board { tcxo, ..sx1262::BOARD }).await;
        for ticket in 0..20 {
            let ended = bench.pendant.send(uplink(), 14, &[0x40; 24]).await;
            bench.received().await;
            let at = ended + Duration::from_micros(1_000_000 + 137 * ticket);
            bench.send(ticket, at, &[0x61; 24]).await;
            let heard = bench.pendant.hear().await.expect("the ether is there");
            assert_eq!(heard.arrival.bytes, [0x61; 24]);
            assert!(heard.arrival.air.iq_inverted);
            let early = at.saturating_duration_since(heard.started);
            let late = heard.started.saturating_duration_since(at);
            assert!(early.max(late) <= Duration::from_millis(2), "{early:?} {late:?}");
            let LinkEvent::Sent { ticket: sent, at: told } = bench.event().await else {
                panic!("not sent");
            };
            assert_eq!(sent, ticket);
            let told_wrong = told.max(heard.started) - told.min(heard.started);
            assert!(told_wrong <= Duration::from_millis(1), "{told_wrong:?}");
        }
        assert_eq!(bench.faults.violations(), Vec::<String>::new());
    }
}
