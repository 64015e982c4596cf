//! The line that goes wrong at command.

use pendant_kit::line::{Cut, From, Line};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A line, and both ends of one connection over it.
async fn connected(prepare: impl FnOnce(&Line)) -> (Line, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let line = Line::start(listener.local_addr().expect("bound")).expect("a line");
    prepare(&line);
    let address = SocketAddr::from(([127, 0, 0, 1], line.port()));
    let client = TcpStream::connect(address).await.expect("a connection");
    let (server, _) = listener.accept().await.expect("it is carried on");
    (line, client, server)
}

#[tokio::test]
async fn it_carries_both_ways_and_counts() {
    let (line, mut client, mut server) = connected(|_| ()).await;
    let mut bytes = [0; 4];
    client.write_all(b"ping").await.expect("it takes");
    server.read_exact(&mut bytes).await.expect("it gives");
    assert_eq!(&bytes, b"ping");
    server.write_all(b"no").await.expect("it takes");
    client.read_exact(&mut bytes[..2]).await.expect("it gives");
    drop(server);
    let end = timeout(PATIENCE, client.read(&mut bytes)).await.expect("in time");
    assert_eq!(end.unwrap_or(0), 0, "an end on one side is an end on the other");
    assert_eq!((line.carried(From::Client), line.carried(From::Server), line.dials()), (4, 2, 1));
}

#[tokio::test]
async fn it_breaks_at_the_byte() {
    let cut = Cut { from: From::Server, bytes: 3 };
    let (line, mut client, mut server) = connected(|line| line.cut_next(cut)).await;
    server.write_all(b"abcdef").await.expect("it takes");
    let mut heard = Vec::new();
    let end = timeout(PATIENCE, client.read_to_end(&mut heard)).await.expect("in time");
    // The end may come as a reset.
    drop(end);
    assert_eq!(heard, b"abc");
    assert_eq!(line.carried(From::Server), 3);
}

#[tokio::test]
async fn black_nothing_passes_and_nobody_is_told() {
    let (line, mut client, mut server) = connected(|_| ()).await;
    line.black(true);
    client.write_all(b"lost?").await.expect("the kernel takes it");
    let mut byte = [0; 5];
    let silent = timeout(Duration::from_millis(200), server.read(&mut byte)).await;
    assert!(silent.is_err(), "{silent:?}");
    line.black(false);
    server.read_exact(&mut byte).await.expect("what waited passes");
    assert_eq!(&byte, b"lost?");
    line.cut();
    let end = timeout(PATIENCE, client.read(&mut byte)).await.expect("in time");
    assert_eq!(end.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_slow_line_is_as_slow_as_it_says() {
    let (_line, mut client, mut server) = connected(|line| line.shape(Some(64_000))).await;
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        client.write_all(&[7; 16_000]).await.expect("it takes");
        client
    });
    let mut bytes = vec![0; 16_000];
    timeout(PATIENCE, server.read_exact(&mut bytes)).await.expect("in time").expect("all of it");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_990), "16,000 bytes at 8,000 a second in {took:?}");
    drop(sending.await);
}
