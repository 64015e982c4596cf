//! The radio link: lora-phy's driver on the virtual chip, in paused time.
#![cfg(feature = "sim")]

use pendant_hal::radio::RadioSettings;
use pendant_hal::radio::account::{Account, Ledgers};
use pendant_hal::radio::chip::{Board, TcxoCtrlVoltage};
use pendant_hal::region::{Carrier, Region};
use pendant_hal::sim::ether::{Air, Ether, Heard, Station};
use pendant_hal::sim::{spawn_radio, spawn_radio_under, sx1262};
use pendant_hal::{
    Later, LinkCount, LinkEvent, LinkFault, LinkHandle, Reception, SendFault, Transmission, Wave,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const TAG: u8 = 5;
const PRIVATE: u16 = 0x1424;
const DOWNLINK_HZ: u32 = 869_525_000;

fn settings() -> RadioSettings {
    RadioSettings {
        downlink_frequency_hz: DOWNLINK_HZ,
        spreading_factor: 10,
        ..RadioSettings::BENCH
    }
}

fn uplink() -> Air {
    uplink_under(&settings())
}

fn uplink_under(settings: &RadioSettings) -> Air {
    Air {
        frequency_hz: settings.frequency_hz,
        shape: settings.shape(),
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

/// The next event that is no report of the channel.
async fn next(events: &mut mpsc::Receiver<(u8, LinkEvent)>) -> Option<(u8, LinkEvent)> {
    loop {
        match events.recv().await {
            Some((_, LinkEvent::Air(_))) => {}
            event => return event,
        }
    }
}

impl Bench {
    async fn up() -> Self {
        Self::with(sx1262::BOARD, settings()).await
    }

    async fn with(board: Board, settings: RadioSettings) -> Self {
        Self::of(board, settings, Account::default()).await
    }

    async fn under(settings: RadioSettings, account: Account) -> Self {
        Self::of(sx1262::BOARD, settings, account).await
    }

    async fn of(board: Board, settings: RadioSettings, account: Account) -> Self {
        let ether = Ether::default();
        let (chip, faults) = sx1262::in_ether(&ether, board);
        let (sender, events) = mpsc::channel(64);
        let link = spawn_radio_under(settings, chip, account, TAG, sender);
        let mut bench = Self { link, events, pendant: Station::new(ether.port()), faults };
        assert_eq!(bench.event().await, LinkEvent::Up);
        bench
    }

    async fn event(&mut self) -> LinkEvent {
        let (tag, event) = timeout(Duration::from_secs(60), next(&mut self.events))
            .await
            .expect("an event within a minute")
            .expect("the link lives");
        assert_eq!(tag, TAG);
        event
    }

    /// The next event that is no count.
    async fn state(&mut self) -> LinkEvent {
        loop {
            match self.event().await {
                LinkEvent::Counted(_) => {}
                event => return event,
            }
        }
    }

    /// A frame goes in and comes out.
    async fn expect_works(&mut self) {
        self.pendant.send(uplink(), 14, &[0x4F; 24]).await;
        assert_eq!(self.received().await.bytes, [0x4F; 24]);
    }

    /// The next frame that the pendant hears.
    async fn heard(&mut self) -> Heard {
        timeout(Duration::from_secs(60), self.pendant.hear())
            .await
            .expect("a frame within a minute")
            .expect("the ether is there")
    }

    async fn received(&mut self) -> Reception {
        match self.state().await {
            LinkEvent::Received(reception) => reception,
            other => panic!("{other:?}"),
        }
    }

    async fn send(&self, ticket: u64, at: Instant, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.link
            .transmit
            .send(Transmission::native(ticket, at, bytes))
            .await
            .expect("the link lives");
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
        assert_eq!(reception.signal.bandwidth_hz, Some(125_000));
    }
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_at_its_time_and_listening_goes_on() {
    for tcxo in [None, Some(TcxoCtrlVoltage::Ctrl1V8)] {
        let mut bench = Bench::with(Board { tcxo, ..sx1262::BOARD }, settings()).await;
        for ticket in 0..20 {
            let ended = bench.pendant.send(uplink(), 14, &[0x40; 24]).await;
            bench.received().await;
            let at = ended + Duration::from_micros(1_000_000 + 137 * ticket);
            bench.send(ticket, at, &[0x61; 24]).await;
            let heard = bench.heard().await;
            assert_eq!(heard.arrival.bytes, [0x61; 24]);
            assert!(!heard.arrival.air.iq_inverted);
            assert_eq!(heard.arrival.air.frequency_hz, DOWNLINK_HZ);
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

/// 371 ms a frame are asked for every second, and 10 % are allowed, from the
/// start on.
#[tokio::test(start_paused = true)]
async fn the_duty_cycle_is_kept_and_reception_goes_on() {
    let answers = Carrier { frequency_hz: DOWNLINK_HZ, bandwidth_hz: 125_000 };
    let ledgers = Ledgers::new(Instant::now());
    let account = Account::new(Region::Eu868, 2, answers, &ledgers);
    let mut bench = Bench::under(settings(), account.clone()).await;
    let mut granted = 0;
    let begun = Instant::now();
    for ticket in 0..2_000 {
        let at = begun + Duration::from_millis(1_000 * ticket + 50);
        bench.send(ticket, at, &[0x61; 24]).await;
        match bench.event().await {
            LinkEvent::Sent { .. } => granted += 1,
            LinkEvent::NotSent { fault: SendFault::Airtime, .. } => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep_until(at + Duration::from_millis(500)).await;
    }
    let airtime = settings().shape().frame(24);
    assert_eq!(granted, (begun.elapsed() / 10).as_micros() / airtime.as_micros());
    let balance = account.balance(Instant::now());
    assert!(balance.airtime.expect("a limit").spent <= Duration::from_secs(360));
    // Deaf for little longer than it sent.
    assert!((95..=115).contains(&balance.deaf_permille), "{}", balance.deaf_permille);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_dwells_too_long_is_refused() {
    let answers = Carrier { frequency_hz: 915_000_000, bandwidth_hz: 125_000 };
    let settings = RadioSettings {
        downlink_frequency_hz: answers.frequency_hz,
        spreading_factor: 11,
        ..settings()
    };
    let account = Account::new(Region::Us915, 2, answers, &Ledgers::new(Instant::now()));
    let mut bench = Bench::under(settings, account).await;
    bench.send(1, Instant::now(), &[0x61; 24]).await;
    let fault = SendFault::Dwell;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
}

#[tokio::test(start_paused = true)]
async fn transmissions_leave_in_the_order_of_their_times() {
    let mut bench = Bench::up().await;
    let now = Instant::now();
    for (ticket, ms) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
        bench.send(ticket, now + Duration::from_millis(ms), &[ticket as u8; 24]).await;
    }
    for expected in [2, 3, 1] {
        let heard = bench.heard().await;
        assert_eq!(heard.arrival.bytes, [expected; 24]);
        let sent = bench.event().await;
        assert!(matches!(sent, LinkEvent::Sent { ticket, .. } if ticket == u64::from(expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused() {
    let mut bench = Bench::up().await;
    let now = Instant::now();
    let fault_of = async |bench: &mut Bench, at, bytes: &[u8]| {
        bench.send(9, at, bytes).await;
        match bench.event().await {
            LinkEvent::NotSent { ticket: 9, fault } => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault_of(&mut bench, now, &[]).await, SendFault::Length);
    assert_eq!(fault_of(&mut bench, now, &[0; 256]).await, SendFault::Length);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(fault_of(&mut bench, now, &[1]).await, SendFault::Late);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_channel_that_is_set_is_heard() {
    let mut bench = Bench::up().await;
    let mut foreign = [uplink(); 4];
    foreign[0].frequency_hz += 200_000;
    foreign[1].shape.spreading_factor = 9;
    foreign[2].iq_inverted = true;
    foreign[3].sync_word = 0x3444;
    for air in foreign {
        bench.pendant.send(air, 14, &[0x41; 24]).await;
    }
    // The first frame that comes out is the first that is for us.
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn frames_without_a_gap_are_all_heard() {
    for spreading_factor in 5..=12 {
        let settings = RadioSettings { spreading_factor, ..settings() };
        let air = uplink_under(&settings);
        let mut bench = Bench::with(sx1262::BOARD, settings).await;
        for n in 0..200u8 {
            bench.pendant.send(air, 14, &[n; 24]).await;
            assert_eq!(bench.received().await.bytes, [n; 24], "SF{spreading_factor}");
        }
        assert_eq!(bench.faults.violations(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_radio_that_sends_is_deaf_and_then_hears_again() {
    let mut bench = Bench::up().await;
    let at = Instant::now() + Duration::from_millis(100);
    bench.send(1, at, &[0x61; 24]).await;
    tokio::time::sleep_until(at + Duration::from_millis(50)).await;
    bench.pendant.send(uplink(), 14, &[0x41; 24]).await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 1, .. }));
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_with_a_crc_error_is_counted_and_dropped() {
    let mut bench = Bench::up().await;
    bench.faults.corrupt_payloads(3);
    for _ in 0..3 {
        bench.pendant.send(uplink(), 14, &[0x41; 24]).await;
    }
    let mut counted = 0;
    while counted < 3 {
        match bench.event().await {
            LinkEvent::Counted(LinkCount::PhyCrc(n)) => counted += n,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counted, 3);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_header_error_is_counted() {
    let mut bench = Bench::up().await;
    bench.faults.corrupt_headers(1);
    bench.pendant.send(uplink(), 14, &[0x41; 24]).await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::PhyHeader(1)));
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn frames_that_collide_are_a_crc_error() {
    let ether = Ether::default();
    let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(64);
    let link = spawn_radio(settings(), chip, TAG, sender);
    assert_eq!(next(&mut events).await, Some((TAG, LinkEvent::Up)));
    let (one, other) = (Station::new(ether.port()), Station::new(ether.port()));
    tokio::join!(one.send(uplink(), 14, &[1; 24]), other.send(uplink(), 14, &[2; 24]));
    let event = next(&mut events).await;
    assert_eq!(event, Some((TAG, LinkEvent::Counted(LinkCount::PhyCrc(1)))));
    // Captured: one is far stronger.
    tokio::join!(one.send(uplink(), 14, &[3; 24]), other.send(uplink(), 4, &[4; 24]));
    let Some((TAG, LinkEvent::Received(reception))) = next(&mut events).await else {
        panic!("the stronger one was lost");
    };
    assert_eq!(reception.bytes, [3; 24]);
    link.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_busy_line_takes_the_link_down_until_it_is_released() {
    let mut bench = Bench::up().await;
    bench.faults.hold_busy(true);
    // Found when the chip is next spoken to.
    let at = Instant::now() + Duration::from_millis(100);
    bench.send(1, at, &[0x61; 24]).await;
    let fault = SendFault::Down;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::BusyStuck));
    // Told once, however long it lasts.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    bench.send(2, Instant::now(), &[0x61; 24]).await;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 2, fault });
    bench.faults.hold_busy(false);
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_without_a_chip_is_a_fault_and_no_crash() {
    for byte in [0x00, 0xFF] {
        let ether = Ether::default();
        let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
        faults.hold_miso(Some(byte));
        let (sender, mut events) = mpsc::channel(64);
        let link = spawn_radio(settings(), chip, TAG, sender);
        let told = next(&mut events).await;
        assert_eq!(told, Some((TAG, LinkEvent::Down(LinkFault::NoChip))), "{byte:02x}");
        faults.hold_miso(None);
        assert_eq!(next(&mut events).await, Some((TAG, LinkEvent::Up)));
        link.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chip_that_was_reset_is_found_and_set_up_again() {
    let mut bench = Bench::up().await;
    bench.faults.brown_out();
    let reset = Instant::now();
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::ChipReset));
    assert!(reset.elapsed() <= Duration::from_millis(1_100));
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_interrupt_line_loses_no_frame_and_is_told() {
    let mut bench = Bench::up().await;
    bench.faults.cut_interrupts(true);
    let mut frames = 0;
    let mut lost_irqs = 0;
    let mut down = false;
    while !down {
        bench.pendant.send(uplink(), 14, &[0x41; 24]).await;
        let next = Instant::now() + Duration::from_millis(1_100);
        while let Ok(Some((_, event))) = tokio::time::timeout_at(next, bench.events.recv()).await {
            match event {
                LinkEvent::Received(_) => frames += 1,
                LinkEvent::Counted(LinkCount::LostIrq(n)) => lost_irqs += n,
                LinkEvent::Down(LinkFault::IrqLine) => down = true,
                LinkEvent::Up | LinkEvent::Air(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(frames, 3);
    assert!(lost_irqs >= 1);
    // Down, but not deaf: frames are heard by asking, and not answered.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..10 {
        bench.expect_works().await;
    }
    bench.send(1, Instant::now() + Duration::from_millis(50), &[0x61; 24]).await;
    let fault = SendFault::Down;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
    bench.faults.cut_interrupts(false);
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.expect_works().await;
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

/// As with a wrong number in the configuration: there from the start.
#[tokio::test(start_paused = true)]
async fn a_line_that_never_rises_is_found_at_the_start_and_frames_are_heard() {
    let ether = Ether::default();
    let (chip, faults) = sx1262::in_ether(&ether, sx1262::BOARD);
    faults.cut_interrupts(true);
    let (sender, mut events) = mpsc::channel(64);
    let link = spawn_radio(settings(), chip, TAG, sender);
    let begun = Instant::now();
    assert_eq!(next(&mut events).await, Some((TAG, LinkEvent::Down(LinkFault::IrqLine))));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let pendant = Station::new(ether.port());
    tokio::time::sleep(Duration::from_secs(1)).await;
    pendant.send(uplink(), 14, &[0x41; 24]).await;
    let Some((TAG, LinkEvent::Received(reception))) = next(&mut events).await else {
        panic!("not heard");
    };
    assert_eq!(reception.bytes, [0x41; 24]);
    link.stop().await;
}

/// The wrong supply of the oscillator: the chip talks, and does nothing.
#[tokio::test(start_paused = true)]
async fn a_board_whose_tcxo_is_not_supplied_is_told_and_one_that_is_works() {
    let tcxo = Board { tcxo: Some(TcxoCtrlVoltage::Ctrl1V8), ..sx1262::BOARD };
    for (board, expected) in
        [(sx1262::BOARD, LinkEvent::Down(LinkFault::Oscillator)), (tcxo, LinkEvent::Up)]
    {
        let (chip, faults) = sx1262::in_ether(&Ether::default(), board);
        faults.need_tcxo();
        let (sender, mut events) = mpsc::channel(64);
        let link = spawn_radio(settings(), chip, TAG, sender);
        assert_eq!(next(&mut events).await, Some((TAG, expected)));
        link.stop().await;
    }
}

/// The first frame's header is heard when the answer to another is due.
#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_second_chance_while_a_frame_is_coming_in() {
    let mut bench = Bench::up().await;
    let begun = Instant::now();
    let airtime = settings().shape().frame(24);
    let at = begun + airtime - Duration::from_millis(50);
    let or_at = at + Duration::from_secs(1);
    let later = Later { at: or_at, wave: Wave::Native };
    let answer = Transmission { or: Some(later), ..Transmission::native(1, at, vec![0x61; 24]) };
    bench.link.transmit.send(answer).await.expect("the link lives");
    bench.expect_works().await;
    let heard = bench.heard().await;
    let off = heard.started.max(or_at) - heard.started.min(or_at);
    assert!(off <= Duration::from_millis(2), "{off:?}");
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 1, .. }));
    // Without a second chance it leaves, and the frame is lost.
    let begun = Instant::now();
    bench.send(2, begun + airtime - Duration::from_millis(50), &[0x61; 24]).await;
    bench.pendant.send(uplink(), 14, &[0x4F; 24]).await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 2, .. }));
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

/// An answer that was put off lasts beyond the time of the next one: the frame that was
/// coming in is answered a second later, and is not passed over.
#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_second_chance_while_another_is_on_the_air() {
    let mut bench = Bench::up().await;
    let begun = Instant::now() + Duration::from_millis(50);
    bench.send(1, begun, &[0x61; 24]).await;
    for (ticket, after_ms) in [(2, 150), (3, 330)] {
        let at = begun + Duration::from_millis(after_ms);
        let later = Later { at: at + Duration::from_secs(1), wave: Wave::Native };
        let answer = Transmission::native(ticket, at, vec![0x60 + ticket as u8; 24]);
        let answer = Transmission { or: Some(later), ..answer };
        bench.link.transmit.send(answer).await.expect("the link lives");
    }
    let mut left = Vec::new();
    for ticket in [1, 3, 2] {
        let heard = bench.heard().await;
        assert_eq!(heard.arrival.bytes[0], 0x60 + ticket as u8);
        assert!(
            matches!(bench.event().await, LinkEvent::Sent { ticket: sent, .. } if sent == ticket)
        );
        left.push(heard.started.duration_since(begun).as_millis());
    }
    // The third is 41 ms and some late: a pendant listens for 12 symbols, 98 ms.
    assert!(left[0] <= 2 && (371..400).contains(&left[1]), "{left:?}");
    assert!((1_148..=1_152).contains(&left[2]), "{left:?}");
    assert_eq!(bench.faults.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_transmission_that_never_ends_takes_the_link_down() {
    let mut bench = Bench::up().await;
    bench.faults.hold_transmissions(true);
    bench.send(1, Instant::now() + Duration::from_millis(50), &[0x61; 24]).await;
    let fault = SendFault::Down;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::TransmitStuck));
    bench.faults.hold_transmissions(false);
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.expect_works().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_link_answers_for_what_was_waiting() {
    let mut bench = Bench::up().await;
    bench.send(1, Instant::now() + Duration::from_secs(60), &[0x61; 24]).await;
    bench.expect_works().await;
    let Bench { link, mut events, .. } = bench;
    link.stop().await;
    let fault = SendFault::Stopped;
    assert_eq!(next(&mut events).await, Some((TAG, LinkEvent::NotSent { ticket: 1, fault })));
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_are_told_once() {
    let (chip, _) = sx1262::in_ether(&Ether::default(), sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(64);
    let odd = RadioSettings { spreading_factor: 3, ..settings() };
    let link = spawn_radio(odd, chip, TAG, sender);
    let told = next(&mut events).await;
    assert!(matches!(told, Some((TAG, LinkEvent::Down(LinkFault::Settings(_))))), "{told:?}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(events.try_recv().is_err());
    link.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_listen_costs_frames_and_is_told() {
    let ether = Ether::default();
    let (chip, _) = sx1262::in_ether(&ether, sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(3);
    let link = spawn_radio(settings(), chip, TAG, sender);
    let pendant = Station::new(ether.port());
    assert_eq!(next(&mut events).await, Some((TAG, LinkEvent::Up)));
    for n in 0..10 {
        pendant.send(uplink(), 14, &[n; 24]).await;
    }
    let (mut taken, mut dropped) = (0, 0);
    while taken + dropped < 10 {
        match next(&mut events).await {
            Some((TAG, LinkEvent::Received(_))) => taken += 1,
            Some((TAG, LinkEvent::Counted(LinkCount::Overflow(n)))) => dropped += n,
            other => panic!("{other:?}"),
        }
    }
    assert!((3..=4).contains(&taken), "{taken} found room");
    link.stop().await;
}
