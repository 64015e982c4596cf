//! The line to the receiver: one message at a time over TCP or UDP, and its answer.

use super::frame::Frames;
use super::message::{Address, Message, Reply};
use std::io;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How often a message is sent before the receiver counts as not answering.
const ATTEMPTS: u32 = 3;
/// Longest datagram or piece of a stream that is read at once.
const READ_BYTES: usize = 2048;

/// How the receiver is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP; the connection is kept.
    Tcp,
    /// UDP.
    Udp,
}

/// Where the receiver is.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Host and port, as in `alarms.example.org:9000`.
    pub receiver: String,
    /// How it is reached.
    pub transport: Transport,
    /// How long an answer is waited for before the message is sent again.
    pub answer_wait: Duration,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The receiver has the message.
    Acknowledged,
    /// It does not understand it.
    Refused,
    /// It did not take it, for this reason.
    Unanswered(String),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// The line.
#[derive(Debug)]
pub(super) struct Link {
    settings: LinkSettings,
    address: Address,
    socket: Option<Socket>,
    /// What the receiver's clock is ahead of ours, seconds.
    ahead_s: i64,
}

impl Link {
    pub(super) fn new(settings: LinkSettings, address: Address) -> Self {
        Self { settings, address, socket: None, ahead_s: 0 }
    }

    /// Sends a message until it is answered, always under the same number.
    pub(super) async fn exchange(&mut self, message: &Message, sequence: u16) -> Answer {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let wait = self.settings.answer_wait;
            match timeout(wait, self.attempt(message, sequence, &mut why)).await {
                Ok(Ok(Reply::Ack)) => return Answer::Acknowledged,
                Ok(Ok(Reply::Duh)) => return Answer::Refused,
                Ok(Ok(Reply::Nak(unix_s))) => {
                    self.ahead_s = unix_s.saturating_sub(now_unix_s());
                    why = "it refuses the message, or its time".to_owned();
                }
                Ok(Err(error)) => {
                    why = error.to_string();
                    self.socket = None;
                }
                Err(_) => {
                    if why.is_empty() {
                        why = format!("no answer within {} ms", wait.as_millis());
                    }
                    // A connection may be dead; a late datagram still counts.
                    self.socket.take_if(|socket| matches!(socket, Socket::Tcp(_)));
                }
            }
        }
        Answer::Unanswered(why)
    }

    /// Sends it once, and waits for an answer to it; `why` learns what else came.
    async fn attempt(
        &mut self,
        message: &Message,
        sequence: u16,
        why: &mut String,
    ) -> io::Result<Reply> {
        if self.socket.is_none() {
            self.socket = Some(Socket::open(&self.settings).await?);
        }
        let socket = self.socket.as_mut().expect("just opened");
        let unix_s = now_unix_s().saturating_add(self.ahead_s);
        socket.send(&self.address.frame(message, sequence, unix_s)).await?;
        let mut frames = Frames::default();
        let mut bytes = [0; READ_BYTES];
        loop {
            let length = socket.receive(&mut bytes).await?;
            frames.push(&bytes[..length]);
            while let Some(frame) = frames.next() {
                match self.address.judge(&frame, message, sequence) {
                    Ok(reply) => return Ok(reply),
                    Err(no_reply) => *why = no_reply.to_string(),
                }
            }
        }
    }
}

impl Socket {
    async fn open(settings: &LinkSettings) -> io::Result<Self> {
        match settings.transport {
            Transport::Tcp => {
                let stream = TcpStream::connect(&settings.receiver).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Transport::Udp => {
                let mut addresses = tokio::net::lookup_host(&settings.receiver).await?;
                let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await?;
                // So that only the receiver's datagrams are heard.
                socket.connect(address).await?;
                Ok(Self::Udp(socket))
            }
        }
    }

    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(frame).await,
            Self::Udp(socket) => socket.send(frame).await.map(drop),
        }
    }

    async fn receive(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => match stream.read(bytes).await? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up")),
                length => Ok(length),
            },
            Self::Udp(socket) => socket.recv(bytes).await,
        }
    }
}

fn now_unix_s() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "messages bear the time of their sending")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok().and_then(|now| i64::try_from(now.as_secs()).ok()).unwrap_or(0)
}
