//! Answers to LoRaWAN pendants: what leaves the antenna of a radio on the virtual chips,
//! in paused time. What a packet forwarder is asked for is in `concentrator.rs`.
#![cfg(feature = "sim")]

use pendant_hal::radio::RadioSettings;
use pendant_hal::radio::account::{Account, Ledgers};
use pendant_hal::radio::chip::{Board127, Sx127x};
use pendant_hal::region::{Carrier, Region};
use pendant_hal::sim::ether::{Air, Ether, Handset, HandsetSettings, Heard, Station};
use pendant_hal::sim::{spawn_radio_under, spawn_sx1276, sx1262, sx1276};
use pendant_hal::{Later, LinkEvent, LinkHandle, Reception, SendFault, Transmission, Wave};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// On one of LoRaWAN's channels, and answering native pendants on another.
const SETTINGS: RadioSettings = RadioSettings {
    downlink_frequency_hz: 869_525_000,
    private_network: false,
    ..RadioSettings::BENCH
};

/// The first window: as the uplink.
const RX1: Wave =
    Wave::LoRaWan { frequency_hz: 868_100_000, spreading_factor: 9, bandwidth_hz: 125_000 };
/// The second window in Europe.
const RX2: Wave =
    Wave::LoRaWan { frequency_hz: 869_525_000, spreading_factor: 12, bandwidth_hz: 125_000 };

fn air_of(wave: Wave) -> Air {
    let Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz } = wave else {
        panic!("{wave:?}")
    };
    Air::lorawan_downlink(frequency_hz, spreading_factor, bandwidth_hz)
}

/// An account in Europe whose radio has an antenna of 2 dBi.
fn europe() -> Account {
    let answers = Carrier { frequency_hz: 869_525_000, bandwidth_hz: 125_000 };
    Account::new(Region::Eu868, 2, answers, &Ledgers::new(Instant::now()))
}

struct Bench {
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    ether: Ether,
    pendant: Station,
}

impl Bench {
    async fn of(settings: RadioSettings, account: Account) -> (Self, sx1262::Faults) {
        let ether = Ether::default();
        let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
        let (sender, events) = mpsc::channel(64);
        let link = spawn_radio_under(settings, chip, account, 0, sender);
        (Self::up(link, events, ether).await, faults)
    }

    async fn of_sx1276() -> (Self, sx1276::Faults) {
        let board = Board127 { pa_boost: true, tcxo: false, receive_boost: true };
        let ether = Ether::default();
        let (chip, faults) = sx1276::in_ether(&ether);
        let (sender, events) = mpsc::channel(64);
        let link = spawn_sx1276(SETTINGS, Sx127x::new(chip, board), 0, sender);
        (Self::up(link, events, ether).await, faults)
    }

    async fn up(link: LinkHandle, events: mpsc::Receiver<(u8, LinkEvent)>, ether: Ether) -> Self {
        let pendant = Station::new(ether.port());
        let mut bench = Self { link, events, ether, pendant };
        assert_eq!(bench.event().await, LinkEvent::Up);
        bench
    }

    async fn event(&mut self) -> LinkEvent {
        loop {
            let event = timeout(100 * SECOND, self.events.recv()).await;
            match event.expect("an event in time").expect("the link lives").1 {
                LinkEvent::Air(_) => {}
                event => return event,
            }
        }
    }

    async fn send(&self, transmission: Transmission) {
        self.link.transmit.send(transmission).await.expect("the link lives");
    }

    /// What leaves is heard, and told as sent.
    async fn sent(&mut self, transmission: Transmission) -> Heard {
        let ticket = transmission.ticket;
        self.send(transmission).await;
        let heard = timeout(100 * SECOND, self.pendant.hear()).await.expect("it leaves in time");
        let event = self.event().await;
        assert!(matches!(event, LinkEvent::Sent { ticket: t, .. } if t == ticket), "{event:?}");
        heard.expect("the ether is there")
    }

    async fn refused(&mut self, transmission: Transmission) -> SendFault {
        self.send(transmission).await;
        match self.event().await {
            LinkEvent::NotSent { fault, .. } => fault,
            event => panic!("{event:?}"),
        }
    }

    /// Uplinks of a LoRaWAN pendant and of a native one are the same to a radio of a
    /// public network.
    async fn hears(&mut self) -> Reception {
        self.pendant.send(Air::of(&SETTINGS), 14, &[0x40; 24]).await;
        match self.event().await {
            LinkEvent::Received(reception) => reception,
            event => panic!("{event:?}"),
        }
    }
}

fn answer(wave: Wave, at: Instant) -> Transmission {
    Transmission { wave, ..Transmission::native(1, at, vec![0x60; 24]) }
}

fn off(one: Instant, other: Instant) -> Duration {
    one.max(other) - one.min(other)
}

#[tokio::test(start_paused = true)]
async fn each_answer_leaves_in_its_own_wave_and_listening_goes_on() {
    let (mut bench, faults) = Bench::of(SETTINGS, Account::default()).await;
    let wide =
        Wave::LoRaWan { frequency_hz: 867_500_000, spreading_factor: 8, bandwidth_hz: 500_000 };
    for wave in [RX1, RX2, wide] {
        let at = bench.hears().await.ended + SECOND;
        let heard = bench.sent(answer(wave, at)).await;
        assert_eq!(heard.arrival.air, air_of(wave));
        assert_eq!(heard.arrival.bytes, [0x60; 24]);
        assert!(off(heard.started, at) <= Duration::from_millis(2), "{:?}", off(heard.started, at));
        // A native one after it, as the link is set.
        let at = bench.hears().await.ended + SECOND;
        let heard = bench.sent(answer(Wave::Native, at)).await;
        let native = Air { frequency_hz: 869_525_000, ..Air::of(&SETTINGS) };
        assert_eq!(heard.arrival.air, native);
        assert!(native.shape.payload_crc && !native.iq_inverted);
    }
    bench.hears().await;
    assert_eq!(faults.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_other_family_of_chips_sends_the_same() {
    let (mut bench, faults) = Bench::of_sx1276().await;
    for wave in [RX1, RX2] {
        let at = bench.hears().await.ended + SECOND;
        let heard = bench.sent(answer(wave, at)).await;
        // Its synthesiser has steps of 61 Hz.
        let expected = air_of(wave);
        assert!(heard.arrival.air.frequency_hz.abs_diff(expected.frequency_hz) <= 61);
        let frequency_hz = expected.frequency_hz;
        assert_eq!(Air { frequency_hz, ..heard.arrival.air }, expected);
        assert!(off(heard.started, at) <= Duration::from_millis(2), "{:?}", off(heard.started, at));
    }
    // Its driver gets the low data rate optimisation wrong there.
    let wave =
        Wave::LoRaWan { frequency_hz: 868_100_000, spreading_factor: 11, bandwidth_hz: 125_000 };
    assert_eq!(bench.refused(answer(wave, Instant::now() + SECOND)).await, SendFault::Wave);
    bench.hears().await;
    assert_eq!(faults.violations(), Vec::<String>::new());
}

/// Both listen on the carrier and with the spreading of the answer.
#[tokio::test(start_paused = true)]
async fn a_pendant_that_listens_inverted_hears_it_and_one_that_does_not_does_not() {
    for inverted in [true, false] {
        let (mut bench, _) = Bench::of(SETTINGS, Account::default()).await;
        let downlink = Air { iq_inverted: inverted, ..air_of(RX1) };
        let uplink = Air::of(&SETTINGS);
        let settings =
            HandsetSettings { uplink, downlink, power_dbm: 14, offset_hz: 0, listens: None };
        let mut handset = Handset::new(bench.ether.port(), settings);
        let ended = handset.send(&[0x40; 24]).await;
        bench.send(answer(RX1, ended + SECOND)).await;
        let heard = timeout(2 * SECOND, handset.hear()).await.ok().flatten();
        assert_eq!(heard.map(|(bytes, _)| bytes), inverted.then(|| vec![0x60; 24]));
        assert!(matches!(bench.event().await, LinkEvent::Received(_)));
        assert!(matches!(bench.event().await, LinkEvent::Sent { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_window_is_taken_while_a_frame_is_coming_in() {
    let (mut bench, _) = Bench::of(SETTINGS, Account::default()).await;
    let airtime = SETTINGS.shape().frame(24);
    let at = Instant::now() + airtime - Duration::from_millis(40);
    let later = Later { at: at + SECOND, wave: RX2 };
    bench.send(Transmission { or: Some(later), ..answer(RX1, at) }).await;
    bench.hears().await;
    let heard = bench.pendant.hear().await.expect("the ether is there");
    assert_eq!(heard.arrival.air, air_of(RX2));
    assert!(off(heard.started, later.at) <= Duration::from_millis(2));
    assert!(matches!(bench.event().await, LinkEvent::Sent { .. }));
}

/// After 15 s the first window's band, of 1 %, has earned 150 ms, and the second's, of
/// 10 %, 1500 ms.
#[tokio::test(start_paused = true)]
async fn the_second_window_is_taken_where_the_first_is_refused() {
    let (mut bench, _) = Bench::of(SETTINGS, europe()).await;
    sleep(15 * SECOND).await;
    let at = Instant::now() + SECOND / 2;
    assert_eq!(bench.refused(answer(RX1, at)).await, SendFault::Airtime);
    let at = Instant::now() + SECOND / 2;
    let later = Later { at: at + SECOND, wave: RX2 };
    let heard = bench.sent(Transmission { or: Some(later), ..answer(RX1, at) }).await;
    assert_eq!(heard.arrival.air, air_of(RX2));
    assert!(off(heard.started, later.at) <= Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn the_region_s_carriers_and_powers_hold_for_each_wave() {
    let settings = RadioSettings { power_dbm: 20, ..SETTINGS };
    let (mut bench, _) = Bench::of(settings, europe()).await;
    sleep(3600 * SECOND).await;
    // The virtual air takes 110 dB; 16 and 29 dBm EIRP are allowed, with 2 dBi.
    for (wave, rssi_dbm) in [(RX1, 14 - 110), (RX2, 20 - 110)] {
        let heard = bench.sent(answer(wave, Instant::now() + SECOND)).await;
        assert_eq!(heard.arrival.rssi_dbm, rssi_dbm, "{wave:?}");
    }
    for frequency_hz in [869_300_000, 915_000_000] {
        let wave = Wave::LoRaWan { frequency_hz, spreading_factor: 9, bandwidth_hz: 125_000 };
        let fault = bench.refused(answer(wave, Instant::now() + SECOND)).await;
        assert_eq!(fault, SendFault::Carrier, "{frequency_hz}");
    }
    bench.hears().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_wave_or_not_the_radio_s_is_refused_and_never_sent_otherwise() {
    let private = RadioSettings { private_network: true, ..SETTINGS };
    let odd = |spreading_factor, bandwidth_hz| Wave::LoRaWan {
        frequency_hz: 868_100_000,
        spreading_factor,
        bandwidth_hz,
    };
    for (settings, wave) in [
        (private, RX1),
        (SETTINGS, odd(6, 125_000)),
        (SETTINGS, odd(13, 125_000)),
        (SETTINGS, odd(9, 62_500)),
        (
            SETTINGS,
            Wave::LoRaWan {
                frequency_hz: 2_400_000_000,
                spreading_factor: 9,
                bandwidth_hz: 125_000,
            },
        ),
    ] {
        let (mut bench, faults) = Bench::of(settings, Account::default()).await;
        let fault = bench.refused(answer(wave, Instant::now() + SECOND)).await;
        assert_eq!(fault, SendFault::Wave, "{wave:?}");
        // The next that leaves is the native one.
        let at = Instant::now() + 2 * SECOND;
        let heard = bench.sent(answer(Wave::Native, at)).await;
        assert!(!heard.arrival.air.iq_inverted);
        assert_eq!(faults.violations(), Vec::<String>::new());
    }
}
