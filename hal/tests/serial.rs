//! The serial link against the device's end of a pseudo terminal.
#![cfg(feature = "sim")]

use pendant_hal::serial::{self, Codec, SerialSettings, cobs};
use pendant_hal::sim::serial::PtyPort;
use pendant_hal::{LinkEvent, Transmission};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn first() {
    let (mut device, path) = PtyPort::open().expect("a pty");
    let (sender, mut events) = mpsc::channel(64);
    let link = serial::spawn(
        SerialSettings { path, baud: 115_200, codec: Codec::Cobs { envelope: false } },
        3,
        sender,
    );
    assert_eq!(events.recv().await, Some((3, LinkEvent::Up)));
    device.write_all(&cobs::encode(&[0x41; 24])).await.expect("write");
    let (_, LinkEvent::Received(r)) = events.recv().await.expect("event") else { panic!("") };
    assert_eq!(r.bytes, [0x41; 24]);
    let at = Instant::now() + Duration::from_millis(100);
    link.transmit.send(Transmission { ticket: 9, at, bytes: vec![0x61; 24] }).await.expect("send");
    let mut bytes = [0; 64];
    let n = timeout(Duration::from_secs(1), device.read(&mut bytes))
        .await
        .expect("in time")
        .expect("read");
    assert_eq!(bytes[..n], cobs::encode(&[0x61; 24]));
    assert!(Instant::now() >= at);
    println!("{:?}", events.recv().await);
    link.stop().await;
}
