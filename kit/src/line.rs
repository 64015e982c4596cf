//! A line between a gateway and its broker that goes wrong at command: a TCP proxy
//! that goes black, breaks after so many bytes, or is as slow as a modem.
//!
//! It knows nothing of TLS or MQTT.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// What stands in a slow line's own buffer, each way: what a modem holds. The
/// kernel doubles it for its book-keeping.
const BUFFER_BYTES: u32 = 4 * 1024;

/// Connections that wait to be taken.
const BACKLOG: u32 = 64;

/// Bytes that pass at once: at 64 kbit/s they take 32 ms.
const PIECE_BYTES: usize = 256;

/// Pause after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Whoever connected.
    Client,
    /// Where the line leads.
    Server,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Counted are the bytes from this side.
    pub from: From,
    /// So many of them pass; then both ends are closed.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    black: bool,
    bits_per_s: Option<u32>,
    /// Connections of an earlier number end.
    ended: u64,
}

struct Shared {
    target: SocketAddr,
    weather: watch::Sender<Weather>,
    next_cut: Mutex<Option<Cut>>,
    dials: AtomicU64,
    carried: [AtomicU64; 2],
}

/// A running line. Dropping it cuts all connections.
pub struct Line {
    shared: Arc<Shared>,
    port: u16,
    task: JoinHandle<()>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Line {
    /// Listens on a free port of 127.0.0.1 and leads to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, target)
    }

    /// The same on another address of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_at(address: Ipv4Addr, target: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.bind(SocketAddr::from((address, 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            weather: watch::Sender::default(),
            next_cut: Mutex::default(),
            dials: AtomicU64::new(0),
            carried: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, port, task })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether nothing passes any more in either direction, while all
    /// connections stay open and new ones seem to be made.
    pub fn black(&self, black: bool) {
        self.shared.weather.send_modify(|weather| weather.black = black);
    }

    /// How fast the line is, each way; `None` for as fast as it goes.
    pub fn shape(&self, bits_per_s: Option<u32>) {
        self.shared.weather.send_modify(|weather| weather.bits_per_s = bits_per_s);
    }

    /// The next connection breaks so, and none after it.
    pub fn cut_next(&self, cut: Cut) {
        *self.shared.next_cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }

    /// Closes all connections that there are.
    pub fn cut(&self) {
        let dials = self.dials();
        self.shared.weather.send_modify(|weather| weather.ended = dials);
    }

    /// Connections made so far.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.shared.dials.load(Ordering::SeqCst)
    }

    /// Bytes that passed so far.
    #[must_use]
    pub fn carried(&self, from: From) -> u64 {
        self.shared.carried[from as usize].load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let number = shared.dials.fetch_add(1, Ordering::SeqCst) + 1;
                    connections.spawn(carry(client, number, Arc::clone(&shared)));
                }
                // Out of descriptors or the like, which only time mends.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection to its end.
async fn carry(client: TcpStream, number: u64, shared: Arc<Shared>) {
    let mut weather = shared.weather.subscribe();
    let cut = shared.next_cut.lock().unwrap_or_else(PoisonError::into_inner).take();
    let dial = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.connect(shared.target).await
    };
    let server = tokio::select! {
        server = dial => server,
        _ = weather.wait_for(|weather| weather.ended >= number) => return,
    };
    let Ok(server) = server else { return };
    // Small pieces must leave at once; failing that the line is slower, not wrong.
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let pump = |from, reader, writer| Pump {
        from,
        reader,
        writer,
        left: cut.filter(|cut| cut.from == from).map(|cut| cut.bytes),
        shared: Arc::clone(&shared),
    };
    tokio::select! {
        () = pump(From::Client, from_client, to_server).run() => {}
        () = pump(From::Server, from_server, to_client).run() => {}
        _ = weather.wait_for(|weather| weather.ended >= number) => {}
    }
}

/// One direction.
struct Pump {
    from: From,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// Bytes until it breaks.
    left: Option<u64>,
    shared: Arc<Shared>,
}

impl Pump {
    /// Ends when either side has closed, or at the break.
    async fn run(mut self) {
        let mut weather = self.shared.weather.subscribe();
        let mut buffer = [0; PIECE_BYTES];
        let mut free_at = Instant::now();
        loop {
            if self.left == Some(0) {
                return;
            }
            let room = self.left.map_or(PIECE_BYTES, |left| {
                usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)
            });
            if weather.wait_for(|weather| !weather.black).await.is_err() {
                return;
            }
            let read = self.reader.read(&mut buffer[..room]).await;
            // It may have gone black meanwhile: then not even an end passes.
            let Ok(now) = weather.wait_for(|weather| !weather.black).await.map(|now| *now) else {
                return;
            };
            let Ok(read @ 1..) = read else { return };
            if let Some(bits_per_s) = now.bits_per_s {
                let bits = u32::try_from(read * 8).unwrap_or(u32::MAX);
                free_at =
                    free_at.max(Instant::now()) + Duration::from_secs(1) * bits / bits_per_s.max(1);
                sleep_until(free_at).await;
            }
            if self.writer.write_all(&buffer[..read]).await.is_err() {
                return;
            }
            self.left = self.left.map(|left| left - read as u64);
            self.shared.carried[self.from as usize].fetch_add(read as u64, Ordering::SeqCst);
        }
    }
}
