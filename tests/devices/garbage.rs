//! What is no payload of a device is refused, and no bytes make a decoder panic.

use crate::hex;
use crate::vectors::PUBLISHED;
use pendant_gateway::engine::device::{Decoder, Sign, Trigger, Unreadable};
use proptest::prelude::*;

/// Decoder, port, payload, why.
const REFUSED: &[(Decoder, u8, &str, Unreadable)] = &[
    (Decoder::MilesightWs101, 2, "FF2E01", Unreadable::Port),
    (Decoder::MilesightWs101, 85, "", Unreadable::Length),
    (Decoder::MilesightWs101, 85, "FF2E00", Unreadable::Value),
    (Decoder::MilesightWs101, 85, "FF2E04", Unreadable::Value),
    (Decoder::MilesightWs101, 85, "FF2E01 017565", Unreadable::Value),
    (Decoder::MilesightWs101, 85, "FF3401", Unreadable::Tag),
    (Decoder::MilesightWs1x6, 85, "FF34000000", Unreadable::Value),
    (Decoder::MilesightWs1x6, 85, "FF34070000", Unreadable::Value),
    (Decoder::MilesightWs1x6, 85, "FF2E01", Unreadable::Tag),
    (Decoder::MilesightAt101, 85, "070002", Unreadable::Value),
    (Decoder::MilesightAt101, 85, "0488 FFFFFF7F FFFFFF7F 00", Unreadable::Value),
    (Decoder::NetvoxButton, 6, "024D011E01000000000000", Unreadable::Tag),
    (Decoder::NetvoxButton, 6, "0155011E01000000000000", Unreadable::Tag),
    (Decoder::NetvoxButton, 6, "014D021E01000000000000", Unreadable::Tag),
    (Decoder::NetvoxButton, 6, "014D011E02000000000000", Unreadable::Value),
    (Decoder::NetvoxButton, 6, "014D011E0100000000000000", Unreadable::Length),
    (Decoder::NetvoxButton, 7, "014D003C003C0100000000", Unreadable::Tag),
    (Decoder::NetvoxButton, 7, "814D", Unreadable::Length),
    (Decoder::NetvoxButton, 13, "820300", Unreadable::Length),
    (Decoder::NetvoxButton, 8, "014D011E01000000000000", Unreadable::Port),
    (Decoder::BrowanTbpb100, 147, "01FE37000004000000", Unreadable::Length),
    (Decoder::BrowanTbpb100, 136, "01FE370000040000", Unreadable::Port),
    (Decoder::BrowanTbpb100, 204, "", Unreadable::Length),
    (Decoder::MclimateButton, 2, "01AB029B04", Unreadable::Value),
    (Decoder::MclimateButton, 2, "01AB029B0300", Unreadable::Length),
    (Decoder::MclimateButton, 2, "0501AB029B03", Unreadable::Tag),
    (Decoder::MclimateButton, 3, "01AB029B03", Unreadable::Port),
    (Decoder::SensecapT1000, 5, "22", Unreadable::Tag),
    (Decoder::SensecapT1000, 5, "05570207 00 FF", Unreadable::Tag),
    (Decoder::SensecapT1000, 5, "0565020700", Unreadable::Value),
    (Decoder::SensecapT1000, 5, "09 000040 00 6462248D 7FFFFFFF 01587EC6 57", Unreadable::Value),
    (Decoder::DraginoTrackerd, 1, "4FA220", Unreadable::Port),
    (Decoder::DraginoTrackerd, 2, "015A706606CF3CF84FA230", Unreadable::Length),
    (Decoder::DraginoTrackerd, 7, "4FA22000", Unreadable::Length),
    (Decoder::DraginoTrackerd, 10, "4FA220", Unreadable::Port),
    (Decoder::DraginoTrackerd154, 10, "4FA220", Unreadable::Length),
    (Decoder::DraginoPb01, 2, "0CEA000101", Unreadable::Length),
    (Decoder::DraginoPb05, 2, "0CEA03010111 02A8", Unreadable::Length),
    (Decoder::DraginoPb05, 2, "0CEA000100", Unreadable::Value),
    (Decoder::DraginoPb05, 2, "0CEA000001", Unreadable::Value),
    (Decoder::DraginoPb05, 3, "0CEA", Unreadable::Length),
    (Decoder::AbeewayAt2, 17, "0A00F9860000", Unreadable::Port),
    (Decoder::AbeewayAt2, 18, "0F00F9860000", Unreadable::Tag),
    (Decoder::AbeewayAt2, 18, "0A00F986000B", Unreadable::Value),
    (Decoder::AbeewayAt2, 18, "070464900006", Unreadable::Tag),
    (Decoder::AbeewayAt2, 18, "070464900003", Unreadable::Length),
    (Decoder::AbeewayAt2, 18, "070464900002 0100000E10 02", Unreadable::Length),
    (Decoder::AbeewayAt2, 18, "036AC18900001D28B90160370200", Unreadable::Length),
    (Decoder::MokoLw004, 14, "5F006462248D03", Unreadable::Port),
    (Decoder::MokoLw004, 1, "5F006462248D0A", Unreadable::Value),
    (Decoder::MokoLw004, 1, "65006462248D03", Unreadable::Value),
    (Decoder::MokoLw004, 4, "5F05006462248D", Unreadable::Value),
    (Decoder::MokoLw001, 12, "21", Unreadable::Port),
    (Decoder::MokoLw001, 2, "011FC00307E60803090F1F00091227888E443AA0500C", Unreadable::Tag),
    (Decoder::MokoLw001, 2, "011FC00007E60803090F1F0008010203040506C400", Unreadable::Length),
    (Decoder::MokoLw001, 2, "011FC00207E60803090F1F000A1227888E443AA0500C00", Unreadable::Length),
    (Decoder::TektelicSeal, 10, "0395 01", Unreadable::Tag),
    (Decoder::TektelicSeal, 10, "00D365", Unreadable::Value),
    (Decoder::TektelicSeal, 11, "029501", Unreadable::Port),
    // "hello", and an alert on a port of something else.
    (Decoder::MeshtasticNode, 10, "68656C6C6F", Unreadable::Value),
    (Decoder::MeshtasticNode, 12, "68656C70", Unreadable::Port),
];

#[test]
fn what_is_no_payload_of_the_device_is_refused_with_the_reason() {
    for (decoder, port, payload, why) in REFUSED {
        let refused = decoder.decode(*port, &hex(payload));
        assert_eq!(refused, Err(*why), "{decoder:?} {port} {payload}");
    }
}

#[test]
fn each_reason_is_told_in_words_of_its_own() {
    let told = [
        (Unreadable::Port, "port"),
        (Unreadable::Length, "too short or too long"),
        (Unreadable::Tag, "does not know"),
        (Unreadable::Value, "cannot be"),
    ];
    for (why, words) in told {
        assert!(why.to_string().contains(words), "{why}");
    }
}

/// A channel-coded payload that is cut between two channels is whole again; everywhere
/// else a cut is noticed.
#[test]
fn a_published_payload_that_was_cut_is_refused_or_says_less() {
    let mut refused = 0;
    for vector in &PUBLISHED {
        let payload = hex(vector.payload);
        let whole = vector.decoder.decode(vector.port, &payload).expect("published");
        for end in 0..payload.len() {
            match vector.decoder.decode(vector.port, &payload[..end]) {
                Err(_) => refused += 1,
                Ok(cut) => {
                    let channels = matches!(
                        vector.decoder,
                        Decoder::MilesightWs101
                            | Decoder::MilesightWs1x6
                            | Decoder::MilesightAt101
                            | Decoder::TektelicSeal
                    );
                    assert!(channels, "{} cut at {end}", vector.payload);
                    assert!(cut.signs.is_subset(&whole.signs));
                }
            }
        }
    }
    assert!(refused > 250, "{refused} cuts were refused");
}

#[test]
fn a_payload_is_refused_on_every_port_but_its_own() {
    for vector in &PUBLISHED {
        let payload = hex(vector.payload);
        for port in (0..=255).filter(|port| *port != vector.port) {
            if let Ok(reading) = vector.decoder.decode(port, &payload) {
                // Ports of information only, and those whose frames have the same length.
                let press = [Sign::Press, Sign::PressShort, Sign::Key1];
                assert!(press.iter().all(|sign| !reading.signs.contains(sign)), "{port}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Any bytes on any port: read or refused, and what is read is possible.
    #[test]
    fn no_bytes_make_a_decoder_panic_or_say_what_cannot_be(
        port in prop_oneof![any::<u8>(), prop::sample::select(vec![1u8, 2, 5, 6, 10, 18, 85, 147])],
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for (name, decoder) in Decoder::ALL {
            let Ok(reading) = decoder.decode(port, &payload) else { continue };
            prop_assert!(reading.battery_percent.is_none_or(|percent| percent <= 100), "{name}");
            if let Some(place) = reading.position {
                prop_assert!(place.latitude_e6.abs() <= 90_000_000, "{name}");
                prop_assert!(place.longitude_e6.abs() <= 180_000_000, "{name}");
            }
        }
    }

    /// The same for published payloads in which some bytes are changed, so that the
    /// decoders' inner ways are taken too.
    #[test]
    fn damaged_payloads_are_read_or_refused(
        which in 0..PUBLISHED.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        more in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let vector = &PUBLISHED[which];
        let mut payload = hex(vector.payload);
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        payload.extend(more);
        if let Ok(reading) = vector.decoder.decode(vector.port, &payload) {
            prop_assert!(reading.battery_percent.is_none_or(|percent| percent <= 100));
        }
    }

    /// Any text is a meaning that reads back to the same, or none.
    #[test]
    fn no_text_makes_a_meaning_panic(
        text in prop_oneof![".{0,40}", "session_(start|extend) {0,2}[0-9+-]{0,7} {0,2}(min)?"],
    ) {
        if let Ok(trigger) = text.parse::<Trigger>() {
            prop_assert_eq!(trigger.to_string().parse(), Ok(trigger));
        }
    }
}
