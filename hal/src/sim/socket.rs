//! The ether over a Unix socket: a test kit hosts it, daemons and pendants in
//! other processes put their antennas into it.
//!
//! Messages have a length (u16, of what follows), a kind and a body, all
//! integers little-endian:
//!
//! ```text
//! kind u8 (1 emission, to the host; 2 arrival, from it)
//! starts_in_us i32   from the moment of sending to the first symbol
//! frequency_hz u32 · spreading_factor u8 · bandwidth_hz u32 · coding_rate_denominator u8
//! preamble_symbols u16 · flags u8 (1 explicit header, 2 payload CRC, 4 inverted IQ) · sync_word u16
//! level_dbm i16 (power or RSSI) · snr_quarter_db i8 · payload 0..255
//! ```
//!
//! A message is sent when its frame begins and holds all of it; the other side
//! knows the airtime.

use super::ether::{Air, Arrival, Emission, Ether, Outlet, Port};
use crate::airtime::Shape;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_core::Stream;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

const EMISSION: u8 = 1;
const ARRIVAL: u8 = 2;
const HEAD_BYTES: usize = 23;
const MESSAGE_BYTES_MAX: usize = HEAD_BYTES + 255;

/// Messages on their way into or out of a socket.
const IN_FLIGHT_MAX: usize = 256;

/// Hosts an ether on a socket until it is dropped.
pub struct EtherServer {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl EtherServer {
    /// Lets other processes into `ether`. A socket that is left over at `path` is
    /// replaced.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn bind(path: &Path, ether: Ether) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let accepting = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    stream = listener.accept() => match stream {
                        Ok((stream, _)) => drop(guests.spawn(host(stream, ether.port()))),
                        Err(error) => {
                            tracing::warn!(%error, "the ether's socket failed");
                            return;
                        }
                    },
                    Some(_) = guests.join_next() => {}
                }
            }
        });
        Ok(Self { path: path.to_path_buf(), accepting })
    }
}

impl Drop for EtherServer {
    fn drop(&mut self) {
        self.accepting.abort();
        // Somebody may have removed it before.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// An antenna in the ether behind a socket. It is lost when the host goes away.
///
/// # Panics
/// Outside a tokio runtime with I/O.
pub fn connect(path: &Path) -> io::Result<Port> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let (emission_in, emissions) = mpsc::channel(IN_FLIGHT_MAX);
    let (arrival_in, arrivals) = mpsc::channel(IN_FLIGHT_MAX);
    tokio::spawn(visit(stream, emissions, arrival_in));
    Ok(Port { outlet: Outlet::Away(emission_in), arrivals })
}

/// The host's side of a connection.
async fn host(stream: UnixStream, mut port: Port) {
    let (reader, mut writer) = stream.into_split();
    let mut messages = FramedRead::new(reader, lengths());
    loop {
        tokio::select! {
            message = next(&mut messages) => match message.and_then(emission) {
                Some(emission) => port.outlet.emit(emission),
                None => return,
            },
            Some(arrival) = port.arrivals.recv() => {
                let Arrival { air, started, rssi_dbm, snr_quarter_db, bytes } = arrival;
                let message = encode(ARRIVAL, &air, started, rssi_dbm, snr_quarter_db, &bytes);
                if writer.write_all(&message).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The guest's side of a connection. Ends with it, or with the port.
async fn visit(
    stream: UnixStream,
    mut emissions: mpsc::Receiver<Emission>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut messages = FramedRead::new(reader, lengths());
    loop {
        tokio::select! {
            message = next(&mut messages) => match message.and_then(arrival) {
                // A radio that does not look is deaf.
                Some(arrival) => drop(arrivals.try_send(arrival)),
                None => return,
            },
            emission = emissions.recv() => {
                let Some(Emission { air, started, power_dbm, bytes }) = emission else { return };
                let message = encode(EMISSION, &air, started, power_dbm, 0, &bytes);
                if writer.write_all(&message).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn lengths() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_type::<u16>()
        .max_frame_length(MESSAGE_BYTES_MAX)
        .new_codec()
}

async fn next<R: tokio::io::AsyncRead + Unpin>(
    messages: &mut FramedRead<R, LengthDelimitedCodec>,
) -> Option<BytesMut> {
    poll_fn(|context| Pin::new(&mut *messages).poll_next(context)).await?.ok()
}

fn encode(
    kind: u8,
    air: &Air,
    started: Instant,
    level_dbm: i16,
    snr_quarter_db: i8,
    payload: &[u8],
) -> Bytes {
    let now = Instant::now();
    let ahead = started.saturating_duration_since(now).as_micros();
    let behind = now.saturating_duration_since(started).as_micros();
    let starts_in_us = ahead as i64 - behind as i64;
    let shape = &air.shape;
    let flags = u8::from(shape.explicit_header)
        | u8::from(shape.payload_crc) << 1
        | u8::from(air.iq_inverted) << 2;
    let mut message = BytesMut::with_capacity(2 + MESSAGE_BYTES_MAX);
    message.put_u16_le((HEAD_BYTES + payload.len()) as u16);
    message.put_u8(kind);
    message.put_i32_le(starts_in_us.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
    message.put_u32_le(air.frequency_hz);
    message.put_u8(shape.spreading_factor);
    message.put_u32_le(shape.bandwidth_hz);
    message.put_u8(shape.coding_rate_denominator);
    message.put_u16_le(shape.preamble_symbols);
    message.put_u8(flags);
    message.put_u16_le(air.sync_word);
    message.put_i16_le(level_dbm);
    message.put_i8(snr_quarter_db);
    message.put_slice(payload);
    message.freeze()
}

struct Message {
    kind: u8,
    air: Air,
    started: Instant,
    level_dbm: i16,
    snr_quarter_db: i8,
    payload: Vec<u8>,
}

fn decode(mut message: BytesMut) -> Option<Message> {
    if message.len() < HEAD_BYTES {
        return None;
    }
    let now = Instant::now();
    let kind = message.get_u8();
    let starts_in_us = message.get_i32_le();
    let offset = Duration::from_micros(u64::from(starts_in_us.unsigned_abs()));
    let frequency_hz = message.get_u32_le();
    let spreading_factor = message.get_u8();
    let bandwidth_hz = message.get_u32_le();
    let coding_rate_denominator = message.get_u8();
    let preamble_symbols = message.get_u16_le();
    let flags = message.get_u8();
    let air = Air {
        frequency_hz,
        shape: Shape {
            spreading_factor,
            bandwidth_hz,
            coding_rate_denominator,
            preamble_symbols,
            explicit_header: flags & 1 != 0,
            payload_crc: flags & 2 != 0,
        },
        iq_inverted: flags & 4 != 0,
        sync_word: message.get_u16_le(),
    };
    if !(5..=12).contains(&spreading_factor) || bandwidth_hz == 0 {
        return None;
    }
    Some(Message {
        kind,
        air,
        started: if starts_in_us < 0 { now.checked_sub(offset)? } else { now + offset },
        level_dbm: message.get_i16_le(),
        snr_quarter_db: message.get_i8(),
        payload: message.to_vec(),
    })
}

fn emission(message: BytesMut) -> Option<Emission> {
    let message = decode(message).filter(|message| message.kind == EMISSION)?;
    Some(Emission {
        air: message.air,
        started: message.started,
        power_dbm: message.level_dbm,
        bytes: message.payload,
    })
}

fn arrival(message: BytesMut) -> Option<Arrival> {
    let message = decode(message).filter(|message| message.kind == ARRIVAL)?;
    Some(Arrival {
        air: message.air,
        started: message.started,
        rssi_dbm: message.level_dbm,
        snr_quarter_db: message.snr_quarter_db,
        bytes: message.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rubbish_is_no_message(bytes: Vec<u8>) {
            // Must not panic; what it makes of it is bounded by the length.
            if let Some(message) = decode(BytesMut::from(&bytes[..])) {
                prop_assert_eq!(message.payload.len() + HEAD_BYTES, bytes.len());
            }
        }
    }
}
