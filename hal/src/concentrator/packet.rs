//! The JSON texts of the protocol (PROTOCOL.TXT, sections 4 and 6): lenient where
//! forwarders differ, strict where a frame's bytes are concerned.

use crate::airtime::Shape;
use crate::base64;
use crate::link::{FRAME_BYTES_MAX, LinkCount, Signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most frames that one datagram may bring: a concentrator has eight demodulators.
const FRAMES_MAX: usize = 64;

/// Longer reasons are cut: they go into the log.
const ERROR_CHARACTERS_MAX: usize = 40;

/// A frame as the forwarder heard it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The concentrator's counter at the frame's end, microseconds. Without it the
    /// frame can be heard, not answered.
    pub tmst_us: Option<u32>,
    /// How it was heard.
    pub signal: Signal,
    /// The frame, 1 to [`FRAME_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

/// What the forwarder says that it heard: each a frame, or what to count. The loudest
/// first: of a near sender the neighbouring channels bring ghosts, and an answer must leave
/// on the carrier of the frame itself.
pub(super) fn read_push(json: &[u8]) -> Vec<Result<Heard, LinkCount>> {
    #[derive(Deserialize)]
    struct Push {
        // Each for itself: one that is garbled must not cost the others.
        rxpk: Option<Vec<Value>>,
    }
    match serde_json::from_slice::<Push>(json) {
        Err(_) => vec![Err(LinkCount::BadDatagram(1))],
        Ok(push) => {
            let frames = push.rxpk.unwrap_or_default();
            let surplus = frames.len().saturating_sub(FRAMES_MAX);
            let surplus = u32::try_from(surplus).unwrap_or(u32::MAX);
            let read = frames.into_iter().take(FRAMES_MAX).map(read_frame);
            let told = (surplus > 0).then_some(Err(LinkCount::Overflow(surplus)));
            let mut heard: Vec<_> = read.chain(told).collect();
            let loudness = |heard: &Heard| (heard.signal.snr_quarter_db, heard.signal.rssi_dbm);
            heard.sort_by_key(|heard| std::cmp::Reverse(heard.as_ref().ok().map(loudness)));
            heard
        }
    }
}

fn read_frame(frame: Value) -> Result<Heard, LinkCount> {
    /// Of the many fields those that are used. Numbers are read as what JSON has:
    /// some forwarders write 868.1 and -57 where others write 868.100000 and -57.0.
    #[derive(Deserialize)]
    struct Rxpk {
        tmst: Option<f64>,
        freq: Option<f64>,
        stat: Option<f64>,
        modu: Option<String>,
        datr: Option<Value>,
        rssi: Option<f64>,
        lsnr: Option<f64>,
        /// Of an SX1302: how far the carrier is off, Hz.
        foff: Option<f64>,
        size: Option<f64>,
        data: String,
    }
    const BAD: LinkCount = LinkCount::BadDatagram(1);
    let rxpk: Rxpk = serde_json::from_value(frame).map_err(|_| BAD)?;
    // -1: the CRC was wrong. 0: there was none, as in no frame that is answered here.
    if rxpk.stat.is_some_and(|stat| stat < 1.0) {
        return Err(LinkCount::PhyCrc(1));
    }
    if rxpk.modu.is_some_and(|modulation| modulation != "LORA") {
        return Err(BAD);
    }
    let bytes = base64::decode_lenient(&rxpk.data).ok_or(BAD)?;
    let says = rxpk.size.unwrap_or(bytes.len() as f64);
    if says != bytes.len() as f64 || !(1..=FRAME_BYTES_MAX).contains(&bytes.len()) {
        return Err(BAD);
    }
    let rate = rxpk.datr.as_ref().and_then(Value::as_str).and_then(data_rate);
    Ok(Heard {
        tmst_us: rxpk
            .tmst
            .filter(|us| (0.0..=f64::from(u32::MAX)).contains(us))
            .map(|us| us as u32),
        signal: Signal {
            rssi_dbm: rxpk.rssi.and_then(|rssi| whole(rssi, -200.0, 50.0)),
            snr_quarter_db: rxpk.lsnr.and_then(|snr| whole(snr * 4.0, -200.0, 200.0)),
            frequency_hz: rxpk.freq.and_then(hertz),
            spreading_factor: rate.map(|(factor, _)| factor),
            bandwidth_hz: rate.map(|(_, bandwidth_hz)| bandwidth_hz),
            frequency_error_hz: rxpk.foff.and_then(offset_hz),
        },
        bytes,
    })
}

/// Rounded, if it is possible at all.
fn whole(number: f64, least: f64, most: f64) -> Option<i16> {
    (least..=most).contains(&number).then(|| number.round() as i16)
}

fn hertz(megahertz: f64) -> Option<u32> {
    (100.0..=1_000.0).contains(&megahertz).then(|| (megahertz * 1e6).round() as u32)
}

fn offset_hz(hertz: f64) -> Option<i32> {
    (-500_000.0..=500_000.0).contains(&hertz).then(|| hertz.round() as i32)
}

/// Spreading factor and bandwidth (Hz) of a data rate such as `SF10BW125`.
fn data_rate(rate: &str) -> Option<(u8, u32)> {
    let (factor, width_khz) = rate.strip_prefix("SF")?.split_once("BW")?;
    let factor = factor.parse().ok().filter(|factor| (5..=12).contains(factor))?;
    let width_khz: u32 = width_khz.parse().ok().filter(|khz| [125, 250, 500].contains(khz))?;
    Some((factor, width_khz * 1_000))
}

/// What is asked of the forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    /// The concentrator's counter when the first symbol leaves.
    pub(super) tmst_us: u32,
    pub(super) frequency_hz: u32,
    pub(super) shape: Shape,
    pub(super) inverted: bool,
    pub(super) power_dbm: i8,
}

/// The text that asks for a downlink.
pub(super) fn write_downlink(asking: &Asking, bytes: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Downlink {
        txpk: Txpk,
    }
    #[derive(Serialize)]
    struct Txpk {
        imme: bool,
        tmst: u32,
        freq: f64,
        rfch: u8,
        powe: i8,
        modu: &'static str,
        datr: String,
        codr: String,
        ipol: bool,
        prea: u16,
        ncrc: bool,
        size: usize,
        data: String,
    }
    let data = String::from_utf8(base64::encode(bytes)).expect("base64 is ASCII");
    // The reference forwarder takes either; others want whole groups.
    let padding = "=".repeat(data.len().wrapping_neg() % 4);
    let Asking { tmst_us, frequency_hz, shape, inverted, power_dbm } = *asking;
    let txpk = Txpk {
        imme: false,
        tmst: tmst_us,
        freq: f64::from(frequency_hz) / 1e6,
        rfch: 0,
        powe: power_dbm,
        modu: "LORA",
        datr: format!("SF{}BW{}", shape.spreading_factor, shape.bandwidth_hz / 1000),
        codr: format!("4/{}", shape.coding_rate_denominator),
        ipol: inverted,
        prea: shape.preamble_symbols,
        ncrc: !shape.payload_crc,
        size: bytes.len(),
        data: data + &padding,
    };
    serde_json::to_vec(&Downlink { txpk }).expect("numbers and texts")
}

/// What became of a downlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will leave.
    Accepted,
    /// Another moment may do: it came too late or too early, or the antenna is taken.
    NotThen,
    /// It cannot leave as it is, for this reason.
    Refused(String),
}

pub(super) fn read_tx_ack(json: &[u8]) -> Option<Verdict> {
    #[derive(Deserialize)]
    struct TxAck {
        txpk_ack: Option<Outcome>,
    }
    #[derive(Deserialize)]
    struct Outcome {
        error: Option<String>,
    }
    // Some pad with zeros, some send an empty text for success.
    let end = json.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Some(Verdict::Accepted);
    }
    let ack: TxAck = serde_json::from_slice(&json[..end]).ok()?;
    let error = ack.txpk_ack.and_then(|outcome| outcome.error);
    Some(match error.as_deref() {
        None | Some("NONE" | "") => Verdict::Accepted,
        Some("TOO_LATE" | "TOO_EARLY" | "COLLISION_PACKET" | "COLLISION_BEACON") => {
            Verdict::NotThen
        }
        Some(error) => Verdict::Refused(error.chars().take(ERROR_CHARACTERS_MAX).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of PROTOCOL.TXT section 4 (with an SX1302's `foff`), shortened to one frame that is good,
    /// one with a wrong CRC, and one in FSK.
    const PUSH: &str = r#"{"rxpk":[
        {"time":"2013-03-31T16:21:17.528002Z","tmst":3512348611,"chan":2,"rfch":0,
         "freq":866.349812,"stat":1,"modu":"LORA","datr":"SF7BW125","codr":"4/6",
         "rssi":-35,"lsnr":5.1,"foff":-1200,"size":32,
         "data":"-DS4CGaDCdG+48eJNM3Vai-zDpsR71Pn9CPA9uCON84"},
        {"tmst":1,"freq":868.1,"stat":-1,"modu":"LORA","datr":"SF7BW125","size":1,"data":"AA=="},
        {"tmst":3512348514,"freq":869.1,"stat":1,"modu":"FSK","datr":50000,"rssi":-75,"size":16,
         "data":"VEVTVF9QQUNLRVRfMTIzNA=="}]}"#;

    #[test]
    fn the_protocol_s_own_example_is_read() {
        let read = read_push(PUSH.as_bytes());
        let [Ok(good), crc, fsk] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((good.tmst_us, good.bytes.len()), (Some(3_512_348_611), 32));
        assert_eq!(good.bytes[..3], [0xF8, 0x34, 0xB8]);
        let signal = Signal {
            rssi_dbm: Some(-35),
            snr_quarter_db: Some(20),
            frequency_hz: Some(866_349_812),
            spreading_factor: Some(7),
            bandwidth_hz: Some(125_000),
            frequency_error_hz: Some(-1_200),
        };
        assert_eq!(good.signal, signal);
        assert_eq!(*crc, Err(LinkCount::PhyCrc(1)));
        assert_eq!(*fsk, Err(LinkCount::BadDatagram(1)));
    }

    #[test]
    fn a_frame_with_little_around_it_is_read_and_a_lie_is_not() {
        let read = |frame: &str| read_push(format!(r#"{{"rxpk":[{frame}]}}"#).as_bytes());
        let bare = read(r#"{"data":"QUI"}"#);
        let expected = Heard { tmst_us: None, signal: Signal::default(), bytes: b"AB".to_vec() };
        assert_eq!(bare, [Ok(expected)]);
        for lie in [
            r#"{"data":"QUI","size":3}"#,
            r#"{"data":"QUI","size":-2}"#,
            r#"{"data":"","size":0}"#,
            r#"{"data":"!!!!"}"#,
            r#"{"data":7}"#,
            r#"{"size":2}"#,
            "17",
        ] {
            assert_eq!(read(lie), [Err(LinkCount::BadDatagram(1))], "{lie}");
        }
        // Numbers that no receiver measures are left out, the frame is not.
        let odd = read(r#"{"data":"QUI","tmst":1e12,"rssi":1e300,"lsnr":-999,"freq":0}"#);
        assert!(matches!(odd.as_slice(), [Ok(Heard { tmst_us: None, .. })]), "{odd:?}");
        assert_eq!(read_push(b"{\"stat\":{\"rxnb\":2}}"), []);
        assert_eq!(read_push(b"{\"rxpk\":"), [Err(LinkCount::BadDatagram(1))]);
    }

    #[test]
    fn a_flood_in_one_datagram_is_cut_and_counted() {
        let frames = vec![r#"{"data":"QUI"}"#; FRAMES_MAX + 5].join(",");
        let read = read_push(format!(r#"{{"rxpk":[{frames}]}}"#).as_bytes());
        assert_eq!(read.iter().filter(|frame| frame.is_ok()).count(), FRAMES_MAX);
        assert_eq!(read.last(), Some(&Err(LinkCount::Overflow(5))));
    }

    #[test]
    fn what_the_forwarder_says_of_a_downlink_is_understood() {
        let read = |json: &str| read_tx_ack(json.as_bytes());
        for accepted in ["", "\0\0", "{}", r#"{"txpk_ack":{"error":"NONE"}}"#] {
            assert_eq!(read(accepted), Some(Verdict::Accepted), "{accepted:?}");
        }
        let warned = r#"{"txpk_ack":{"warn":"TX_POWER","value":14}}"#;
        assert_eq!(read(warned), Some(Verdict::Accepted));
        assert_eq!(read(r#"{"txpk_ack":{"error":"TOO_LATE"}}"#), Some(Verdict::NotThen));
        let refused = Verdict::Refused("TX_FREQ".to_owned());
        assert_eq!(read(r#"{"txpk_ack":{"error":"TX_FREQ"}}"#), Some(refused));
        assert_eq!(read("{\"txpk_ack\":"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read_push(&bytes), read_tx_ack(&bytes));
        }
    }
}
