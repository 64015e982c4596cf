//! A packet forwarder without a concentrator: it speaks the protocol as the
//! reference forwarder does (Lora-net/packet_forwarder), has a counter of its own,
//! and gives what it is told to transmit to whoever plays the air.

use crate::airtime::Shape;
use crate::base64;
use crate::concentrator::Eui;
use crate::link::Signal;
use crate::sim::ether::Air;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// The reference forwarder (sx1302_hal, `jitqueue.c`) begins so long before a downlink
/// leaves (TX_START_DELAY, TX_JIT_DELAY), and keeps so much between two (TX_MARGIN_DELAY).
const BEGINS_US: i32 = 1_500 + 50_000;
const MARGIN_US: i32 = 1_000;
/// It takes nothing that leaves later than this (TX_MAX_ADVANCE_DELAY).
const EARLY_US: i32 = 512_000_000;

/// Spreading factors of LoRa.
const FACTORS: RangeInclusive<u8> = 5..=12;

/// A downlink that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Downlink {
    /// The counter at which its first symbol leaves, microseconds.
    pub tmst_us: u32,
    /// When it was asked for, on the same counter.
    pub asked_us: u32,
    /// Everything else that was asked for: the `txpk` object.
    pub txpk: Value,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Downlink {
    /// How it leaves; `None` if it is no LoRa downlink. The sync word is the concentrator's,
    /// of public networks.
    pub fn air(&self) -> Option<Air> {
        let text = |key: &str| self.txpk[key].as_str();
        let (factor, width_khz) = text("datr")?.strip_prefix("SF")?.split_once("BW")?;
        let width_khz: u32 = width_khz.parse().ok()?;
        let downlink = Air::lorawan_downlink(
            (self.txpk["freq"].as_f64()? * 1e6).round() as u32,
            factor.parse().ok().filter(|factor| FACTORS.contains(factor))?,
            width_khz.checked_mul(1_000)?,
        );
        let shape = Shape {
            coding_rate_denominator: text("codr")?.strip_prefix("4/")?.parse().ok()?,
            preamble_symbols: self.txpk["prea"].as_u64()?.try_into().ok()?,
            payload_crc: !self.txpk["ncrc"].as_bool()?,
            ..downlink.shape
        };
        Some(Air { shape, iq_inverted: self.txpk["ipol"].as_bool()?, ..downlink })
    }
}

/// A downlink that is asked for, and not answered yet.
#[derive(Clone, Debug)]
pub struct Asked {
    token: [u8; 2],
    /// What is asked for.
    pub downlink: Downlink,
}

/// The simulated forwarder.
#[derive(Debug)]
pub struct Forwarder {
    socket: UdpSocket,
    eui: Eui,
    begun: Instant,
    counter_start: u32,
    token: u16,
    /// What it will say of the next downlinks in place of its own judgement.
    refusals: VecDeque<&'static str>,
    /// Downlinks that were accepted: when they leave, and how long they take.
    accepted: Vec<(u32, i32)>,
    /// What came while an acknowledgement was waited for, and when on the counter.
    unread: VecDeque<(u32, Vec<u8>)>,
}

impl Forwarder {
    /// One that calls at `server` and whose counter stands at `counter_start`,
    /// microseconds.
    ///
    /// # Errors
    /// No UDP port can be had.
    pub async fn start(server: SocketAddr, eui: Eui, counter_start: u32) -> io::Result<Self> {
        let any = SocketAddr::new(server.ip(), 0);
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        let begun = Instant::now();
        Ok(Self {
            socket,
            eui,
            begun,
            counter_start,
            token: 0,
            refusals: VecDeque::new(),
            accepted: Vec::new(),
            unread: VecDeque::new(),
        })
    }

    /// The counter at a moment, microseconds.
    pub fn counter(&self, at: Instant) -> u32 {
        let us = at.saturating_duration_since(self.begun).as_micros();
        self.counter_start.wrapping_add(us as u32)
    }

    /// When the counter stands so, within half its range.
    pub fn moment(&self, tmst_us: u32) -> Instant {
        let now = Instant::now();
        let ahead = tmst_us.wrapping_sub(self.counter(now)) as i32;
        let apart = Duration::from_micros(u64::from(ahead.unsigned_abs()));
        if ahead < 0 { now.checked_sub(apart).unwrap_or(now) } else { now + apart }
    }

    /// What becomes of a downlink that is asked for is this, not what it deserves.
    pub fn refuse_next(&mut self, error: &'static str) {
        self.refusals.push_back(error);
    }

    /// Calls for downlinks, and waits until that is acknowledged.
    ///
    /// # Errors
    /// Nobody answers within 2 s.
    pub async fn pull(&mut self) -> io::Result<()> {
        let token = self.call().await?;
        self.acknowledged(token, 0x04).await
    }

    /// Calls for downlinks, and waits for nothing. Gives the call's token.
    ///
    /// # Errors
    /// As [`Self::send_raw`].
    pub async fn call(&mut self) -> io::Result<[u8; 2]> {
        self.send(0x02, b"").await
    }

    /// Hands in a frame that ended when the counter stood so, and waits until that is
    /// acknowledged.
    ///
    /// # Errors
    /// Nobody answers within 2 s.
    pub async fn push(&mut self, tmst_us: u32, signal: &Signal, bytes: &[u8]) -> io::Result<()> {
        let token = self.hand_in(tmst_us, signal, bytes).await?;
        self.acknowledged(token, 0x01).await
    }

    /// Hands in a frame that ended when the counter stood so, and waits for nothing. Gives
    /// the datagram's token.
    ///
    /// # Errors
    /// As [`Self::send_raw`].
    pub async fn hand_in(
        &mut self,
        tmst_us: u32,
        signal: &Signal,
        bytes: &[u8],
    ) -> io::Result<[u8; 2]> {
        let data = String::from_utf8(base64::encode(bytes)).expect("base64 is ASCII");
        let rxpk = json!({
            "tmst": tmst_us,
            "chan": 2,
            "rfch": 0,
            "freq": f64::from(signal.frequency_hz.unwrap_or(868_100_000)) / 1e6,
            "stat": 1,
            "modu": "LORA",
            "datr": format!(
                "SF{}BW{}",
                signal.spreading_factor.unwrap_or(7),
                signal.bandwidth_hz.unwrap_or(125_000) / 1_000
            ),
            "codr": "4/5",
            "rssi": signal.rssi_dbm.unwrap_or(-60),
            "lsnr": f64::from(signal.snr_quarter_db.unwrap_or(0)) / 4.0,
            "size": bytes.len(),
            "data": data,
        });
        self.send(0x00, json!({ "rxpk": [rxpk] }).to_string().as_bytes()).await
    }

    /// Sends any bytes, as nobody should.
    ///
    /// # Errors
    /// The system does not take them.
    pub async fn send_raw(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).await.map(drop)
    }

    async fn send(&mut self, kind: u8, json: &[u8]) -> io::Result<[u8; 2]> {
        self.token = self.token.wrapping_add(1);
        let token = self.token.to_be_bytes();
        let head = [2, token[0], token[1], kind];
        self.send_raw(&[&head[..], &self.eui.0, json].concat()).await?;
        Ok(token)
    }

    async fn acknowledged(&mut self, token: [u8; 2], kind: u8) -> io::Result<()> {
        let mut buffer = [0; 2048];
        loop {
            let waited = timeout(Duration::from_secs(2), self.socket.recv(&mut buffer)).await;
            let bytes = waited.map_err(|_| io::ErrorKind::TimedOut)??;
            if buffer[..bytes] == [2, token[0], token[1], kind] {
                return Ok(());
            }
            self.unread.push_back((self.counter(Instant::now()), buffer[..bytes].to_vec()));
        }
    }

    /// The next downlink that is asked for; it is answered as it deserves. `None` of
    /// one that was refused. Nothing is lost if the caller stops waiting.
    ///
    /// # Errors
    /// The socket failed, or what came is no downlink.
    pub async fn next_downlink(&mut self) -> io::Result<Option<Downlink>> {
        let asked = self.asked().await?;
        let error = self.refusals.pop_front();
        let accepted = self.answer(&asked, error).await?;
        Ok(accepted.then_some(asked.downlink))
    }

    /// The next downlink that is asked for; it waits for [`Self::answer`]. Nothing is lost
    /// if the caller stops waiting.
    ///
    /// # Errors
    /// The socket failed, or what came is no downlink.
    pub async fn asked(&mut self) -> io::Result<Asked> {
        loop {
            let (asked_us, datagram) = self.next_datagram().await?;
            let Some((&[2, a, b, 0x03], json)) = datagram.split_first_chunk::<4>() else {
                continue;
            };
            let downlink = Self::read(json, asked_us).ok_or(io::ErrorKind::InvalidData)?;
            return Ok(Asked { token: [a, b], downlink });
        }
    }

    /// The next datagram, and when it came.
    async fn next_datagram(&mut self) -> io::Result<(u32, Vec<u8>)> {
        if let Some(unread) = self.unread.pop_front() {
            return Ok(unread);
        }
        let mut buffer = [0; 2048];
        let bytes = self.socket.recv(&mut buffer).await?;
        Ok((self.counter(Instant::now()), buffer[..bytes].to_vec()))
    }

    /// Says what becomes of a downlink: `error`, or what it deserves. Gives whether it will
    /// leave.
    ///
    /// # Errors
    /// The socket failed, or it is no LoRa downlink.
    pub async fn answer(
        &mut self,
        Asked { token: [a, b], downlink }: &Asked,
        error: Option<&'static str>,
    ) -> io::Result<bool> {
        let error = match error {
            Some(error) => error,
            None => self.judge(downlink).ok_or(io::ErrorKind::InvalidData)?,
        };
        let said = json!({ "txpk_ack": { "error": error } }).to_string();
        let head = [2, *a, *b, 0x05];
        self.send_raw(&[&head[..], &self.eui.0, said.as_bytes()].concat()).await?;
        Ok(error == "NONE")
    }

    /// `None` for what is no LoRa downlink.
    fn judge(&mut self, downlink: &Downlink) -> Option<&'static str> {
        let after = |later: u32, earlier: u32| later.wrapping_sub(earlier) as i32;
        let takes = downlink.air()?.shape.frame(downlink.bytes.len() as u8);
        let takes_us = takes.as_micros() as i32;
        if after(downlink.tmst_us, downlink.asked_us) <= BEGINS_US + MARGIN_US {
            return Some("TOO_LATE");
        }
        if after(downlink.tmst_us, downlink.asked_us) > EARLY_US {
            return Some("TOO_EARLY");
        }
        self.accepted.retain(|(leaves, takes)| after(*leaves, downlink.asked_us) + takes > 0);
        let collides = self.accepted.iter().any(|&(leaves, takes)| {
            after(downlink.tmst_us, leaves) < takes + BEGINS_US + MARGIN_US
                && after(leaves, downlink.tmst_us) < takes_us + BEGINS_US + MARGIN_US
        });
        if collides {
            return Some("COLLISION_PACKET");
        }
        self.accepted.push((downlink.tmst_us, takes_us));
        Some("NONE")
    }

    fn read(json: &[u8], asked_us: u32) -> Option<Downlink> {
        let mut text: Value = serde_json::from_slice(json).ok()?;
        let txpk = text.get_mut("txpk")?.take();
        let bytes = base64::decode_lenient(txpk["data"].as_str()?)?;
        let tmst_us = u32::try_from(txpk["tmst"].as_u64()?).ok()?;
        (txpk["size"] == bytes.len()).then_some(Downlink { tmst_us, asked_us, txpk, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forwarder() -> Forwarder {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let start = Forwarder::start(([127, 0, 0, 1], 9).into(), Eui([0; 8]), 0);
        runtime.block_on(start).expect("a port")
    }

    fn asked(tmst_us: u32, datr: &str, codr: &str, prea: u64, bytes: usize) -> Option<Downlink> {
        let data = String::from_utf8(base64::encode(&vec![0x60; bytes])).expect("ASCII");
        let txpk = json!({
            "tmst": tmst_us, "freq": 923.3, "datr": datr, "codr": codr, "prea": prea,
            "ncrc": true, "ipol": true, "size": bytes, "data": data,
        });
        Forwarder::read(json!({ "txpk": txpk }).to_string().as_bytes(), 1_000_000)
    }

    #[test]
    fn what_leaves_far_ahead_is_too_early() {
        let mut forwarder = forwarder();
        let mut verdict = |tmst_us| {
            let downlink = asked(tmst_us, "SF12BW500", "4/5", 8, 17).expect("a downlink");
            forwarder.judge(&downlink)
        };
        assert_eq!(verdict(1_052_500), Some("TOO_LATE"));
        assert_eq!(verdict(513_000_001), Some("TOO_EARLY"));
        assert_eq!(verdict(513_000_000), Some("NONE"));
    }

    #[test]
    fn what_no_radio_can_send_is_no_downlink() {
        for (datr, codr) in [
            ("SF13BW125", "4/5"),
            ("SF200BW125", "4/5"),
            ("SF7BW4294968", "4/5"),
            ("SF7", "4/5"),
            ("SF7BW125", "5"),
        ] {
            let downlink = asked(2_000_000, datr, codr, 8, 17).expect("bytes");
            assert_eq!(downlink.air(), None, "{datr} {codr}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            prop_assert_eq!(Forwarder::read(&bytes, 0), None);
        }

        #[test]
        fn any_downlink_is_judged(
            tmst_us: Vec<u32>,
            factor: u8,
            width_khz: u32,
            rate: u8,
            prea: u64,
            bytes in 0usize..300,
        ) {
            let mut forwarder = forwarder();
            for tmst_us in tmst_us {
                let (datr, codr) = (format!("SF{factor}BW{width_khz}"), format!("4/{rate}"));
                let downlink = asked(tmst_us, &datr, &codr, prea, bytes).expect("bytes");
                let _ = forwarder.judge(&downlink);
            }
        }
    }
}
