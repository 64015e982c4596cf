//! The concentrator's link against a simulated packet forwarder, over real UDP.
#![cfg(feature = "sim")]

use pendant_hal::concentrator::{self, ConcentratorSettings, Eui};
use pendant_hal::radio::account::{Account, Ledgers};
use pendant_hal::region::{Carrier, Region};
use pendant_hal::sim::ether::Air;
use pendant_hal::sim::forwarder::{Downlink, Forwarder};
use pendant_hal::{
    Later, LinkCount, LinkEvent, LinkFault, LinkHandle, Reception, SendFault, Signal, Transmission,
    Wave,
};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const EUI: Eui = Eui([0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1]);
const SOON: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

const HEARD: Signal = Signal {
    rssi_dbm: Some(-101),
    snr_quarter_db: Some(-30),
    frequency_hz: Some(868_300_000),
    spreading_factor: Some(9),
    bandwidth_hz: Some(125_000),
    frequency_error_hz: None,
};

fn settings(listen: SocketAddr) -> ConcentratorSettings {
    ConcentratorSettings {
        listen,
        eui: EUI,
        downlink_frequency_hz: 869_525_000,
        bandwidth_hz: 125_000,
        coding_rate_denominator: 5,
        spreading_factor: 10,
        power_dbm: 14,
    }
}

struct Rig {
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    address: SocketAddr,
}

/// An address of this machine that no other rig has: a port that is free for a moment may
/// be another's in the next.
fn own_address() -> Ipv4Addr {
    static RIGS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, RIGS.fetch_add(1, Ordering::Relaxed))
}

impl Rig {
    fn new(account: Account) -> Self {
        Self::answering_on(869_525_000, account)
    }

    fn answering_on(downlink_frequency_hz: u32, account: Account) -> Self {
        let address = UdpSocket::bind((own_address(), 0)).expect("a port");
        let address = address.local_addr().expect("its address");
        let settings = ConcentratorSettings { downlink_frequency_hz, ..settings(address) };
        let (sender, events) = mpsc::channel(256);
        let link = concentrator::spawn(settings, account, 3, sender);
        Self { link, events, address }
    }

    /// A rig whose forwarder has called.
    async fn up() -> (Self, Forwarder) {
        let mut rig = Self::new(Account::default());
        let forwarder = rig.forwarder(EUI, 4_294_000_000).await;
        assert_eq!(rig.next().await, LinkEvent::Up);
        (rig, forwarder)
    }

    async fn forwarder(&mut self, eui: Eui, counter: u32) -> Forwarder {
        let mut forwarder = Forwarder::start(self.address, eui, counter).await.expect("a port");
        // The link's port is bound in its own task: a call may come before that.
        while forwarder.pull().await.is_err() {
            assert_eq!(eui, EUI, "nobody answers a stranger");
        }
        forwarder
    }

    async fn next(&mut self) -> LinkEvent {
        let event = timeout(SOON, self.events.recv()).await.expect("an event in time");
        let (tag, event) = event.expect("the link runs");
        assert_eq!(tag, 3);
        event
    }

    async fn heard(&mut self) -> Reception {
        match self.next().await {
            LinkEvent::Received(reception) => reception,
            event => panic!("{event:?}"),
        }
    }

    async fn send_in(&self, wave: Wave, at: Instant, or: Option<Later>) {
        let transmission = Transmission { wave, or, ..Transmission::native(1, at, vec![0x60; 17]) };
        self.link.transmit.send(transmission).await.expect("the link runs");
    }

    async fn send(&self, ticket: u64, at: Instant, or_at: Option<Instant>) {
        let or = or_at.map(|at| Later { at, wave: Wave::Native });
        let transmission = Transmission { or, ..Transmission::native(ticket, at, vec![0x61; 24]) };
        self.link.transmit.send(transmission).await.expect("the link runs");
    }
}

#[tokio::test]
async fn an_answer_leaves_a_second_after_its_frame_to_the_microsecond_across_the_wrap() {
    let (mut rig, mut forwarder) = Rig::up().await;
    let before = Instant::now();
    let stamp = forwarder.counter(before);
    forwarder.push(stamp, &HEARD, b"a frame").await.expect("acknowledged");
    let heard = rig.heard().await;
    assert_eq!((heard.bytes.as_slice(), heard.signal), (&b"a frame"[..], HEARD));
    assert!(heard.ended >= before && heard.ended <= Instant::now());
    rig.send(7, heard.ended + SECOND, None).await;
    let downlink = forwarder.next_downlink().await.expect("a downlink").expect("not refused");
    assert_eq!(downlink.tmst_us, stamp.wrapping_add(1_000_000));
    assert!(downlink.tmst_us < stamp, "the counter wrapped");
    assert_eq!(downlink.bytes, [0x61; 24]);
    let txpk = &downlink.txpk;
    assert_eq!((&txpk["freq"], &txpk["powe"]), (&869.525.into(), &14.into()));
    assert_eq!((&txpk["datr"], &txpk["codr"]), (&"SF9BW125".into(), &"4/5".into()));
    assert_eq!((&txpk["ipol"], &txpk["imme"]), (&false.into(), &false.into()));
    assert_eq!(txpk["ncrc"], false);
    // It was asked for when it was known, not at the last moment.
    assert!(downlink.tmst_us.wrapping_sub(downlink.asked_us) > 300_000);
    assert_eq!(rig.next().await, LinkEvent::Sent { ticket: 7, at: heard.ended + SECOND });
}

#[tokio::test]
async fn what_is_too_late_or_collides_takes_its_second_chance() {
    for (error, second, expected) in [
        ("TOO_LATE", true, Ok(SECOND * 2)),
        ("COLLISION_PACKET", true, Ok(SECOND * 2)),
        ("TOO_LATE", false, Err(SendFault::Late)),
        ("TX_FREQ", true, Err(SendFault::Refused)),
    ] {
        let (mut rig, mut forwarder) = Rig::up().await;
        let stamp = forwarder.counter(Instant::now());
        forwarder.push(stamp, &HEARD, b"a frame").await.expect("acknowledged");
        let ended = rig.heard().await.ended;
        forwarder.refuse_next(error);
        rig.send(1, ended + SECOND, second.then_some(ended + SECOND * 2)).await;
        assert_eq!(forwarder.next_downlink().await.expect("asked"), None);
        let event = match expected {
            Ok(after) => {
                let downlink = forwarder.next_downlink().await.expect("asked").expect("taken");
                assert_eq!(downlink.tmst_us, stamp.wrapping_add(2_000_000));
                LinkEvent::Sent { ticket: 1, at: ended + after }
            }
            Err(fault) => LinkEvent::NotSent { ticket: 1, fault },
        };
        assert_eq!(rig.next().await, event, "{error}");
    }
}

/// The next downlink that is asked for; `None` of one that was refused.
async fn asked(forwarder: &mut Forwarder) -> Option<Downlink> {
    let asked = timeout(SOON, forwarder.next_downlink()).await;
    asked.expect("asked in time").expect("a downlink")
}

fn lorawan(frequency_hz: u32, spreading_factor: u8, bandwidth_hz: u32) -> (Wave, Air) {
    let wave = Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz };
    (wave, Air::lorawan_downlink(frequency_hz, spreading_factor, bandwidth_hz))
}

/// Windows of data and of joins, and the last that RxDelay can name.
#[tokio::test]
async fn an_answer_to_a_lorawan_pendant_leaves_in_its_window_as_the_pendant_listens() {
    let (mut rig, mut forwarder) = Rig::up().await;
    let waves = [
        lorawan(868_300_000, 9, 125_000),
        lorawan(869_525_000, 12, 125_000),
        lorawan(923_300_000, 8, 500_000),
    ];
    let windows_s = [1, 2, 5, 6, 16];
    for (n, (after_s, (wave, air))) in (0u8..).zip(windows_s.iter().zip(waves.iter().cycle())) {
        let stamp = forwarder.counter(Instant::now());
        forwarder.push(stamp, &HEARD, &[n; 23]).await.expect("acknowledged");
        let at = rig.heard().await.ended + SECOND * *after_s;
        rig.send_in(*wave, at, None).await;
        let downlink = asked(&mut forwarder).await.expect("not refused");
        assert_eq!(downlink.tmst_us, stamp.wrapping_add(after_s * 1_000_000));
        assert_eq!(downlink.air(), Some(*air));
        let txpk = &downlink.txpk;
        assert_eq!((&txpk["ipol"], &txpk["ncrc"]), (&true.into(), &true.into()));
        assert_eq!((&txpk["codr"], &txpk["prea"]), (&"4/5".into(), &8.into()));
        assert_eq!(downlink.bytes, [0x60; 17]);
        assert_eq!(rig.next().await, LinkEvent::Sent { ticket: 1, at });
    }
    // The wrap came in the first of these seconds.
    assert!(forwarder.counter(Instant::now()).wrapping_add(16_000_000) < 4_294_000_000);
}

#[tokio::test]
async fn the_second_window_is_asked_for_in_its_own_wave() {
    let (first, _) = lorawan(868_100_000, 9, 125_000);
    let (second, air) = lorawan(869_525_000, 12, 125_000);
    for error in ["TOO_LATE", "COLLISION_PACKET", "TX_FREQ"] {
        let (mut rig, mut forwarder) = Rig::up().await;
        let stamp = forwarder.counter(Instant::now());
        forwarder.push(stamp, &HEARD, b"a join").await.expect("acknowledged");
        let ended = rig.heard().await.ended;
        forwarder.refuse_next(error);
        let later = Later { at: ended + SECOND * 6, wave: second };
        rig.send_in(first, ended + SECOND * 5, Some(later)).await;
        assert_eq!(asked(&mut forwarder).await, None);
        let downlink = asked(&mut forwarder).await.expect("taken");
        assert_eq!(downlink.tmst_us, stamp.wrapping_add(6_000_000), "{error}");
        assert_eq!(downlink.air(), Some(air));
        assert_eq!(rig.next().await, LinkEvent::Sent { ticket: 1, at: later.at });
    }
}

/// The reference forwarder takes no two that overlap: the second frame of three that end
/// together is answered a second later, the third by nobody.
#[tokio::test]
async fn answers_that_overlap_take_their_second_chances() {
    let (mut rig, mut forwarder) = Rig::up().await;
    let stamp = forwarder.counter(Instant::now());
    let mut ended = Vec::new();
    for n in 0..3u8 {
        let stamp = stamp.wrapping_add(u32::from(n) * 1_000);
        forwarder.push(stamp, &HEARD, &[n; 24]).await.expect("acknowledged");
        ended.push(rig.heard().await.ended);
    }
    for (ticket, ended) in (0..).zip(&ended) {
        rig.send(ticket, *ended + SECOND, Some(*ended + SECOND * 2)).await;
    }
    let mut leave = Vec::new();
    for _ in 0..5 {
        let downlink = forwarder.next_downlink().await.expect("asked");
        leave.extend(downlink.map(|downlink| downlink.tmst_us.wrapping_sub(stamp)));
    }
    assert_eq!(leave, [1_000_000, 2_001_000]);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(rig.next().await);
    }
    assert!(told.contains(&LinkEvent::Sent { ticket: 0, at: ended[0] + SECOND }), "{told:?}");
    assert!(told.contains(&LinkEvent::Sent { ticket: 1, at: ended[1] + SECOND * 2 }));
    assert!(told.contains(&LinkEvent::NotSent { ticket: 2, fault: SendFault::Late }));
}

/// It says nothing: whether the answer leaves is not known, and is told as not sent.
#[tokio::test(start_paused = true)]
async fn a_downlink_of_which_nothing_is_said_is_given_up() {
    let (mut rig, mut forwarder) = Rig::up().await;
    forwarder.push(1_000_000, &HEARD, b"a frame").await.expect("acknowledged");
    let ended = rig.heard().await.ended;
    rig.send(1, ended + SECOND, Some(ended + SECOND * 2)).await;
    assert_eq!(rig.next().await, LinkEvent::NotSent { ticket: 1, fault: SendFault::Stalled });
}

#[tokio::test]
async fn what_answers_no_frame_or_comes_late_is_not_sent() {
    let (mut rig, mut forwarder) = Rig::up().await;
    rig.send(1, Instant::now() + SECOND, None).await;
    let refused = LinkEvent::NotSent { ticket: 1, fault: SendFault::Refused };
    assert_eq!(rig.next().await, refused);
    let long_ago = forwarder.counter(Instant::now()).wrapping_sub(1_500_000);
    forwarder.push(long_ago, &HEARD, b"old").await.expect("acknowledged");
    let ended = rig.heard().await.ended;
    // Its stamp is the first: how old it is cannot be known, and it is taken for new.
    assert!(ended.elapsed() < SECOND);
    let stamp = forwarder.counter(Instant::now());
    forwarder.push(stamp, &HEARD, b"new").await.expect("acknowledged");
    rig.heard().await;
    forwarder.push(long_ago.wrapping_add(60_000), &HEARD, b"older").await.expect("acknowledged");
    let ended = rig.heard().await.ended;
    assert!(ended.elapsed() > SECOND, "a stamp far behind tells that the frame is old");
    rig.send(2, ended + SECOND, None).await;
    assert_eq!(rig.next().await, LinkEvent::NotSent { ticket: 2, fault: SendFault::Late });
}

#[tokio::test]
async fn strangers_are_told_apart_from_silence_and_not_listened_to() {
    let mut rig = Rig::new(Account::default());
    let stranger = Eui([1; 8]);
    let mut other = Forwarder::start(rig.address, stranger, 0).await.expect("a port");
    assert!(other.pull().await.is_err(), "a stranger was answered");
    assert!(other.push(0, &HEARD, b"forged").await.is_err());
    assert_eq!(rig.next().await, LinkEvent::Down(LinkFault::StrangeForwarder { says: stranger }));
    let mut forwarder = rig.forwarder(EUI, 0).await;
    let mut strange = 0;
    loop {
        match rig.next().await {
            LinkEvent::Counted(LinkCount::StrangeForwarder(n)) => strange += n,
            LinkEvent::Up => break,
            event => panic!("{event:?}"),
        }
    }
    forwarder.push(0, &HEARD, b"own").await.expect("acknowledged");
    loop {
        match rig.next().await {
            LinkEvent::Counted(LinkCount::StrangeForwarder(n)) => strange += n,
            LinkEvent::Received(heard) => break assert_eq!(heard.bytes, b"own"),
            event => panic!("{event:?}"),
        }
    }
    assert!(strange >= 1);
}

/// A LoRaWAN answer leaves on the carrier that is told here.
#[tokio::test]
async fn of_a_frame_and_its_ghosts_the_frame_is_told() {
    let (mut rig, forwarder) = Rig::up().await;
    let copies = r#"{"rxpk":[{"tmst":40,"freq":868.3,"rssi":-101,"lsnr":-12.5,"data":"QUI="},
        {"tmst":41,"freq":868.1,"rssi":-30,"lsnr":9.8,"data":"QUI="},
        {"tmst":42,"freq":867.9,"data":"QUI="}]}"#;
    let head = [&[2, 0, 1, 0][..], &EUI.0].concat();
    forwarder.send_raw(&[&head[..], copies.as_bytes()].concat()).await.expect("sent");
    let LinkEvent::Received(reception) = rig.next().await else { panic!("a frame") };
    assert_eq!(reception.signal.frequency_hz, Some(868_100_000));
}

#[tokio::test]
async fn garbage_lies_and_ghosts_cost_nothing_but_a_count() {
    let (mut rig, mut forwarder) = Rig::up().await;
    let stamp = forwarder.counter(Instant::now());
    let lie = r#"{"rxpk":[{"tmst":1,"size":9,"data":"QUI="},{"tmst":2,"stat":-1,"data":"QUI="}]}"#;
    let head = [&[2, 0, 1, 0][..], &EUI.0].concat();
    for datagram in [&b""[..], &[2, 0, 0], &[0xFF; 1400], &[&head[..], lie.as_bytes()].concat()] {
        forwarder.send_raw(datagram).await.expect("sent");
    }
    forwarder.push(stamp, &HEARD, b"genuine").await.expect("acknowledged");
    // The same frame as the next channel's demodulator heard it.
    forwarder.push(stamp.wrapping_add(17), &HEARD, b"genuine").await.expect("acknowledged");
    forwarder.push(stamp.wrapping_add(1_000), &HEARD, b"another").await.expect("acknowledged");
    let (mut heard, mut bad, mut crc) = (Vec::new(), 0, 0);
    while heard.len() < 2 || bad < 3 || crc < 1 {
        match rig.next().await {
            LinkEvent::Received(reception) => heard.push(reception.bytes),
            LinkEvent::Counted(LinkCount::BadDatagram(n)) => bad += n,
            LinkEvent::Counted(LinkCount::PhyCrc(n)) => crc += n,
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(heard, [b"genuine", b"another"]);
    assert_eq!(crc, 1);
}

#[tokio::test]
async fn a_forwarder_that_restarts_elsewhere_gets_the_downlinks_there() {
    let (mut rig, first) = Rig::up().await;
    drop(first);
    let mut forwarder = rig.forwarder(EUI, 17).await;
    let stamp = forwarder.counter(Instant::now());
    forwarder.push(stamp, &HEARD, b"a frame").await.expect("acknowledged");
    let ended = rig.heard().await.ended;
    rig.send(1, ended + SECOND, None).await;
    let downlink = forwarder.next_downlink().await.expect("a downlink").expect("not refused");
    assert_eq!(downlink.tmst_us, stamp.wrapping_add(1_000_000));
}

#[tokio::test]
async fn the_law_of_the_air_holds_here_too() {
    let answers = Carrier { frequency_hz: 915_000_000, bandwidth_hz: 125_000 };
    let ledgers = Ledgers::new(Instant::now());
    let account = Account::new(Region::Us915, 2, answers, &ledgers);
    let mut rig = Rig::answering_on(answers.frequency_hz, account);
    let mut forwarder = rig.forwarder(EUI, 0).await;
    assert_eq!(rig.next().await, LinkEvent::Up);
    let slow = Signal { spreading_factor: Some(12), ..HEARD };
    forwarder.push(1_000_000, &slow, b"a frame").await.expect("acknowledged");
    let ended = rig.heard().await.ended;
    rig.send(1, ended + SECOND, None).await;
    assert_eq!(rig.next().await, LinkEvent::NotSent { ticket: 1, fault: SendFault::Dwell });
}

/// A carrier outside of all bands, and one whose power is less than the antenna allows.
#[tokio::test]
async fn the_region_s_carriers_and_powers_hold_for_each_wave() {
    let answers = Carrier { frequency_hz: 866_000_000, bandwidth_hz: 125_000 };
    let ledgers = Ledgers::new(Instant::now());
    // India limits no airtime; 17 dBi leave 13 dBm of its 30.
    let mut rig = Rig::new(Account::new(Region::In865, 17, answers, &ledgers));
    let mut forwarder = rig.forwarder(EUI, 0).await;
    assert_eq!(rig.next().await, LinkEvent::Up);
    forwarder.push(1_000_000, &HEARD, b"a frame").await.expect("acknowledged");
    let at = rig.heard().await.ended + SECOND;
    let (inside, _) = lorawan(866_550_000, 10, 125_000);
    let (outside, _) = lorawan(868_100_000, 9, 125_000);
    let (impossible, _) = lorawan(866_550_000, 13, 125_000);
    for (wave, fault) in [(outside, SendFault::Carrier), (impossible, SendFault::Wave)] {
        rig.send_in(wave, at, None).await;
        assert_eq!(rig.next().await, LinkEvent::NotSent { ticket: 1, fault });
    }
    let later = Later { at: at + SECOND, wave: inside };
    rig.send_in(outside, at, Some(later)).await;
    let downlink = asked(&mut forwarder).await.expect("taken");
    assert_eq!((&downlink.txpk["freq"], &downlink.txpk["powe"]), (&866.55.into(), &13.into()));
    assert_eq!(rig.next().await, LinkEvent::Sent { ticket: 1, at: later.at });
}

#[tokio::test(start_paused = true)]
async fn a_forwarder_that_never_calls_is_told_with_what_to_do() {
    let mut rig = Rig::new(Account::default());
    let (_, event) = rig.events.recv().await.expect("the link runs");
    assert_eq!(event, LinkEvent::Down(LinkFault::NoForwarder(rig.address)));
    let LinkEvent::Down(fault) = event else { unreachable!() };
    assert!(fault.to_string().contains(&format!("serv_port_down to {}", rig.address.port())));
}

#[tokio::test(start_paused = true)]
async fn one_that_calls_no_more_is_told_and_so_is_its_return() {
    let (mut rig, mut forwarder) = Rig::up().await;
    let (_, event) = rig.events.recv().await.expect("the link runs");
    assert_eq!(event, LinkEvent::Down(LinkFault::ForwarderSilent));
    rig.send(1, Instant::now() + SECOND, None).await;
    let down = LinkEvent::NotSent { ticket: 1, fault: SendFault::Down };
    assert_eq!(rig.next().await, down);
    // However long it stays away, it is not one that was never set up.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(rig.events.try_recv().is_err(), "another reason for the same outage");
    forwarder.pull().await.expect("acknowledged");
    assert_eq!(rig.next().await, LinkEvent::Up);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_had_when_it_is_free() {
    let squatter = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let listen = squatter.local_addr().expect("its address");
    let settings = settings(listen);
    let probed = concentrator::probe(&settings).await;
    assert!(matches!(probed, Err(LinkFault::Port { address, .. }) if address == listen));
    let (sender, events) = mpsc::channel(256);
    let link = concentrator::spawn(settings, Account::default(), 3, sender);
    let mut rig = Rig { link, events, address: listen };
    let event = rig.next().await;
    assert!(matches!(event, LinkEvent::Down(LinkFault::Port { .. })), "{event:?}");
    drop(squatter);
    let _forwarder = rig.forwarder(EUI, 0).await;
    assert_eq!(rig.next().await, LinkEvent::Up);
    rig.link.stop().await;
}
