//! Frames of the air, and what bought pendants say in them.

use super::{KNOWN, NOBODYS, first};
use pendant_gateway::engine::device::{Decoder, Device, Trigger};
use pendant_gateway::engine::lorawan::reading::{Uplink, read};
use pendant_gateway::engine::lorawan::{SecretKey, counter_in_clear};
use pendant_hal::FRAME_BYTES_MAX;
use pendant_hal::concentrator::{self, Says, Verdict};
use pendant_protocol::{EnrolmentKey, FRAME_BYTES, SealedDownlink, SealedUplink};
use std::collections::BTreeMap;

/// Native frames in both directions.
pub(crate) fn native_frames(data: &[u8]) {
    let (known, nobodys) = (EnrolmentKey::from_bytes(KNOWN), EnrolmentKey::from_bytes(NOBODYS));
    if let Ok(frame) = SealedUplink::parse(data) {
        assert_eq!((data.len(), &frame.bytes()[..]), (FRAME_BYTES, data));
        assert!(frame.open(&nobodys.uplink()).is_err(), "a frame without its key");
        if let Ok(message) = frame.open(&known.uplink()) {
            let again = message.seal(&known.uplink(), frame.pendant(), frame.counter());
            let again = SealedUplink::parse(&again).expect("just made");
            assert_eq!(again.open(&known.uplink()), Ok(message));
        }
        assert!(SealedDownlink::parse(data).is_err(), "both directions at once");
    }
    if let Ok(frame) = SealedDownlink::parse(data) {
        assert_eq!(data.len(), FRAME_BYTES);
        let (slot, counter) = (frame.slot(), u32::from(frame.counter_low()));
        assert!(frame.open(&nobodys.downlink(slot), counter).is_err(), "a frame without its key");
        let key = known.downlink(slot);
        if let Ok(message) = frame.open(&key, counter) {
            let again = message.seal(&key, slot, frame.pendant(), counter, frame.salt());
            let again = SealedDownlink::parse(&again).expect("just made");
            assert_eq!(again.open(&key, counter), Ok(message));
        }
    }
}

/// Datagrams of packet forwarders.
pub(crate) fn gwmp(data: &[u8]) {
    let Some(datagram) = concentrator::read(data) else { return };
    assert_eq!(&datagram.eui.0, &data[4..12]);
    match datagram.says {
        Says::Here => assert!(datagram.acknowledgement.is_some()),
        Says::Sent(verdict) => {
            assert!(datagram.acknowledgement.is_none());
            if let Some(Verdict::Refused(reason)) = verdict {
                assert!(reason.chars().count() <= 40, "it goes into the log");
            }
        }
        Says::Frames(frames) => {
            assert!(frames.len() <= 65, "64, and the count of those beyond");
            let heard: Vec<_> = frames.iter().flatten().collect();
            let loudness = |heard: &&&concentrator::Heard| {
                std::cmp::Reverse((heard.signal.snr_quarter_db, heard.signal.rssi_dbm))
            };
            assert!(heard.iter().is_sorted_by_key(|heard| loudness(&heard)));
            for one in heard {
                assert!((1..=FRAME_BYTES_MAX).contains(&one.bytes.len()));
                let signal = &one.signal;
                assert!(signal.rssi_dbm.is_none_or(|dbm| (-200..=50).contains(&dbm)));
                assert!(signal.snr_quarter_db.is_none_or(|snr| (-200..=200).contains(&snr)));
                assert!(signal.spreading_factor.is_none_or(|factor| (5..=12).contains(&factor)));
                let (lowest, highest) = (100_000_000, 1_000_000_000);
                assert!(signal.frequency_hz.is_none_or(|hz| (lowest..=highest).contains(&hz)));
            }
        }
    }
}

/// LoRaWAN frames: the first two bytes are the counter's high half.
pub(crate) fn lorawan(data: &[u8]) {
    let Some((high, frame)) = data.split_first_chunk::<2>() else { return };
    let high = u16::from_le_bytes(*high);
    let nobodys = read(frame, &SecretKey::from_bytes(NOBODYS), high);
    let known = read(frame, &SecretKey::from_bytes(KNOWN), high);
    assert_eq!(nobodys.is_some(), known.is_some(), "its form does not depend on a key");
    match nobodys {
        None => assert_eq!(counter_in_clear(frame), None),
        Some(Uplink::Join { genuine, dev_nonce, .. }) => {
            assert!(!genuine || !passes_with_another_code(frame, high));
            assert_eq!(frame.len(), 23);
            assert_eq!(dev_nonce.to_le_bytes(), frame[17..19]);
        }
        Some(Uplink::Data { genuine, dev_addr, counter_low, payload }) => {
            assert!(!genuine || !passes_with_another_code(frame, high));
            assert_eq!(dev_addr.to_le_bytes(), frame[1..5]);
            assert_eq!(counter_low.to_le_bytes(), frame[6..8]);
            assert_eq!(counter_in_clear(frame), Some(counter_low));
            if let Some((port, payload)) = payload {
                // Header, port and integrity code take at least so many bytes.
                assert!(port != 0 && payload.len() + 13 <= frame.len());
            }
        }
    }
}

/// LoRaWAN's integrity code has 32 bits, and a fuzzer sees what it is compared with: it
/// makes frames that are genuine under any key. So what is asked is that every bit of the
/// code counts.
fn passes_with_another_code(frame: &[u8], high: u16) -> bool {
    let code = frame.len() - 4;
    (0..32).any(|bit| {
        let mut other = frame.to_vec();
        other[code + bit / 8] ^= 1 << (bit % 8);
        match read(&other, &SecretKey::from_bytes(NOBODYS), high) {
            Some(Uplink::Join { genuine, .. } | Uplink::Data { genuine, .. }) => genuine,
            None => false,
        }
    })
}

/// Payloads of bought pendants: the first byte is the decoder, the second the port.
pub(crate) fn payloads(data: &[u8]) {
    let Some((&[which, port], payload)) = data.split_first_chunk() else { return };
    let (name, decoder) = Decoder::ALL[usize::from(which) % Decoder::ALL.len()];
    let device =
        Device { profile: name.to_owned(), decoder, triggers: BTreeMap::new(), silence: None };
    let Ok((trigger, reading)) = device.read(port, payload) else { return };
    // A sign without a meaning on this site is a panic, and no sign is none.
    let expected = if reading.signs.is_empty() { Trigger::Heartbeat } else { Trigger::Panic };
    assert_eq!(trigger, expected, "{name}");
    assert!(reading.battery_percent.is_none_or(|percent| percent <= 100), "{name}");
    if let Some(place) = reading.position {
        assert!(place.latitude_e6.abs() <= 90_000_000, "{name}");
        assert!(place.longitude_e6.abs() <= 180_000_000, "{name}");
    }
    assert_eq!(decoder.decode(port, payload), Ok(reading), "{name}: read in one way");
    let (_, shorter) = first(payload);
    // What is left of it is another payload or none: no panic either.
    let _ = decoder.decode(port, shorter);
}
