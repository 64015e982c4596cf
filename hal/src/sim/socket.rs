//! The ether over a Unix socket: a test kit hosts it, daemons and pendants in
//! other processes put their antennas into it.
//!
//! Messages have a length (u16, of what follows), a kind and a body, all
//! integers little-endian:
//!
//! ```text
//! kind u8 (1 emission, to the host; 2 arrival, 3 noise, from it)
//! starts_in_us i32   from the moment of sending to the first symbol
//!
//! emission, arrival:
//! frequency_hz u32 · spreading_factor u8 · bandwidth_hz u32 · coding_rate_denominator u8
//! preamble_symbols u16 · flags u8 (1 explicit header, 2 payload CRC, 4 inverted IQ) · sync_word u16
//! level_dbm i16 (power or RSSI) · snr_quarter_db i8 · offset_hz i32 · payload 0..255
//!
//! noise:
//! centre_hz u32 · width_hz u32 · duration_us u32 · level_dbm i16
//! ```
//!
//! A message is sent when its frame begins and holds all of it; the other side
//! knows the airtime.

use super::ether::{Air, Antenna, Arrival, Emission, Ether, Noise, Outlet, Port, Wave};
use super::waves::Band;
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
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

const EMISSION: u8 = 1;
const ARRIVAL: u8 = 2;
const NOISE: u8 = 3;
const NOISE_BYTES: usize = 19;
const HEAD_BYTES: usize = 27;
const MESSAGE_BYTES_MAX: usize = HEAD_BYTES + 255;

/// Messages on their way into or out of a socket.
const IN_FLIGHT_MAX: usize = 256;

/// Hosts an ether on a socket until it is dropped.
pub struct EtherServer {
    path: PathBuf,
    accepting: JoinHandle<()>,
    guests: watch::Receiver<usize>,
}

impl EtherServer {
    /// Lets other processes into `ether`. A socket that is left over at `path` is
    /// replaced.
    ///
    /// # Errors
    /// The socket cannot be made there.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn bind(path: &Path, ether: Ether) -> io::Result<Self> {
        Self::bind_at(path, ether, Antenna::default())
    }

    /// The same, where all who join have their antennas at one place.
    ///
    /// # Errors
    /// The socket cannot be made there.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn bind_at(path: &Path, ether: Ether, antenna: Antenna) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let (counted, count) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            loop {
                counted.send_replace(guests.len());
                tokio::select! {
                    stream = listener.accept() => match stream {
                        Ok((stream, _)) => drop(guests.spawn(host(stream, ether.port_at(&antenna)))),
                        Err(error) => {
                            tracing::warn!(%error, "the ether's socket failed");
                            return;
                        }
                    },
                    Some(_) = guests.join_next() => {}
                }
            }
        });
        Ok(Self { path: path.to_path_buf(), accepting, guests: count })
    }

    /// How many are in the air through this socket.
    pub fn guests(&self) -> watch::Receiver<usize> {
        self.guests.clone()
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
/// # Errors
/// Nobody hosts an ether there.
///
/// # Panics
/// Outside a tokio runtime with I/O.
pub fn connect(path: &Path) -> io::Result<Port> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let (emission_in, emissions) = mpsc::channel(IN_FLIGHT_MAX);
    let (wave_in, waves) = mpsc::channel(IN_FLIGHT_MAX);
    tokio::spawn(visit(stream, emissions, wave_in));
    Ok(Port { outlet: Outlet::Away(emission_in), waves })
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
            Some(wave) = port.waves.recv() => {
                let message = match wave {
                    Wave::Frame(arrival) => encode(ARRIVAL, &arrival),
                    Wave::Noise(noise) => encode_noise(&noise),
                };
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
    waves: mpsc::Sender<Wave>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut messages = FramedRead::new(reader, lengths());
    loop {
        tokio::select! {
            message = next(&mut messages) => match message.and_then(wave) {
                // A radio that does not look is deaf.
                Some(wave) => drop(waves.try_send(wave)),
                None => return,
            },
            emission = emissions.recv() => {
                let Some(emission) = emission else { return };
                let Emission { air, started, power_dbm: rssi_dbm, offset_hz, bytes } = emission;
                let snr_quarter_db = 0;
                let level = Arrival { air, started, rssi_dbm, snr_quarter_db, offset_hz, bytes };
                let message = encode(EMISSION, &level);
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

/// An arrival, or an emission whose power stands in the place of the RSSI.
fn encode(kind: u8, arrival: &Arrival) -> Bytes {
    let Arrival { air, .. } = arrival;
    let shape = &air.shape;
    let flags = u8::from(shape.explicit_header)
        | u8::from(shape.payload_crc) << 1
        | u8::from(air.iq_inverted) << 2;
    let mut message = head(HEAD_BYTES + arrival.bytes.len(), kind, arrival.started);
    message.put_u32_le(air.frequency_hz);
    message.put_u8(shape.spreading_factor);
    message.put_u32_le(shape.bandwidth_hz);
    message.put_u8(shape.coding_rate_denominator);
    message.put_u16_le(shape.preamble_symbols);
    message.put_u8(flags);
    message.put_u16_le(air.sync_word);
    message.put_i16_le(arrival.rssi_dbm);
    message.put_i8(arrival.snr_quarter_db);
    message.put_i32_le(arrival.offset_hz);
    message.put_slice(&arrival.bytes);
    message.freeze()
}

fn encode_noise(noise: &Noise) -> Bytes {
    let mut message = head(NOISE_BYTES, NOISE, noise.started);
    message.put_u32_le(noise.band.centre_hz);
    message.put_u32_le(noise.band.width_hz);
    message.put_u32_le(u32::try_from(noise.duration.as_micros()).unwrap_or(u32::MAX));
    message.put_i16_le(noise.rssi_dbm);
    message.freeze()
}

fn head(bytes: usize, kind: u8, started: Instant) -> BytesMut {
    let now = Instant::now();
    let ahead = started.saturating_duration_since(now).as_micros();
    let behind = now.saturating_duration_since(started).as_micros();
    let starts_in_us = ahead as i64 - behind as i64;
    let mut message = BytesMut::with_capacity(2 + bytes);
    message.put_u16_le(bytes as u16);
    message.put_u8(kind);
    message.put_i32_le(starts_in_us.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
    message
}

/// Kind and beginning of a message.
fn decode_head(message: &mut BytesMut) -> Option<(u8, Instant)> {
    let now = Instant::now();
    let kind = message.get_u8();
    let starts_in_us = message.get_i32_le();
    let offset = Duration::from_micros(u64::from(starts_in_us.unsigned_abs()));
    let started = if starts_in_us < 0 { now.checked_sub(offset)? } else { now + offset };
    Some((kind, started))
}

fn decode_frame(mut message: BytesMut, kind: u8) -> Option<Arrival> {
    if message.len() < HEAD_BYTES {
        return None;
    }
    let (_, started) = decode_head(&mut message).filter(|(own, _)| *own == kind)?;
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
    Some(Arrival {
        air,
        started,
        rssi_dbm: message.get_i16_le(),
        snr_quarter_db: message.get_i8(),
        offset_hz: message.get_i32_le(),
        bytes: message.to_vec(),
    })
}

fn decode_noise(mut message: BytesMut) -> Option<Noise> {
    if message.len() != NOISE_BYTES {
        return None;
    }
    let (_, started) = decode_head(&mut message).filter(|(kind, _)| *kind == NOISE)?;
    Some(Noise {
        band: Band { centre_hz: message.get_u32_le(), width_hz: message.get_u32_le() },
        started,
        duration: Duration::from_micros(message.get_u32_le().into()),
        rssi_dbm: message.get_i16_le(),
    })
}

fn emission(message: BytesMut) -> Option<Emission> {
    let Arrival { air, started, rssi_dbm, offset_hz, bytes, .. } = decode_frame(message, EMISSION)?;
    Some(Emission { air, started, power_dbm: rssi_dbm, offset_hz, bytes })
}

fn wave(message: BytesMut) -> Option<Wave> {
    match message.first() {
        Some(&NOISE) => decode_noise(message).map(Wave::Noise),
        _ => decode_frame(message, ARRIVAL).map(Wave::Frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rubbish_is_no_message(kind in 0u8..5, bytes: Vec<u8>) {
            // Must not panic; what it makes of it is bounded by the length.
            let message = BytesMut::from(&[&[kind][..], &bytes].concat()[..]);
            if let Some(Wave::Frame(arrival)) = wave(message) {
                prop_assert_eq!(arrival.bytes.len() + HEAD_BYTES, bytes.len() + 1);
            }
        }

        #[test]
        fn noise_comes_through(centre_hz: u32, width_hz: u32, us: u32, rssi_dbm: i16) {
            let band = Band { centre_hz, width_hz };
            let duration = Duration::from_micros(us.into());
            let noise = Noise { band, started: Instant::now(), duration, rssi_dbm };
            let mut message = BytesMut::from(&encode_noise(&noise)[..]);
            message.advance(2);
            match wave(message) {
                Some(Wave::Noise(told)) => {
                    prop_assert_eq!(Noise { started: noise.started, ..told }, noise);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
