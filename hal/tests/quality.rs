//! What a radio says of its channel and of each frame, on both virtual chips;
//! and that no answer of a chip brings the link down for good.
#![cfg(feature = "sim")]

use pendant_hal::radio::account::Account;
use pendant_hal::radio::chip::{Board127, Sx127x, sx126x_takes, sx127x_takes};
use pendant_hal::radio::{self, BANDWIDTHS_HZ, RadioSettings};
use pendant_hal::sim::ether::{Air, Antenna, Ether, Handset, HandsetSettings, Jamming, Station};
use pendant_hal::sim::waves::Band;
use pendant_hal::sim::{sx1262, sx1276};
use pendant_hal::{AirQuality, LinkEvent, LinkFault, Reception, Transmission};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const SETTINGS: RadioSettings = RadioSettings::BENCH;

const BOARD_127: Board127 = Board127 { pa_boost: true, tcxo: false, receive_boost: false };

const PATIENCE: Duration = Duration::from_secs(60);

fn air() -> Air {
    Air::of(&SETTINGS)
}

/// What the radio's task keeps.
struct Ends {
    events: mpsc::Sender<(u8, LinkEvent)>,
    taken: mpsc::Receiver<Transmission>,
}

/// A radio that is up.
struct Bench {
    transmissions: mpsc::Sender<Transmission>,
    events: mpsc::Receiver<(u8, LinkEvent)>,
}

impl Bench {
    /// On an SX1262. The driver's future can be sent to a task only where the
    /// chip's type is known.
    async fn up(settings: RadioSettings, chip: sx1262::Radio) -> Self {
        let (bench, ends) = Self::new();
        tokio::spawn(async move {
            radio::run(settings, chip, Account::default(), 0, ends.events, ends.taken).await;
        });
        bench.come_up().await
    }

    /// On an SX1276.
    async fn up_127(settings: RadioSettings, chip: sx1276::Sx1276) -> Self {
        let (bench, ends) = Self::new();
        let chip = Sx127x::new(chip, BOARD_127);
        tokio::spawn(async move {
            radio::run(settings, chip, Account::default(), 0, ends.events, ends.taken).await;
        });
        bench.come_up().await
    }

    fn new() -> (Self, Ends) {
        let (transmissions, taken) = mpsc::channel(8);
        let (sender, events) = mpsc::channel(4096);
        (Self { transmissions, events }, Ends { events: sender, taken })
    }

    async fn come_up(mut self) -> Self {
        assert_eq!(self.event().await, LinkEvent::Up);
        self
    }

    async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.events.recv()).await.expect("within a minute");
        event.expect("the link lives").1
    }

    async fn received(&mut self) -> Reception {
        loop {
            match self.event().await {
                LinkEvent::Received(reception) => return reception,
                LinkEvent::Counted(_) | LinkEvent::Air(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is told of the channel in a time.
    async fn channel(&mut self, time: Duration) -> Vec<AirQuality> {
        let until = Instant::now() + time;
        let mut told = Vec::new();
        while let Ok(event) = timeout_at(until, self.events.recv()).await {
            if let LinkEvent::Air(quality) = event.expect("the link lives").1 {
                told.push(quality);
            }
        }
        told
    }
}

#[tokio::test(start_paused = true)]
async fn every_frame_says_how_far_its_carrier_is_off() {
    for offset_hz in [0, 2_500, -2_500, 17_000] {
        let ether = Ether::default();
        let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
        let (other, _) = sx1276::in_ether(&ether);
        let mut sx1262 = Bench::up(SETTINGS, chip).await;
        let mut sx1276 = Bench::up_127(SETTINGS, other).await;
        let (uplink, downlink) = (air(), air());
        let settings =
            HandsetSettings { uplink, downlink, power_dbm: 14, offset_hz, listens: None };
        let mut pendant = Handset::new(ether.port(), settings);
        pendant.send(&[1; 24]).await;
        for bench in [&mut sx1262, &mut sx1276] {
            let signal = bench.received().await.signal;
            let error_hz = signal.frequency_error_hz.expect("a radio knows");
            assert!((error_hz - offset_hz).abs() <= 2, "{offset_hz}: {error_hz}");
            assert!((signal.rssi_dbm.expect("a radio knows") + 96).abs() <= 1);
            assert_eq!(signal.snr_quarter_db, Some(84));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_channel_s_level_is_measured_between_receptions() {
    for sx127x in [false, true] {
        let ether = Ether::default();
        let mut bench = if sx127x {
            let (chip, _) = sx1276::in_ether(&ether);
            Bench::up_127(SETTINGS, chip).await
        } else {
            let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
            Bench::up(SETTINGS, chip).await
        };
        let station = Station::new(ether.port());
        let sending = tokio::spawn(async move {
            // 206 ms a frame: the channel is busy for a third of the time.
            loop {
                station.send(air(), 14, &[1; 24]).await;
                sleep(Duration::from_millis(370)).await;
            }
        });
        let told = bench.channel(Duration::from_secs(100)).await;
        assert!((90..=100).contains(&told.len()), "{}: one a second", told.len());
        let frames: u32 = told.iter().map(|air| air.frames).sum();
        assert!((172..=175).contains(&frames), "{frames}");
        // A frame is no noise, but for its preamble: nobody knows of it before its
        // end, and it is on the air for a tenth of the time.
        let quiet = told.iter().filter(|air| air.noise_dbm == Some(-117)).count();
        let loud = told.iter().filter(|air| air.noise_dbm == Some(-96)).count();
        println!("SX127x {sx127x}: {quiet} quiet, {loud} loud of {}", told.len());
        assert!(quiet >= 60 && loud <= 15, "SX127x {sx127x}: {quiet} and {loud}");
        sending.abort();
        bench.channel(Duration::from_secs(2)).await;
        let band = Band { centre_hz: SETTINGS.frequency_hz, width_hz: 125_000 };
        let jammer = ether.jam(&Antenna::default(), band, 20, Jamming::Continuous);
        bench.channel(Duration::from_secs(2)).await;
        for air in bench.channel(Duration::from_secs(10)).await {
            let expected = AirQuality { noise_dbm: Some(-90), ..AirQuality::default() };
            assert_eq!(air, expected, "SX127x {sx127x}");
        }
        drop(jammer);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_though_the_driver_calls_them_frames() {
    let ether = Ether::default();
    let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
    let mut bench = Bench::up(SETTINGS, chip).await;
    faults.corrupt_headers(2);
    faults.corrupt_payloads(3);
    let station = Station::new(ether.port());
    for _ in 0..9 {
        station.send(air(), 14, &[1; 24]).await;
    }
    let told = bench.channel(Duration::from_secs(4)).await;
    let sum = |of: fn(&AirQuality) -> u32| told.iter().map(of).sum::<u32>();
    let sums = [sum(|air| air.header_failures), sum(|air| air.crc_failures), sum(|air| air.frames)];
    assert_eq!(sums, [2, 3, 4]);
}

/// An outage is no channel: nothing is told between `Down` and `Up`, and what was
/// counted before is not told after it.
#[tokio::test(start_paused = true)]
async fn a_radio_that_is_down_says_nothing_of_its_channel() {
    let ether = Ether::default();
    let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
    let mut bench = Bench::up(SETTINGS, chip).await;
    Station::new(ether.port()).send(air(), 14, &[1; 24]).await;
    bench.received().await;
    faults.hold_busy(true);
    while !matches!(bench.event().await, LinkEvent::Down(_)) {}
    assert_eq!(bench.channel(Duration::from_secs(30)).await, []);
    faults.hold_busy(false);
    while bench.event().await != LinkEvent::Up {}
    let told = bench.channel(Duration::from_secs(3)).await;
    assert!(!told.is_empty() && told.iter().all(|air| air.frames == 0), "{told:?}");
}

/// lora-phy 3.0.1 adds in eight bits, and would panic.
#[tokio::test(start_paused = true)]
async fn a_pendant_beside_the_antenna_does_not_crash_the_driver() {
    let ether = Ether::with_path_loss(40);
    let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
    let mut bench = Bench::up(SETTINGS, chip).await;
    let station = Station::new(ether.port());
    station.send(air(), 14, &[1; 24]).await;
    assert_eq!(bench.received().await.signal.snr_quarter_db, Some(127));
}

/// What a station hears of a transmission.
async fn radiated_dbm(bench: &Bench, station: &mut Station) -> i16 {
    let at = Instant::now() + Duration::from_millis(100);
    let transmission = Transmission::native(1, at, vec![1; 24]);
    bench.transmissions.send(transmission).await.expect("the link lives");
    let heard = timeout(PATIENCE, station.hear()).await.expect("a frame").expect("an ether");
    heard.arrival.rssi_dbm + 110
}

/// Nor may it overflow below 0 dBm, reach for the other amplifier, or send more than it was set
/// to, or much less.
#[tokio::test(start_paused = true)]
async fn what_is_radiated_is_what_was_set() {
    for (power_dbm, radiated) in [(-9, 0), (-1, 0), (0, 0), (14, 14), (20, 20), (21, 20), (22, 22)]
    {
        let ether = Ether::default();
        let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
        let bench = Bench::up(RadioSettings { power_dbm, ..SETTINGS }, chip).await;
        let mut station = Station::new(ether.port());
        assert_eq!(radiated_dbm(&bench, &mut station).await, radiated, "{power_dbm}");
    }
    for (power_dbm, radiated) in [(-1, 2), (2, 2), (14, 14), (17, 17), (18, 17), (20, 17)] {
        let ether = Ether::default();
        let (chip, _) = sx1276::in_ether(&ether);
        let bench = Bench::up_127(RadioSettings { power_dbm, ..SETTINGS }, chip).await;
        let mut station = Station::new(ether.port());
        assert_eq!(radiated_dbm(&bench, &mut station).await, radiated, "{power_dbm}");
    }
}

/// With each spreading factor and bandwidth that a chip takes it hears, and is heard by, those
/// who optimise for low data rates where they should.
#[tokio::test(start_paused = true)]
async fn who_can_be_set_to_something_hears_with_it() {
    let mut taken = [0; 2];
    for bandwidth_hz in BANDWIDTHS_HZ {
        for spreading_factor in 7..=12 {
            let settings = RadioSettings { bandwidth_hz, spreading_factor, ..SETTINGS };
            let ether = Ether::default();
            let station = Station::new(ether.port());
            for (n, takes) in [sx126x_takes, sx127x_takes].into_iter().enumerate() {
                if !takes(spreading_factor, bandwidth_hz) {
                    continue;
                }
                taken[n] += 1;
                let mut bench = match n {
                    0 => {
                        Bench::up(settings.clone(), sx1262::in_ether(&ether, sx1262::BOARD).0).await
                    }
                    _ => Bench::up_127(settings.clone(), sx1276::in_ether(&ether).0).await,
                };
                station.send(Air::of(&settings), 14, &[n as u8; 24]).await;
                assert_eq!(bench.received().await.bytes, [n as u8; 24], "{settings:?}");
            }
        }
    }
    assert_eq!(taken, [31, 55]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_interrupt_costs_a_second_and_no_frame() {
    let ether = Ether::default();
    let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
    let mut bench = Bench::up(SETTINGS, chip).await;
    let station = Station::new(ether.port());
    for _ in 0..20 {
        faults.lose_interrupts(1);
        station.send(air(), 14, &[1; 24]).await;
        bench.received().await;
        station.send(air(), 14, &[2; 24]).await;
        assert_eq!(bench.received().await.bytes, [2; 24]);
    }
}

/// Rubbish on MISO, in one transfer after the other: the link may go down, but
/// it comes up again, and its code never fails.
#[tokio::test(start_paused = true)]
async fn rubbish_on_the_bus_never_ends_the_link() {
    let ether = Ether::default();
    let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
    let mut bench = Bench::up(SETTINGS, chip).await;
    let station = Station::new(ether.port());
    let mut outages = 0;
    for round in 0..400u32 {
        faults.garble_miso(1 + round % 7);
        sleep(Duration::from_millis(u64::from(97 * round % 1_300))).await;
        station.send(air(), 14, &[1; 24]).await;
        while let Ok((_, event)) = bench.events.try_recv() {
            match event {
                LinkEvent::Down(LinkFault::Crashed) => panic!("in round {round}"),
                LinkEvent::Down(_) => outages += 1,
                _ => {}
            }
        }
    }
    faults.garble_miso(0);
    sleep(Duration::from_secs(120)).await;
    while bench.events.try_recv().is_ok() {}
    station.send(air(), 14, &[2; 24]).await;
    assert_eq!(bench.received().await.bytes, [2; 24]);
    assert!(outages > 0, "rubbish was never noticed");
}
