//! The serial link against the device's end of a pseudo terminal.
#![cfg(feature = "sim")]

use bytes::BytesMut;
use pendant_hal::base64;
use pendant_hal::serial::envelope::{Done, Envelope, RSSI_UNKNOWN, Rx, SNR_UNKNOWN};
use pendant_hal::serial::{self, Codec, SerialSettings, cobs, rylr998};
use pendant_hal::sim::serial::PtyPort;
use pendant_hal::{
    LATE_MS_MAX, Later, LinkCount, LinkEvent, LinkFault, LinkHandle, QUEUE_MAX, Reception,
    SendFault, Transmission, Wave,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const TAG: u8 = 3;
const BARE: Codec = Codec::Cobs { envelope: false };
const ENVELOPED: Codec = Codec::Cobs { envelope: true };
const PATIENCE: Duration = Duration::from_secs(20);

/// A port below a name that stays, as `/dev/serial/by-id` has them.
struct Bench {
    _directory: tempfile::TempDir,
    path: PathBuf,
    device: Option<PtyPort>,
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
}

impl Bench {
    /// A link on a port that is not there yet.
    fn unplugged(codec: Codec) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("usb-receiver");
        let (sender, events) = mpsc::channel(256);
        let settings = SerialSettings { path: path.clone(), baud: 115_200, codec };
        Self {
            _directory: directory,
            path,
            device: None,
            link: serial::spawn(settings, TAG, sender),
            events,
        }
    }

    async fn up(codec: Codec) -> Self {
        let mut bench = Self::plugged(codec);
        if codec == Codec::Rylr998 {
            assert_eq!(bench.read_until(b"\r\n").await, b"AT\r\n");
            bench.write(b"+OK\r\n").await;
        }
        assert_eq!(bench.event_when_plugged().await, LinkEvent::Up);
        bench
    }

    fn plugged(codec: Codec) -> Self {
        let mut bench = Self::unplugged(codec);
        bench.plug();
        bench
    }

    /// The first event but that the port was not there yet.
    async fn event_when_plugged(&mut self) -> LinkEvent {
        loop {
            match self.event().await {
                LinkEvent::Down(LinkFault::Missing(_)) => {}
                event => return event,
            }
        }
    }

    fn plug(&mut self) {
        let (device, node) = PtyPort::open().expect("a pseudo terminal");
        std::os::unix::fs::symlink(node, &self.path).expect("the name is free");
        self.device = Some(device);
    }

    fn unplug(&mut self) {
        std::fs::remove_file(&self.path).expect("it was plugged");
        self.device = None;
    }

    async fn event(&mut self) -> LinkEvent {
        let (tag, event) = timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event in time")
            .expect("the link lives");
        assert_eq!(tag, TAG);
        event
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

    fn device(&mut self) -> &mut PtyPort {
        self.device.as_mut().expect("it is plugged")
    }

    async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.device().write_all(bytes))
            .await
            .expect("the link reads")
            .expect("the port is open");
    }

    /// Reads until the bytes end so.
    async fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) || bytes == end {
            let byte = timeout(PATIENCE, self.device().read_u8()).await;
            bytes.push(byte.expect("the link writes").expect("the port is open"));
        }
        bytes
    }

    /// The next packet that the link writes.
    async fn packet(&mut self) -> Vec<u8> {
        let mut wire = BytesMut::from(&self.read_until(&[0]).await[..]);
        match cobs::Finder::default().next(&mut wire) {
            Some(cobs::Packet::Whole(packet)) => packet,
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

    async fn expect_works(&mut self) {
        self.write(&cobs::encode(&[0x4F; 24])).await;
        assert_eq!(self.received().await.bytes, [0x4F; 24]);
    }
}

/// Time that this thread has spent on a processor.
fn processor_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanoseconds = schedstat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first field is a number"))
}

#[tokio::test]
async fn bare_frames_come_and_go() {
    let mut bench = Bench::up(BARE).await;
    bench.expect_works().await;
    let now = Instant::now();
    for (ticket, ms) in [(1, 300), (2, 100), (3, 200)] {
        let at = now + Duration::from_millis(ms);
        bench.send(ticket, at, &[0x60 + ticket as u8; 24]).await;
    }
    for (ticket, ms) in [(2, 100), (3, 200), (1, 300)] {
        let wire = bench.read_until(&[0]).await;
        let read = Instant::now();
        assert_eq!(wire, cobs::encode(&[0x60 + ticket as u8; 24]));
        let at = now + Duration::from_millis(ms);
        assert!(read >= at, "{ticket} left early");
        let LinkEvent::Sent { ticket: sent, at: told } = bench.event().await else {
            panic!("not sent");
        };
        assert_eq!(sent, ticket);
        assert!(told >= at && told <= read);
    }
    bench.link.stop().await;
}

/// A module sends as it was set up: not on another carrier, not inverted.
#[tokio::test]
async fn an_answer_to_a_lorawan_pendant_is_refused_and_not_sent_as_something_else() {
    let native = [0x61; 24];
    let command = rylr998::send_command(&native).expect("it fits");
    for (codec, end, expected) in
        [(BARE, 0, cobs::encode(&native)), (Codec::Rylr998, b'\n', command)]
    {
        let mut bench = Bench::up(codec).await;
        let at = Instant::now() + Duration::from_millis(20);
        let wave =
            Wave::LoRaWan { frequency_hz: 868_100_000, spreading_factor: 9, bandwidth_hz: 125_000 };
        let or = Some(Later { at: at + Duration::from_millis(20), wave });
        let answer = Transmission { wave, or, ..Transmission::native(1, at, vec![0x60; 17]) };
        bench.link.transmit.send(answer).await.expect("the link lives");
        let fault = SendFault::Wave;
        assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
        // The first that the receiver gets is the next answer.
        bench.send(2, at + Duration::from_millis(100), &native).await;
        assert_eq!(bench.read_until(&[end]).await, expected);
        bench.link.stop().await;
    }
}

#[tokio::test]
async fn an_envelope_keeps_the_time_of_reception() {
    let mut bench = Bench::up(ENVELOPED).await;
    let mut rx = Rx { age_us: 250_000, rssi_dbm: -101, snr_quarter_db: -17, frame: vec![0x41; 24] };
    let before = Instant::now();
    bench.write(&cobs::encode(&Envelope::Rx(rx.clone()).to_bytes())).await;
    let reception = bench.received().await;
    assert_eq!(reception.bytes, [0x41; 24]);
    assert_eq!(reception.signal.rssi_dbm, Some(-101));
    assert_eq!(reception.signal.snr_quarter_db, Some(-17));
    let age = Duration::from_millis(250);
    assert!(reception.ended + age >= before && reception.ended + age <= Instant::now());

    (rx.rssi_dbm, rx.snr_quarter_db) = (RSSI_UNKNOWN, SNR_UNKNOWN);
    bench.write(&cobs::encode(&Envelope::Rx(rx).to_bytes())).await;
    assert_eq!(bench.received().await.signal, Default::default());

    // A bare frame is no envelope.
    bench.write(&cobs::encode(&[0x41; 24])).await;
    assert_eq!(bench.event().await, LinkEvent::Counted(LinkCount::BadEnvelope(1)));
}

#[tokio::test]
async fn an_envelope_lets_the_receiver_keep_the_time_of_sending() {
    let mut bench = Bench::up(ENVELOPED).await;
    let at = Instant::now() + Duration::from_millis(400);
    let tickets = [0x1_0000_0007u64, 0x1_0000_0008];
    for ticket in tickets {
        bench.send(ticket, at, &[0x61; 24]).await;
    }
    for ticket in tickets {
        let Some(Envelope::Tx(tx)) = Envelope::parse(&bench.packet().await) else {
            panic!("no tx");
        };
        let ahead = at - Instant::now();
        assert!(ahead <= Duration::from_millis(100), "{ahead:?} is more than the lead");
        assert_eq!(u64::from(tx.ticket), ticket & 0xFFFF_FFFF);
        assert_eq!(tx.frame, [0x61; 24]);
        let delay = Duration::from_micros(tx.delay_us.into());
        assert!(delay >= ahead && delay <= Duration::from_millis(100));
    }
    // The receiver answers in any order; a ticket that nobody waits for is nothing.
    for (ticket, result) in [(99, 0), (8, 1), (7, 0)] {
        let done = Envelope::Done(Done { ticket, result });
        bench.write(&cobs::encode(&done.to_bytes())).await;
    }
    let fault = SendFault::Refused;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: tickets[1], fault });
    assert_eq!(bench.event().await, LinkEvent::Sent { ticket: tickets[0], at });
}

#[tokio::test]
async fn an_at_module_is_spoken_to_in_turn() {
    let mut bench = Bench::up(Codec::Rylr998).await;
    let text = String::from_utf8(base64::encode(&[0x41; 24])).expect("it is ASCII");
    bench.write(format!("+READY\r\n+RCV=7,32,{text},-99,11\r\n").as_bytes()).await;
    let reception = bench.received().await;
    assert_eq!(reception.bytes, [0x41; 24]);
    assert_eq!(reception.signal.rssi_dbm, Some(-99));
    assert_eq!(reception.signal.snr_quarter_db, Some(44));

    let at = Instant::now();
    bench.send(1, at, &[0x61; 24]).await;
    bench.send(2, at, &[0x62; 24]).await;
    let line = |frame: &[u8]| [b"AT+SEND=0,32,", &base64::encode(frame)[..], b"\r\n"].concat();
    assert_eq!(bench.read_until(b"\r\n").await, line(&[0x61; 24]));
    let too_early =
        timeout(Duration::from_millis(LATE_MS_MAX + 50), bench.device().read_u8()).await;
    assert!(too_early.is_err(), "the second command did not wait");
    bench.write(b"+OK\r\n").await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 1, .. }));
    // The first took so long that the time of the second has passed.
    let fault = SendFault::Late;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 2, fault });

    bench.send(4, Instant::now(), &[0x62; 24]).await;
    assert_eq!(bench.read_until(b"\r\n").await, line(&[0x62; 24]));
    bench.write(b"+ERR=17\r\n").await;
    let fault = SendFault::Refused;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 4, fault });
    bench.send(3, Instant::now(), &[0; 200]).await;
    let fault = SendFault::Length;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 3, fault });
}

/// A module whose supply gives way while it transmits starts anew, and never says what
/// became of the frame. The next answer must not wait for that.
#[tokio::test]
async fn an_at_module_that_starts_anew_is_spoken_to_at_once() {
    let mut bench = Bench::up(Codec::Rylr998).await;
    let begun = Instant::now();
    for ticket in 1..=3 {
        bench.send(ticket, Instant::now(), &[0x61; 24]).await;
        assert!(bench.read_until(b"\r\n").await.starts_with(b"AT+SEND=0,32,"));
        bench.write(b"+READY\r\n").await;
        let fault = SendFault::Stalled;
        assert_eq!(bench.event().await, LinkEvent::NotSent { ticket, fault });
    }
    // It need not be told anything, and goes on.
    bench.send(4, Instant::now(), &[0x61; 24]).await;
    assert!(bench.read_until(b"\r\n").await.starts_with(b"AT+SEND=0,32,"));
    bench.write(b"+OK\r\n").await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 4, .. }));
    // Less than the wait for one confirmation.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_rak_module_is_told_to_listen_at_each_start_and_spoken_to_in_turn() {
    let mut bench = Bench::plugged(Codec::RakP2p);
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PRECV=65533\r\n");
    bench.write(b"OK\r\n").await;
    assert_eq!(bench.event_when_plugged().await, LinkEvent::Up);
    bench.write(b"+EVT:RXP2P:-99:-7:414141\r\n").await;
    let reception = bench.received().await;
    assert_eq!(reception.bytes, b"AAA");
    assert_eq!(reception.signal.rssi_dbm, Some(-99));
    assert_eq!(reception.signal.snr_quarter_db, Some(-28));

    bench.send(1, Instant::now(), &[0x61, 0x62]).await;
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PSEND=6162\r\n");
    // `OK` says that the command was understood, not that the frame has left.
    bench.write(b"OK\r\n+EVT:TXP2P DONE\r\n").await;
    assert!(matches!(bench.event().await, LinkEvent::Sent { ticket: 1, .. }));
    bench.send(2, Instant::now(), &[0x61]).await;
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PSEND=61\r\n");
    bench.write(b"AT_BUSY_ERROR\r\n").await;
    let fault = SendFault::Refused;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 2, fault });

    // Its own start costs what it was to send, and it must be told again.
    bench.send(3, Instant::now(), &[0x61]).await;
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PSEND=61\r\n");
    bench.write(b"RAKwireless RAK3172\r\nCurrent Work Mode: LoRa P2P.\r\n").await;
    let fault = SendFault::Stalled;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 3, fault });
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PRECV=65533\r\n");
    // One that refuses to listen is down, whatever it hears.
    bench.write(b"AT_PARAM_ERROR\r\n").await;
    let says = Some("AT_PARAM_ERROR".to_owned());
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::NotListening { says }));
}

#[tokio::test(start_paused = true)]
async fn a_module_that_does_not_say_that_it_listens_is_never_up() {
    for codec in [Codec::RakP2p, Codec::Rylr998] {
        let mut bench = Bench::plugged(codec);
        let event = bench.event_when_plugged().await;
        assert_eq!(event, LinkEvent::Down(LinkFault::NotListening { says: None }));
    }
}

/// The gateway was restarted, the module was not; some listen as soon as they have power. In
/// which mode is not known: in one it would not send, in another stop after one frame.
#[tokio::test]
async fn a_rak_module_that_listens_already_is_stopped_and_told_again() {
    let mut bench = Bench::plugged(Codec::RakP2p);
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PRECV=65533\r\n");
    // Of what another gateway sent: no answer.
    bench.write(b"+EVT:TXP2P DONE\r\n").await;
    bench.write(b"P2P_RX_ON already\r\nAT_BUSY_ERROR\r\n").await;
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PRECV=0\r\n");
    bench.write(b"\r\nOK\r\n").await;
    assert_eq!(bench.read_until(b"\r\n").await, b"AT+PRECV=65533\r\n");
    bench.write(b"\r\nOK\r\n").await;
    assert_eq!(bench.event_when_plugged().await, LinkEvent::Up);
    // Once: one that stays busy is told of.
    bench.write(b"Current Work Mode: LoRa P2P.\r\n").await;
    for (command, answer) in [
        (&b"AT+PRECV=65533\r\n"[..], &b"AT_BUSY_ERROR\r\n"[..]),
        (b"AT+PRECV=0\r\n", b"OK\r\n"),
        (b"AT+PRECV=65533\r\n", b"AT_BUSY_ERROR\r\n"),
    ] {
        assert_eq!(bench.read_until(b"\r\n").await, command);
        bench.write(answer).await;
    }
    let says = Some("AT_BUSY_ERROR".to_owned());
    assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::NotListening { says }));
}

#[tokio::test]
async fn ten_megabytes_of_rubbish_are_counted_and_the_next_frame_is_heard() {
    let mut bench = Bench::up(BARE).await;
    let rubbish = vec![0x55; 1024 * 1024];
    for _ in 0..10 {
        bench.write(&rubbish).await;
    }
    bench.write(&cobs::encode(&[0x41; 24])[..9]).await;
    bench.write(&cobs::encode(&[0x4F; 24])).await;
    // One piece, unless whoever writes is held up for so long that what came counts as ended.
    let (mut counted, mut received) = (0, 0);
    while counted == 0 || received == 0 {
        match bench.event().await {
            LinkEvent::Counted(LinkCount::Oversize(n) | LinkCount::BadCobs(n)) => counted += n,
            LinkEvent::Received(reception) => {
                assert_eq!(reception.bytes, [0x4F; 24]);
                received += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, 1);
}

#[tokio::test]
async fn half_a_frame_is_counted() {
    let mut bench = Bench::up(BARE).await;
    bench.write(&cobs::encode(&[0x41; 24])[..9]).await;
    bench.write(&cobs::encode(&[0x4F; 24])).await;
    let (mut bad, mut received) = (0, 0);
    while bad == 0 || received == 0 {
        match bench.event().await {
            LinkEvent::Counted(LinkCount::BadCobs(n)) => bad += n,
            LinkEvent::Received(_) => received += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((bad, received), (1, 1));
}

#[tokio::test]
async fn a_missing_port_is_told_once_and_taken_when_it_comes() {
    let mut bench = Bench::unplugged(BARE);
    let path = bench.path.clone();
    let missing = LinkFault::Missing(path.clone());
    assert!(missing.to_string().contains("does not exist"));
    assert_eq!(bench.event().await, LinkEvent::Down(missing));
    bench.send(1, Instant::now(), &[1]).await;
    let fault = SendFault::Down;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
    bench.plug();
    assert_eq!(bench.event().await, LinkEvent::Up);
    bench.expect_works().await;
}

#[tokio::test]
async fn a_port_that_is_no_port_or_taken_is_told_by_its_reason() {
    let first_fault = async |path: &Path| {
        let (sender, mut events) = mpsc::channel(8);
        let settings = SerialSettings { path: path.to_path_buf(), baud: 115_200, codec: BARE };
        let link = serial::spawn(settings, TAG, sender);
        let event = timeout(PATIENCE, events.recv()).await.expect("an event in time");
        link.stop().await;
        event.expect("the link lives").1
    };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let wrong = LinkEvent::Down(LinkFault::WrongKind(file.path().to_path_buf()));
    assert_eq!(first_fault(file.path()).await, wrong);
    let null = first_fault(Path::new("/dev/null")).await;
    assert!(matches!(null, LinkEvent::Down(LinkFault::Io { .. })), "{null:?}");

    let bench = Bench::up(BARE).await;
    let busy = LinkEvent::Down(LinkFault::Busy(bench.path.clone()));
    assert_eq!(first_fault(&bench.path).await, busy);
    // A link that was stopped has let its port go.
    let (path, _device) = (bench.path, bench.device);
    bench.link.stop().await;
    assert_eq!(first_fault(&path).await, LinkEvent::Up);
}

#[tokio::test]
async fn a_receiver_is_unplugged_and_plugged_in_again() {
    let mut bench = Bench::up(BARE).await;
    for _ in 0..3 {
        bench.expect_works().await;
        let waiting = Instant::now() + Duration::from_secs(3600);
        bench.send(1, waiting, &[0x61; 24]).await;
        bench.unplug();
        let fault = SendFault::Down;
        assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
        assert_eq!(bench.event().await, LinkEvent::Down(LinkFault::Gone(bench.path.clone())));
        bench.plug();
        assert_eq!(bench.event().await, LinkEvent::Up);
    }
    bench.expect_works().await;
}

#[tokio::test]
async fn an_unplugged_receiver_costs_no_processor_time() {
    let mut bench = Bench::up(BARE).await;
    bench.unplug();
    assert!(matches!(bench.event().await, LinkEvent::Down(LinkFault::Gone(_))));
    let (begun, spent) = (Instant::now(), processor_time());
    let quiet = timeout(Duration::from_secs(2), bench.events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let spent = processor_time() - spent;
    println!("{spent:?} of processor time in {:?} without the port", begun.elapsed());
    assert!(spent < Duration::from_millis(50), "{spent:?}");
}

#[tokio::test]
async fn a_port_that_takes_nothing_stalls_no_reception() {
    let mut bench = Bench::up(BARE).await;
    // The terminal holds some 4 KiB that the device does not read.
    let mut stalled = false;
    for ticket in 0..100 {
        bench.send(ticket, Instant::now(), &[0x61; 255]).await;
        match bench.event().await {
            LinkEvent::Sent { .. } => {}
            LinkEvent::NotSent { fault: SendFault::Stalled, .. } => {
                stalled = true;
                break;
            }
            other => panic!("{other:?}"),
        }
        bench.expect_works().await;
    }
    assert!(stalled, "the terminal took everything");
    bench.expect_works().await;
    // What was stuck was discarded: the next one has room.
    bench.send(1_000, Instant::now(), &[0x62; 24]).await;
    let sent = bench.event().await;
    assert!(matches!(sent, LinkEvent::Sent { ticket: 1_000, .. }), "{sent:?}");
}

#[tokio::test]
async fn no_more_wait_than_there_is_room_for() {
    let mut bench = Bench::up(BARE).await;
    let later = Instant::now() + Duration::from_secs(3600);
    for ticket in 0..=QUEUE_MAX as u64 {
        bench.send(ticket, later, &[0x61; 24]).await;
    }
    let (ticket, fault) = (QUEUE_MAX as u64, SendFault::QueueFull);
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket, fault });
    let Bench { link, mut events, .. } = bench;
    link.stop().await;
    let mut answered = 0;
    while let Some((_, event)) = events.recv().await {
        let stopped = matches!(event, LinkEvent::NotSent { fault: SendFault::Stopped, .. });
        assert!(stopped, "{event:?}");
        answered += 1;
    }
    assert_eq!(answered, QUEUE_MAX);
}

#[tokio::test]
async fn what_comes_too_late_is_refused() {
    let mut bench = Bench::up(BARE).await;
    let at = Instant::now() - Duration::from_millis(LATE_MS_MAX + 1);
    bench.send(1, at, &[0x61; 24]).await;
    let fault = SendFault::Late;
    assert_eq!(bench.event().await, LinkEvent::NotSent { ticket: 1, fault });
}
