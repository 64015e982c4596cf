//! One connection to the broker: TLS, the window of what may be open, and batches.
//!
//! Everything that waits goes out in one piece: an acknowledgement or a receipt by itself
//! would cost a TLS record, a system call here and two at the broker.

use super::CentreSettings;
use super::mqtt::{Incoming, MqttVersion, Outgoing, Reader};
use super::queue::{Overflow, Queue};
use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Publishes of ours that may be open, where the broker allows as many or names no number.
const WINDOW_MAX: u16 = 1024;
/// A subscription's number: beyond the window's.
const SUBSCRIPTION_PKID: u16 = u16::MAX;
/// What is read at once: some forty events.
const READ_BYTES: usize = 64 * 1024;
/// Room that is left in a buffer before another is begun: a packet or two.
const READ_BYTES_MIN: usize = 4 * 1024;
/// What is written before more is put to it.
const WRITE_BYTES: usize = 64 * 1024;
/// Until TCP, TLS and the broker's answer are there.
const DIAL_MAX: Duration = Duration::from_secs(10);

type Stream = TlsStream<BufReader<TcpStream>>;

/// A connection.
pub(super) struct Link {
    version: MqttVersion,
    from_broker: ReadHalf<Stream>,
    reader: Reader,
    input: BytesMut,
    to_broker: WriteHalf<Stream>,
    output: BytesMut,
    is_flushed: bool,
    queue: Queue,
    /// How often the broker has to hear of us.
    pub(super) keep_alive: Duration,
}

impl Link {
    /// Connects and logs in; says whether our session was kept.
    ///
    /// # Errors
    /// Says why not.
    pub(super) async fn dial(
        settings: &CentreSettings,
        requests_more: usize,
    ) -> Result<(Self, bool), String> {
        let dialled = timeout(DIAL_MAX, Self::log_in(settings, requests_more)).await;
        dialled.unwrap_or_else(|_| Err(format!("no connection within {DIAL_MAX:?}")))
    }

    async fn log_in(
        settings: &CentreSettings,
        requests_more: usize,
    ) -> Result<(Self, bool), String> {
        let mut link = Self::open(settings).await.map_err(|error| reason(&error))?;
        link.say(Outgoing::Connect {
            client_id: settings.client_id.clone(),
            keep_alive: settings.keep_alive,
            session_expiry: settings.session_expiry,
        })?;
        loop {
            match link.next()? {
                Some(Incoming::ConnAck { session_present, window, keep_alive }) => {
                    let window = window.unwrap_or(WINDOW_MAX).clamp(1, WINDOW_MAX);
                    // Of each message a receipt and an acknowledgement.
                    let requests_max = 2 * settings.mqtt.receive_max() + requests_more;
                    link.queue = Queue::new(window, requests_max);
                    link.keep_alive = keep_alive.unwrap_or(settings.keep_alive);
                    return Ok((link, session_present));
                }
                Some(Incoming::End(why)) => return Err(why),
                Some(_) => return Err("the broker answers something else than we asked".into()),
                None => link.turn().await?,
            }
        }
    }

    async fn open(settings: &CentreSettings) -> io::Result<Self> {
        let socket = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
        // What is small goes out at once: it is a batch of its own.
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(settings.host.clone()).map_err(io::Error::other)?;
        let socket = BufReader::with_capacity(READ_BYTES, socket);
        let stream = TlsConnector::from(Arc::clone(&settings.tls)).connect(name, socket).await?;
        let (from_broker, to_broker) = tokio::io::split(stream);
        Ok(Self {
            version: settings.mqtt,
            from_broker,
            reader: Reader::new(settings.mqtt),
            input: BytesMut::new(),
            to_broker,
            output: BytesMut::new(),
            is_flushed: true,
            // Before the log-in nothing waits.
            queue: Queue::new(0, 0),
            keep_alive: settings.keep_alive,
        })
    }

    /// Goes on until something came, or all that can go out has gone. May be dropped and
    /// called again at any time.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) async fn turn(&mut self) -> Result<(), String> {
        self.fill()?;
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(READ_BYTES);
        }
        let has_output = !self.output.is_empty() || !self.is_flushed;
        let turned = tokio::select! {
            read = self.from_broker.read_buf(&mut self.input) => match read {
                Ok(0) => Err(io::Error::other("the broker ended the connection")),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            written = write(&mut self.to_broker, &mut self.output, &mut self.is_flushed), if has_output => written,
        };
        turned.map_err(|error| reason(&error))
    }

    /// The next of what came, if it is here already.
    ///
    /// # Errors
    /// It is no MQTT.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, String> {
        let next = self.reader.next(&mut self.input)?;
        if let Some(Incoming::PubAck(pkid)) = next {
            self.queue.answered(pkid);
        }
        Ok(next)
    }

    /// A message of ours, after what waits.
    pub(super) fn publish(
        &mut self,
        topic: String,
        payload: impl Into<Bytes>,
        expiry_s: Option<u32>,
    ) -> Result<(), Overflow> {
        self.queue.publish(topic, payload.into(), expiry_s)
    }

    /// An acknowledgement, after what waits.
    pub(super) fn acknowledge(&mut self, pkid: u16) -> Result<(), Overflow> {
        self.queue.acknowledge(pkid)
    }

    /// Subscribes, before what waits.
    pub(super) fn subscribe(&mut self, filters: Vec<String>) -> Result<(), String> {
        self.say(Outgoing::Subscribe { pkid: SUBSCRIPTION_PKID, filters })
    }

    /// Shows that we are here, before what waits.
    pub(super) fn ping(&mut self) -> Result<(), String> {
        self.say(Outgoing::PingReq)
    }

    /// Says goodbye after what waits; returns when the broker has gone.
    pub(super) async fn leave(mut self) {
        while !self.queue.is_empty() || !self.output.is_empty() || !self.is_flushed {
            if self.turn().await.is_err() {
                return;
            }
            while let Ok(Some(_)) = self.next() {}
        }
        if self.say(Outgoing::Disconnect).is_err() {
            return;
        }
        // What the broker still sends is read: else the socket's end would be a reset, by
        // which our last words could be lost.
        while self.turn().await.is_ok() {
            self.input.clear();
        }
    }

    /// Puts what waits to what is written, as far as the window allows.
    fn fill(&mut self) -> Result<(), String> {
        while self.output.len() < WRITE_BYTES {
            let Some(said) = self.queue.next() else { break };
            self.say(said)?;
        }
        Ok(())
    }

    fn say(&mut self, said: Outgoing) -> Result<(), String> {
        self.version.write(said, &mut self.output)
    }
}

/// Writes all of it.
async fn write(
    to_broker: &mut WriteHalf<Stream>,
    output: &mut BytesMut,
    is_flushed: &mut bool,
) -> io::Result<()> {
    *is_flushed = false;
    while !output.is_empty() {
        to_broker.write_buf(output).await?;
    }
    to_broker.flush().await?;
    *is_flushed = true;
    Ok(())
}

/// What went wrong, with its causes.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
