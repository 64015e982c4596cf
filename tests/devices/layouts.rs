//! Payloads that nobody published, made by the layouts that are: where each sign stands.

use crate::hex;
use pendant_gateway::engine::device::{Decoder, Sign};

/// What no example is published of, but the layouts say: decoder, port, payload, signs.
const BY_LAYOUT: &[(Decoder, u8, &str, &[Sign])] = &[
    // "button detected", "door state: 1", "help".
    (Decoder::MeshtasticNode, 10, "627574746F6E206465746563746564", &[Sign::Press]),
    (Decoder::MeshtasticNode, 10, "646F6F722073746174653A2031", &[]),
    (Decoder::MeshtasticNode, 11, "68656C70", &[Sign::Sos]),
    (Decoder::InovonicsEchostream, 0, "62010100", &[Sign::Key1]),
    (
        Decoder::InovonicsEchostream,
        0,
        "62010A60",
        &[Sign::Key2, Sign::Key4, Sign::Tamper, Sign::LowBattery],
    ),
    (Decoder::InovonicsEchostream, 0, "62010008", &[]),
    (Decoder::MilesightWs101, 85, "FF2E02", &[Sign::PressLong]),
    (Decoder::MilesightWs101, 85, "FF2E03 017501", &[Sign::PressDouble]),
    // Answers to settings: LED off, buzzer off, double press on, interval, restart.
    (Decoder::MilesightWs101, 85, "FF2F00 FE3E00 FF7401 FE03B004 FF10FF", &[]),
    (Decoder::MilesightWs1x6, 85, "ff34060600", &[Sign::Key6]),
    (Decoder::MilesightWs1x6, 85, "ff34020301 ff34050101", &[Sign::Key2, Sign::Key5]),
    (Decoder::MilesightAt101, 85, "070001", &[Sign::Tamper]),
    (Decoder::MilesightAt101, 85, "070000 83671B0101 20CE000000000000000000000000", &[]),
    // Its serial number, and behind it that it was taken off.
    (Decoder::MilesightAt101, 85, "FF166592B32851010013 070001", &[Sign::Tamper]),
    (Decoder::NetvoxButton, 6, "0110011E00000000000000", &[]),
    (Decoder::NetvoxButton, 6, "0131019E01000000000000", &[Sign::Press, Sign::LowBattery]),
    (Decoder::NetvoxButton, 6, "014D000A1420230515AAAA", &[]),
    (Decoder::NetvoxButton, 13, "8203", &[]),
    (Decoder::BrowanTbpb100, 147, "00FE370000040000", &[]),
    (Decoder::BrowanTbpb100, 204, "00100E011E00", &[]),
    (Decoder::MclimateButton, 2, "01AB029B00", &[]),
    (Decoder::MclimateButton, 2, "01AB069B01", &[Sign::PressShort]),
    (Decoder::MclimateButton, 2, "041212 12F0 B1000102 01AB029B02", &[Sign::PressDouble]),
    (Decoder::SensecapT1000, 5, "09 000040 00 6462248D 06CA5028 01587EC6 57", &[Sign::Sos]),
    (
        Decoder::SensecapT1000,
        5,
        "11 03 000084 6462248D 8000 0000 57",
        &[Sign::Press, Sign::Motionless],
    ),
    (Decoder::SensecapT1000, 5, "0D00000001 0557020700", &[]),
    (
        Decoder::SensecapT1000,
        5,
        "0E 11 0001 02 AABB 10 000040 00 6462248D 57 11 0001",
        &[Sign::Sos],
    ),
    (Decoder::SensecapT1000, 199, "010203", &[]),
    (Decoder::DraginoTrackerd, 2, "015A706606CF3CF84FA23001AE00DA", &[Sign::Sos]),
    (Decoder::DraginoTrackerd, 3, "015A706606CF3CF84FA238 07E8 01 02 03 04 05", &[Sign::Sos]),
    (Decoder::DraginoTrackerd, 2, "015A706606CF3CF84FA230 01AE00DA 07E80102030405", &[Sign::Sos]),
    (Decoder::DraginoTrackerd, 3, "015A706606CF3CF84FA2B0 0012 01AE00DA", &[Sign::Sos]),
    (Decoder::DraginoTrackerd, 7, "4FA220", &[Sign::Sos]),
    (Decoder::DraginoTrackerd, 5, "130150 01 FF 0FA2 40 02", &[]),
    // A place of the past; one beacon, in both layouts; several beacons, without the alarm.
    (Decoder::DraginoTrackerd, 4, "015A706606CF3CF8 07E80102030405", &[]),
    (
        Decoder::DraginoTrackerd,
        6,
        "00112233445566778899AABBCCDDEEFF 0001 0002 C5 C4 0000 4FA200",
        &[Sign::Sos],
    ),
    (
        Decoder::DraginoTrackerd,
        6,
        "00112233445566778899AABBCCDDEEFF 0001 0002 C5 C4 4F4F 0FA200 01020304",
        &[],
    ),
    (Decoder::DraginoTrackerd, 9, "4FA200 0001000200", &[]),
    (
        Decoder::DraginoTrackerd154,
        2,
        "015A706606CF3CF8 00000012 0000005A 4FA23001AE00DA",
        &[Sign::Sos],
    ),
    (Decoder::DraginoTrackerd154, 3, "015A706606CF3CF8 00000012 0000005A 0FA230", &[]),
    (Decoder::DraginoTrackerd154, 9, "4FA200 0001000200", &[Sign::Sos]),
    (Decoder::DraginoTrackerd154, 8, "414243444546C4 4FA200", &[Sign::Sos]),
    // The alarm stands third from the end; a byte like it before is none.
    (
        Decoder::DraginoTrackerd154,
        10,
        "00112233445566778899AABBCCDDEEFF 0001 0002 C5 0102030405060708090A0B0C0D0E 4FA200",
        &[Sign::Sos],
    ),
    (
        Decoder::DraginoTrackerd154,
        10,
        "4F112233445566778899AABBCCDDEEFF 0001 0002 C5 0102030405060708090A0B0C0D4F 0FA24F",
        &[],
    ),
    (Decoder::DraginoPb01, 2, "0CEA03010111 02A8", &[Sign::Press]),
    (Decoder::DraginoPb01, 2, "0CEA03000111 02A8", &[]),
    (Decoder::DraginoPb01, 5, "35010001FF0CEA", &[]),
    (Decoder::DraginoPb05, 2, "0CEA030000", &[]),
    (Decoder::DraginoPb05, 2, "0CEA000112", &[Sign::Key2, Sign::Key5]),
    (Decoder::DraginoPb05, 3, "0000000001000164 62248D", &[]),
    (Decoder::AbeewayAt2, 18, "0A10F986 00 07", &[Sign::Sos]),
    (Decoder::AbeewayAt2, 18, "0A00F986 00 08", &[Sign::SosEnded]),
    (Decoder::AbeewayAt2, 18, "0510F986 00 00 020304", &[Sign::Sos]),
    (Decoder::AbeewayAt2, 18, "0001", &[]),
    (Decoder::AbeewayAt2, 18, "07046490 00 03 01 0001 0002 0003 00000001", &[Sign::Shock]),
    (Decoder::AbeewayAt2, 18, "09A06490 00 00", &[]),
    // Settings: five bytes each, and the emergency stands in the head.
    (Decoder::AbeewayAt2, 18, "07106490 00 02 0100000E10 020000003C", &[Sign::Sos]),
    (Decoder::AbeewayAt2, 18, "09A00190 00 01", &[Sign::LowBattery]),
    (Decoder::AbeewayAt2, 18, "0B10F986 00 01 02 03 AABBCCDD", &[Sign::Sos]),
    (Decoder::AbeewayAt2, 18, "037AC18900001D28B901603702AABBCC", &[Sign::Sos]),
    (Decoder::AbeewayAt2, 18, "0310F986 09 00 010203040506C4", &[Sign::Sos]),
    (Decoder::MokoLw004, 1, "5F006462248D04", &[Sign::SosEnded]),
    (Decoder::MokoLw004, 1, "5F006462248D05", &[Sign::Alert]),
    (Decoder::MokoLw004, 1, "5F006462248D06", &[Sign::AlertEnded]),
    (Decoder::MokoLw004, 1, "5F006462248D07", &[Sign::ManDown]),
    (Decoder::MokoLw004, 1, "DF006462248D08", &[Sign::ManDownEnded]),
    (Decoder::MokoLw004, 1, "5F006462248D00", &[]),
    (Decoder::MokoLw004, 4, "5F34006462248D", &[Sign::Sos]),
    (Decoder::MokoLw004, 5, "0530006462248D0A", &[Sign::LowBattery]),
    (Decoder::MokoLw004, 10, "5F 71 20 443AA050 1227888E", &[Sign::Sos]),
    (Decoder::MokoLw004, 6, "5F 68 20 443AA050 1227888E", &[Sign::ManDown]),
    (Decoder::MokoLw004, 2, "5F34 006462248D 0001", &[Sign::Sos]),
    (Decoder::MokoLw004, 3, "5F33 006462248D 01", &[Sign::Alert]),
    (Decoder::MokoLw004, 9, "5F34 00 010203040506C4", &[Sign::Sos]),
    (Decoder::MokoLw004, 12, "5F 42 0010 010203040506C4", &[Sign::ManDown]),
    (Decoder::MokoLw001, 7, "211EC0 07E80803090F1F00", &[Sign::Tamper]),
    // No place was found, but networks were heard; a heartbeat.
    (Decoder::MokoLw001, 2, "091EC0 00 07E60803090F1F00 07 010203040506C4", &[Sign::Tamper]),
    (Decoder::MokoLw001, 4, "041EC0 01", &[Sign::LowBattery]),
    (
        Decoder::MokoLw001,
        1,
        "3D1EC0014700000000",
        &[Sign::Motionless, Sign::Tamper, Sign::LowBattery],
    ),
    (Decoder::MokoLw001, 5, "011EC00003", &[Sign::Shock]),
    (Decoder::MokoLw001, 6, "011EC00003", &[Sign::Motionless]),
    (Decoder::TektelicSeal, 10, "029502 00D355", &[Sign::Fall]),
    (Decoder::TektelicSeal, 10, "00D355 029500 006700FA", &[]),
    // Fix, days left, speed, a fence, time, pressure, acceleration: whatever stands before it,
    // the button is found.
    (
        Decoder::TektelicSeal,
        10,
        "000001 009264 009500 019501 00BD0010 007303F5 00740001 0071000100020003 029501",
        &[Sign::Sos],
    ),
    (
        Decoder::TektelicSeal,
        10,
        "0088 000000 000000 0000 00850A0B0C0D 029503",
        &[Sign::Sos, Sign::Fall],
    ),
    (Decoder::TektelicSeal, 100, "28 0A0A03", &[]),
];

#[test]
fn every_sign_is_found_where_the_layout_puts_it() {
    for (decoder, port, payload, signs) in BY_LAYOUT {
        let reading = decoder
            .decode(*port, &hex(payload))
            .unwrap_or_else(|error| panic!("{decoder:?} {port} {payload}: {error}"));
        let found: Vec<Sign> = reading.signs.iter().copied().collect();
        assert_eq!(found, *signs, "{decoder:?} {port} {payload}");
    }
}

/// TrackerD's alarm moved from byte 8 to byte 16. A profile for the wrong firmware must be
/// noticed, not read as a tracker without alarm.
#[test]
fn a_trackerd_of_the_other_firmware_is_refused() {
    for (decoder, port, payload, _) in BY_LAYOUT {
        let other = match decoder {
            Decoder::DraginoTrackerd => Decoder::DraginoTrackerd154,
            Decoder::DraginoTrackerd154 => Decoder::DraginoTrackerd,
            _ => continue,
        };
        if [2, 3].contains(port) {
            assert!(other.decode(*port, &hex(payload)).is_err(), "{payload}");
        }
    }
}
