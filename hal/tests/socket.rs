//! A virtual radio on a thread of its own, joined to its ether by a socket, in
//! real time: what a daemon built with `sim` does.
#![cfg(feature = "sim")]

use pendant_hal::radio::account::Account;
use pendant_hal::radio::chip::{Board127, Bus, Sx127x};
use pendant_hal::radio::{self, RadioSettings};
use pendant_hal::sim::ether::{Air, Ether, Station};
use pendant_hal::sim::socket::{self, EtherServer};
use pendant_hal::sim::{sx1262, sx1276};
use pendant_hal::{LinkEvent, LinkFault, Transmission};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const DOWNLINK_HZ: u32 = 869_525_000;

fn settings() -> RadioSettings {
    RadioSettings {
        downlink_frequency_hz: DOWNLINK_HZ,
        spreading_factor: 7,
        private_network: false,
        ..RadioSettings::BENCH
    }
}

fn uplink() -> Air {
    Air {
        frequency_hz: settings().frequency_hz,
        shape: settings().shape(),
        iq_inverted: false,
        sync_word: 0x3444,
    }
}

async fn next(events: &mut mpsc::Receiver<(u8, LinkEvent)>) -> LinkEvent {
    loop {
        let event = timeout(Duration::from_secs(20), events.recv()).await;
        match event.expect("an event in time").expect("the link lives").1 {
            LinkEvent::Air(_) => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn a_radio_on_a_socket_hears_answers_and_survives_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ether");
    let (chip, faults) = sx1262::on_socket(&path, sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(64);
    let link = radio::spawn(settings(), chip, Account::default(), 1, sender);
    assert_eq!(next(&mut events).await, LinkEvent::Down(LinkFault::Missing(path.clone())));

    let server = EtherServer::bind(&path, Ether::default()).expect("a socket");
    assert_eq!(next(&mut events).await, LinkEvent::Up);
    let mut pendant = Station::new(socket::connect(&path).expect("the host is there"));
    let mut worst = Duration::ZERO;
    for ticket in 0..10 {
        let ended = pendant.send(uplink(), 14, &[0x40; 24]).await;
        let LinkEvent::Received(reception) = next(&mut events).await else {
            panic!("not heard");
        };
        assert_eq!(reception.bytes, [0x40; 24]);
        let skew = reception.ended.max(ended) - reception.ended.min(ended);
        assert!(skew < Duration::from_millis(50), "{skew:?}");
        let at = reception.ended + Duration::from_millis(200);
        let bytes = vec![0x61; 24];
        link.transmit.send(Transmission::native(ticket, at, bytes)).await.expect("the link lives");
        let heard = pendant.hear().await.expect("the host is there");
        assert_eq!(heard.arrival.bytes, [0x61; 24]);
        worst = worst.max(heard.started.max(at) - heard.started.min(at));
        assert!(matches!(next(&mut events).await, LinkEvent::Sent { .. }));
    }
    println!("furthest from its time: {worst:?}");
    assert!(worst < Duration::from_millis(50), "{worst:?}");

    drop(server);
    assert!(matches!(next(&mut events).await, LinkEvent::Down(_)));
    assert_eq!(pendant.hear().await, None);
    let _server = EtherServer::bind(&path, Ether::default()).expect("a socket");
    loop {
        match next(&mut events).await {
            LinkEvent::Up => break,
            LinkEvent::Down(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(faults.violations(), Vec::<String>::new());
    link.stop().await;
}

/// A bus whose driver panics when it is opened for the first time.
struct PanicsOnce {
    bus: sx1276::Sx1276,
    opened: bool,
}

impl Bus for PanicsOnce {
    type Spi = <sx1276::Sx1276 as Bus>::Spi;
    type Lines = <sx1276::Sx1276 as Bus>::Lines;

    fn open(&mut self) -> Result<(Self::Spi, Self::Lines), LinkFault> {
        assert!(std::mem::replace(&mut self.opened, true), "planted");
        self.bus.open()
    }
}

#[tokio::test]
async fn a_panic_in_a_driver_is_a_fault_and_the_radio_is_begun_anew() {
    let ether = Ether::default();
    let (bus, _faults) = sx1276::in_ether(&ether);
    let board = Board127 { pa_boost: true, tcxo: false, receive_boost: false };
    let chip = Sx127x::new(PanicsOnce { bus, opened: false }, board);
    let (sender, mut events) = mpsc::channel(64);
    let link = radio::spawn(settings(), chip, Account::default(), 1, sender);
    assert_eq!(next(&mut events).await, LinkEvent::Down(LinkFault::Crashed));
    assert_eq!(next(&mut events).await, LinkEvent::Up);
    Station::new(ether.port()).send(uplink(), 14, &[0x40; 24]).await;
    let LinkEvent::Received(reception) = next(&mut events).await else { panic!("not heard") };
    assert_eq!(reception.bytes, [0x40; 24]);
    link.stop().await;
}

#[tokio::test]
async fn a_stopped_radio_lets_its_thread_end() {
    let (chip, _) = sx1262::in_ether(&Ether::default(), sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(4);
    let link = radio::spawn(settings(), chip, Account::default(), 1, sender);
    assert_eq!(next(&mut events).await, LinkEvent::Up);
    let begun = Instant::now();
    link.stop().await;
    assert_eq!(events.recv().await, None);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
