//! Serial receivers that can be bought, against the device's end of a pseudo terminal.
//! What holds for every serial link is in `serial.rs`.
#![cfg(feature = "sim")]

use pendant_hal::serial::echostream::{self, Message};
use pendant_hal::serial::meshtastic::{self, Packet};
use pendant_hal::serial::{self, Codec, SerialSettings, cobs};
use pendant_hal::sim::echostream::written;
use pendant_hal::sim::meshtastic::{FromRadio, framed};
use pendant_hal::sim::serial::PtyPort;
use pendant_hal::{
    LinkCount, LinkEvent, LinkFault, LinkHandle, Reception, SendFault, Signal, Transmission,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    device: PtyPort,
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
}

impl Bench {
    fn new(codec: Codec) -> Self {
        let (device, path) = PtyPort::open().expect("a pseudo terminal");
        let (sender, events) = mpsc::channel(256);
        let link = serial::spawn(SerialSettings { path, baud: 9600, codec }, 0, sender);
        Self { device, link, events }
    }

    async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("the link lives").1
    }

    async fn received(&mut self) -> Reception {
        match self.event().await {
            LinkEvent::Received(reception) => reception,
            event => panic!("{event:?}"),
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.device.write_all(bytes).await.expect("the port is open");
    }

    async fn expect_written(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.device.read_exact(&mut bytes)).await;
        read.expect("the link writes").expect("the port is open");
        assert_eq!(bytes, expected);
    }

    /// What the link cannot send is refused.
    async fn expect_refuses(&mut self, bytes: usize, fault: SendFault) {
        let answer = Transmission::native(1, Instant::now(), vec![0x61; bytes]);
        self.link.transmit.send(answer).await.expect("the link lives");
        assert_eq!(self.event().await, LinkEvent::NotSent { ticket: 1, fault });
    }
}

#[tokio::test]
async fn an_e22_tells_the_strength_and_a_frame_does_not_wait_for_it_for_long() {
    let mut bench = Bench::new(Codec::E22);
    assert_eq!(bench.event().await, LinkEvent::Up);
    let wire = cobs::encode(&[0x41; 24]);
    bench.write(&[&wire[..], &[0x9F]].concat()).await;
    let heard = bench.received().await;
    assert_eq!(heard.signal, Signal { rssi_dbm: Some(-97), ..Signal::default() });
    assert_eq!(heard.bytes, [0x41; 24]);
    // A module that adds no strength.
    let before = Instant::now();
    bench.write(&wire).await;
    let heard = bench.received().await;
    assert_eq!((heard.bytes, heard.signal), (vec![0x41; 24], Signal::default()));
    // It counts from its last byte, not from the end of the wait.
    assert!(heard.ended >= before && heard.ended.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn an_e22_gets_a_frame_so_early_that_it_can_send_it_in_time() {
    let mut bench = Bench::new(Codec::E22);
    assert_eq!(bench.event().await, LinkEvent::Up);
    let at = Instant::now() + Duration::from_millis(300);
    let answer = Transmission::native(1, at, vec![0x61; 24]);
    bench.link.transmit.send(answer).await.expect("the link lives");
    bench.expect_written(&cobs::encode(&[0x61; 24])).await;
    // 27 bytes and three of silence at 9600 baud take 31 ms.
    assert!(Instant::now() >= at - Duration::from_millis(32));
    assert_eq!(bench.event().await, LinkEvent::Sent { ticket: 1, at });
    // A module sends 240 bytes in one piece.
    bench.expect_refuses(238, SendFault::Length).await;
}

fn alert() -> Packet {
    Packet {
        from: 0xA1B2_C3D4,
        id: 7,
        port: 11,
        payload: b"help".to_vec(),
        rssi_dbm: Some(-97),
        snr_quarter_db: Some(-10),
    }
}

async fn says(bench: &mut Bench, said: FromRadio) {
    bench.write(&framed(&said.to_bytes())).await;
}

#[tokio::test]
async fn a_meshtastic_radio_is_up_when_it_has_answered_and_its_alerts_are_told() {
    let mut bench = Bench::new(Codec::Meshtastic);
    bench.expect_written(meshtastic::ASK).await;
    // Log, a packet and another's configuration are no answer.
    bench.write(b"INFO  | booting\r\n").await;
    says(&mut bench, FromRadio::ConfigComplete(1)).await;
    says(&mut bench, FromRadio::Packet(alert())).await;
    assert_eq!(bench.received().await.bytes, alert().to_bytes());
    says(&mut bench, FromRadio::ConfigComplete(69_420)).await;
    assert_eq!(bench.event().await, LinkEvent::Up);

    says(&mut bench, FromRadio::Encrypted { from: 1, id: 2 }).await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::Encrypted(1)));
    says(&mut bench, FromRadio::Packet(alert())).await;
    let heard = bench.received().await;
    assert_eq!((heard.signal.rssi_dbm, heard.signal.snr_quarter_db), (Some(-97), Some(-10)));
    bench.expect_refuses(24, SendFault::Wave).await;

    // It has forgotten whom it tells.
    says(&mut bench, FromRadio::Rebooted).await;
    bench.expect_written(meshtastic::ASK).await;
    says(&mut bench, FromRadio::ConfigComplete(69_420)).await;
    assert_eq!(bench.event().await, LinkEvent::Up);
}

/// Keeps paused time from running ahead of the port, for some seconds: then whoever waits
/// in vain gives up.
fn hold_the_clock() -> JoinHandle<()> {
    tokio::spawn(async {
        for _ in 0..20_000_000 {
            yield_now().await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_meshtastic_radio_is_asked_again_before_it_falls_silent_and_missed_when_it_is_gone() {
    let clock = hold_the_clock();
    let mut bench = Bench::new(Codec::Meshtastic);
    bench.expect_written(meshtastic::ASK).await;
    says(&mut bench, FromRadio::ConfigComplete(69_420)).await;
    assert_eq!(bench.event().await, LinkEvent::Up);
    for _ in 0..2 {
        advance(meshtastic::ASK_INTERVAL).await;
        bench.expect_written(meshtastic::ASK).await;
        says(&mut bench, FromRadio::ConfigComplete(69_420)).await;
        // Up already, so nothing is told; the next that is told is the packet.
        says(&mut bench, FromRadio::Packet(alert())).await;
        bench.received().await;
    }
    advance(meshtastic::ASK_INTERVAL).await;
    bench.expect_written(meshtastic::ASK).await;
    advance(meshtastic::ANSWER_WAIT).await;
    let silent = LinkFault::NotListening { says: None };
    assert_eq!(bench.event().await, LinkEvent::Down(silent));
    clock.abort();
}

/// Longer than an AT module may be silent, and than it may take to answer.
const SILENCE: Duration = Duration::from_secs(121);
const NO_ANSWER: Duration = Duration::from_secs(3);

/// Each AT codec: what it is told at the start, how it says yes, and a frame that it heard.
type AtModule = (Codec, &'static [u8], &'static [u8], &'static [u8]);
const AT_MODULES: [AtModule; 2] = [
    (Codec::Rylr998, b"AT\r\n", b"+OK\r\n", b"+RCV=7,2,YQ,-99,11\r\n"),
    (Codec::RakP2p, b"AT+PRECV=65533\r\n", b"\r\nOK\r\n", b"+EVT:RXP2P:-99:11:61\r\n"),
];

async fn at_module(codec: Codec, start: &[u8], yes: &[u8]) -> Bench {
    let mut bench = Bench::new(codec);
    bench.expect_written(start).await;
    bench.write(yes).await;
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench
}

/// A module whose supply is gone behind an adapter that lives.
#[tokio::test(start_paused = true)]
async fn an_at_module_that_says_nothing_for_minutes_is_asked_and_missed_when_it_is_gone() {
    let clock = hold_the_clock();
    for (codec, start, yes, frame) in AT_MODULES {
        let mut bench = at_module(codec, start, yes).await;
        for _ in 0..2 {
            advance(SILENCE).await;
            bench.expect_written(b"AT\r\n").await;
            bench.write(yes).await;
            // Up already, so nothing is told; the next that is told is the frame.
            bench.write(frame).await;
            bench.received().await;
        }
        // One that is heard is not asked.
        advance(SILENCE / 2).await;
        bench.write(frame).await;
        bench.received().await;
        advance(SILENCE - SILENCE / 2).await;
        bench.write(frame).await;
        bench.received().await;
        advance(SILENCE).await;
        bench.expect_written(b"AT\r\n").await;
        // An answer that was lost is no outage, nor is one that refuses.
        advance(NO_ANSWER).await;
        bench.expect_written(b"AT\r\n").await;
        bench.write(if codec == Codec::Rylr998 { b"+ERR=2\r\n" } else { b"AT_ERROR\r\n" }).await;
        bench.write(frame).await;
        bench.received().await;
        advance(SILENCE).await;
        for _ in 0..2 {
            bench.expect_written(b"AT\r\n").await;
            advance(NO_ANSWER).await;
        }
        let silent = LinkFault::NotListening { says: None };
        assert!(silent.to_string().contains("supply"));
        assert_eq!(bench.event().await, LinkEvent::Down(silent));
        // Opened again, it is up when it answers.
        advance(Duration::from_secs(6)).await;
        bench.expect_written(start).await;
        bench.write(yes).await;
        assert_eq!(bench.event().await, LinkEvent::Up);
    }
    clock.abort();
}

/// `+OK` to a question is not `+OK` to a transmission, and neither waits for the other.
#[tokio::test(start_paused = true)]
async fn a_question_and_a_transmission_do_not_meet() {
    let clock = hold_the_clock();
    let (codec, start, yes, _) = AT_MODULES[0];
    let mut bench = at_module(codec, start, yes).await;
    // The question is due a second before the transmission: it lets that go first.
    let at = Instant::now() + SILENCE + Duration::from_secs(1);
    let send = |ticket, at| Transmission::native(ticket, at, vec![0x61]);
    bench.link.transmit.send(send(1, at)).await.expect("the link lives");
    advance(SILENCE).await;
    // It has had every occasion to be asked.
    bench.write(b"x\r\n").await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::BadText(1)));
    advance(Duration::from_secs(1)).await;
    bench.expect_written(b"AT+SEND=0,2,YQ\r\n").await;
    bench.write(b"+OK\r\n").await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 1, .. }));

    // One that comes while the question is open waits for the answer.
    advance(SILENCE).await;
    bench.expect_written(b"AT\r\n").await;
    bench.link.transmit.send(send(2, Instant::now())).await.expect("the link lives");
    bench.write(b"+OK\r\n").await;
    bench.expect_written(b"AT+SEND=0,2,YQ\r\n").await;
    bench.write(b"+ERR=17\r\n").await;
    let fault = SendFault::Refused;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 2, fault });

    // One that is not confirmed: is the module there?
    bench.link.transmit.send(send(3, Instant::now())).await.expect("the link lives");
    bench.expect_written(b"AT+SEND=0,2,YQ\r\n").await;
    advance(Duration::from_secs(11)).await;
    let fault = SendFault::Stalled;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 3, fault });
    bench.expect_written(b"AT\r\n").await;
    clock.abort();
}

/// The rest of a message never comes: what was lost on the line hides no later one.
#[tokio::test]
async fn a_message_that_is_never_whole_does_not_hide_the_next() {
    let mut bench = Bench::new(Codec::Meshtastic);
    bench.expect_written(meshtastic::ASK).await;
    says(&mut bench, FromRadio::ConfigComplete(69_420)).await;
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.write(&[0x94, 0xC3, 0x01, 0xFF]).await;
    says(&mut bench, FromRadio::Packet(alert())).await;
    loop {
        match bench.event().await {
            LinkEvent::Received(heard) => break assert_eq!(heard.bytes, alert().to_bytes()),
            LinkEvent::Counted(LinkCount::BadMessage(1)) => {}
            event => panic!("{event:?}"),
        }
    }
}

#[tokio::test]
async fn an_echostream_receiver_is_answered_to_each_message() {
    let press = Message {
        originator: [0xB2, 1, 2, 3],
        first_hop: [0xB2, 4, 5, 6],
        hops: 1,
        class: 0x62,
        kind: 1,
        stat1: 1,
        stat0: 0,
        level: 40,
        margin: 30,
    };
    let mut bench = Bench::new(Codec::EchoStream);
    assert_eq!(bench.event().await, LinkEvent::Up);
    let mut wire = written(&press, &[[9; 4]]);
    bench.write(&wire).await;
    let heard = bench.received().await;
    assert_eq!((heard.bytes, heard.signal), (press.to_bytes(), Signal::default()));
    bench.expect_written(echostream::ACKNOWLEDGE).await;
    *wire.last_mut().expect("a checksum") ^= 1;
    bench.write(&wire).await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::BadMessage(1)));
    bench.expect_written(echostream::REFUSE).await;
    bench.expect_refuses(24, SendFault::Wave).await;
}

/// The receiver repeats what it is not answered to.
#[tokio::test]
async fn a_message_that_the_gateway_could_not_take_is_not_acknowledged() {
    let (mut device, path) = PtyPort::open().expect("a pseudo terminal");
    // Room for one event, which stays there.
    let (sender, mut events) = mpsc::channel(1);
    let codec = Codec::EchoStream;
    let _link = serial::spawn(SerialSettings { path, baud: 9600, codec }, 0, sender);
    let message = |stat1| Message {
        originator: [1; 4],
        first_hop: [2; 4],
        hops: 0,
        class: 0x62,
        kind: 1,
        stat1,
        stat0: 0,
        level: 1,
        margin: 1,
    };
    // Up fills the channel.
    device.write_all(&written(&message(1), &[])).await.expect("the port is open");
    device.write_all(&[written(&message(2), &[]), vec![0x72, 0x11]].concat()).await.expect("open");
    // The refusal of what is not whole comes after both, and no acknowledgement before it.
    let mut byte = [0];
    let read = timeout(PATIENCE, device.read_exact(&mut byte)).await;
    read.expect("the link writes").expect("the port is open");
    assert_eq!(byte, echostream::REFUSE);
    assert_eq!(events.recv().await, Some((0, LinkEvent::Up)));
}
