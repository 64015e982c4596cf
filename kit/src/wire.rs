//! What carries a simulated pendant's frames: a pseudo terminal that a gateway
//! opens as a serial port, a real serial port, or the virtual air.

use bytes::BytesMut;
use pendant_hal::radio::RadioSettings;
use pendant_hal::serial::cobs;
use pendant_hal::serial::{self, SerialSettings};
use pendant_hal::sim::ether::{Air, Antenna, Ether, Handset, HandsetSettings, Station};
use pendant_hal::sim::serial::PtyPort;
use pendant_hal::sim::socket::EtherServer;
use pendant_hal::{LinkEvent, LinkHandle, Transmission};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events of a port that wait to be taken.
const EVENTS_MAX: usize = 64;

/// Bits on a serial line for one byte: start, 8 data, stop.
const BITS_A_BYTE: u32 = 10;

/// Bytes of a frame with its COBS code and delimiters.
const WIRE_BYTES: u32 = pendant_protocol::FRAME_BYTES as u32 + 3;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Carries frames.
#[derive(Debug)]
pub struct Wire(Kind);

enum Kind {
    Stream(Stream),
    Port(Port),
    Radio(Radio),
    Handset(Box<Handset>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream(..)",
            Self::Port(_) => "Port(..)",
            Self::Radio(_) => "Radio(..)",
            Self::Handset(_) => "Handset(..)",
        })
    }
}

/// COBS on a stream of bytes.
struct Stream {
    io: Box<dyn Io>,
    finder: cobs::Finder,
    buffer: BytesMut,
    /// Removed at the end.
    _link: Option<SymbolicLink>,
}

/// A serial port under the gateway's own driver: it survives unplugging.
struct Port {
    handle: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    heard: VecDeque<(Vec<u8>, Instant)>,
    frame_time: Duration,
    ticket: u64,
}

/// A pendant's radio in the virtual air.
struct Radio {
    station: Station,
    air: Air,
    /// Where answers come.
    downlink: Air,
    power_dbm: i16,
    /// Lets the gateway into the air as long as the radio is there.
    _host: Option<EtherServer>,
}

/// Removes itself.
struct SymbolicLink(PathBuf);

impl Drop for SymbolicLink {
    fn drop(&mut self) {
        // If somebody else removed it, it is as we wanted it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Wire {
    /// A new pseudo terminal, and where the gateway opens it. `link` is made a
    /// symbolic link there (replacing an older one), so that a configuration
    /// can name it.
    ///
    /// # Errors
    /// When the system gives none, or the link cannot be made.
    pub fn pty(link: Option<&Path>) -> io::Result<(Self, PathBuf)> {
        let (port, path) = PtyPort::open()?;
        let Some(link) = link else { return Ok((Self::stream(port), path)) };
        if link.is_symlink() {
            std::fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(&path, link)?;
        let mut stream = Stream::new(port);
        stream._link = Some(SymbolicLink(link.into()));
        Ok((Self(Kind::Stream(stream)), link.into()))
    }

    /// COBS on any stream of bytes.
    #[must_use]
    pub fn stream(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Kind::Stream(Stream::new(io)))
    }

    /// A real serial port: a cable to the gateway, or a radio module. It goes
    /// on trying while the port is away.
    #[must_use]
    pub fn port(settings: SerialSettings) -> Self {
        let frame_time = Duration::from_secs(1) * (WIRE_BYTES * BITS_A_BYTE) / settings.baud.max(1);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let handle = serial::spawn(settings, 0, sender);
        Self(Kind::Port(Port { handle, events, heard: VecDeque::new(), frame_time, ticket: 0 }))
    }

    /// A radio in a virtual air that is hosted at `socket`, where the gateway
    /// and others put their antennas.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn radio(settings: &RadioSettings, socket: &Path) -> io::Result<Self> {
        let ether = Ether::default();
        let host = EtherServer::bind(socket, ether.clone())?;
        Ok(Self::in_air(settings, &ether, Some(host)))
    }

    /// A radio in a virtual air of this process.
    #[must_use]
    pub fn in_ether(settings: &RadioSettings, ether: &Ether) -> Self {
        Self::in_air(settings, ether, None)
    }

    fn in_air(settings: &RadioSettings, ether: &Ether, host: Option<EtherServer>) -> Self {
        let air = Air::of(settings);
        Self(Kind::Radio(Radio {
            station: Station::new(ether.port()),
            downlink: Air { frequency_hz: settings.downlink_frequency_hz, ..air },
            air,
            power_dbm: settings.power_dbm.into(),
            _host: host,
        }))
    }

    /// One pendant's radio on an antenna that may move. It listens for `listens`
    /// after each frame; its crystal puts every carrier off by `offset_hz`.
    #[must_use]
    pub fn on_antenna(
        settings: &RadioSettings,
        ether: &Ether,
        antenna: &Antenna,
        offset_hz: i32,
        listens: Duration,
    ) -> Self {
        let uplink = Air::of(settings);
        let settings = HandsetSettings {
            uplink,
            downlink: Air { frequency_hz: settings.downlink_frequency_hz, ..uplink },
            power_dbm: settings.power_dbm.into(),
            offset_hz,
            listens: Some(listens),
        };
        Self(Kind::Handset(Box::new(Handset::new(ether.port_at(antenna), settings))))
    }

    /// Sends a frame at once; says when its last byte left. A frame that could
    /// not be sent is lost, as on the air.
    ///
    /// # Errors
    /// When the wire is gone for good.
    pub async fn send(&mut self, frame: &[u8]) -> io::Result<Instant> {
        match &mut self.0 {
            Kind::Stream(stream) => {
                stream.io.write_all(&cobs::encode(frame)).await?;
                stream.io.flush().await?;
                Ok(Instant::now())
            }
            Kind::Port(port) => port.send(frame).await,
            Kind::Radio(radio) => Ok(radio.station.send(radio.air, radio.power_dbm, frame).await),
            Kind::Handset(handset) => Ok(handset.send(frame).await),
        }
    }

    /// The next frame that is heard, and when its last byte came. May be
    /// dropped and called again without loss.
    ///
    /// # Errors
    /// When the wire is gone for good.
    pub async fn receive(&mut self) -> io::Result<(Vec<u8>, Instant)> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.receive().await,
            Kind::Port(port) => loop {
                if let Some(heard) = port.heard.pop_front() {
                    return Ok(heard);
                }
                port.next_event().await?;
            },
            Kind::Radio(radio) => loop {
                let heard = radio.station.hear().await.ok_or_else(gone)?;
                // Other pendants are heard too; the pendant knows them by the direction bit.
                if heard.arrival.air.is_same_channel(&radio.downlink) {
                    return Ok((heard.arrival.bytes, heard.ended));
                }
            },
            Kind::Handset(handset) => handset.hear().await.ok_or_else(gone),
        }
    }
}

impl Stream {
    fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let buffer = BytesMut::with_capacity(1024);
        Self { io: Box::new(io), finder: cobs::Finder::default(), buffer, _link: None }
    }

    async fn receive(&mut self) -> io::Result<(Vec<u8>, Instant)> {
        loop {
            while let Some(packet) = self.finder.next(&mut self.buffer) {
                if let cobs::Packet::Whole(bytes) = packet {
                    return Ok((bytes, Instant::now()));
                }
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Port {
    async fn send(&mut self, frame: &[u8]) -> io::Result<Instant> {
        self.ticket += 1;
        let ticket = self.ticket;
        let transmission = Transmission::native(ticket, Instant::now(), frame.to_vec());
        self.handle.transmit.send(transmission).await.map_err(|_| gone())?;
        loop {
            match self.next_event().await? {
                Some(LinkEvent::Sent { ticket: sent, at }) if sent == ticket => {
                    return Ok(at + self.frame_time);
                }
                Some(LinkEvent::NotSent { ticket: sent, .. }) if sent == ticket => {
                    return Ok(Instant::now());
                }
                _ => {}
            }
        }
    }

    /// Takes one event; frames go to `heard`.
    async fn next_event(&mut self) -> io::Result<Option<LinkEvent>> {
        match self.events.recv().await.ok_or_else(gone)?.1 {
            LinkEvent::Received(reception) => {
                self.heard.push_back((reception.bytes, reception.ended));
                Ok(None)
            }
            event => Ok(Some(event)),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the port or the air is gone")
}
