//! Payloads that makers and public decoders publish, with what they say they mean.

use crate::hex;
use pendant_gateway::engine::device::{Decoder, Position, Reading, Sign};

/// A payload and what is published of it.
pub(crate) struct Vector {
    pub(crate) decoder: Decoder,
    pub(crate) port: u8,
    pub(crate) payload: &'static str,
    signs: &'static [Sign],
    battery_percent: Option<u8>,
    temperature_decidegrees: Option<i16>,
    position: Option<(i32, i32)>,
}

const fn vector(
    decoder: Decoder,
    port: u8,
    payload: &'static str,
    signs: &'static [Sign],
) -> Vector {
    Vector {
        decoder,
        port,
        payload,
        signs,
        battery_percent: None,
        temperature_decidegrees: None,
        position: None,
    }
}

impl Vector {
    const fn battery(mut self, percent: u8) -> Self {
        self.battery_percent = Some(percent);
        self
    }

    const fn temperature(mut self, decidegrees: i16) -> Self {
        self.temperature_decidegrees = Some(decidegrees);
        self
    }

    const fn at(mut self, latitude_e6: i32, longitude_e6: i32) -> Self {
        self.position = Some((latitude_e6, longitude_e6));
        self
    }
}

pub(crate) const PUBLISHED: [Vector; 35] = [
    // Milesight-IoT/SensorDecoders, ws-series/ws101/README.md
    vector(Decoder::MilesightWs101, 85, "017510 FF2E01", &[Sign::PressShort]).battery(16),
    // TheThingsNetwork/lorawan-devices, vendor/milesight-iot/ws101-codec.yaml
    vector(Decoder::MilesightWs101, 85, "FF2E01", &[Sign::PressShort]),
    // milesight.com, WS101 protocol, uplink data
    vector(
        Decoder::MilesightWs101,
        85,
        "ff0bff ff0101 ff086538b2232131 ff090100 ff0a0102 ff0f00",
        &[],
    ),
    vector(Decoder::MilesightWs101, 85, "017564", &[]).battery(100),
    // Milesight WS136 & WS156 user guide, 5.1 and 5.2
    vector(
        Decoder::MilesightWs1x6,
        85,
        "ff0bff ff0101 ff166592b32851010013 ff090100 ff0a0102",
        &[],
    ),
    vector(Decoder::MilesightWs1x6, 85, "017564", &[]).battery(100),
    vector(Decoder::MilesightWs1x6, 85, "ff34011800", &[Sign::Key1]),
    // Milesight-IoT/SensorDecoders, at-series/at101/README.md
    vector(Decoder::MilesightAt101, 85, "017564 03671B01 050000 048836BF7701F000090722", &[])
        .battery(100)
        .temperature(283)
        .at(24_624_950, 118_030_576),
    vector(
        Decoder::MilesightAt101,
        85,
        "017564 03671B01 050001 06D9081CC316222DF9C302 06D90824E124F6A667B602 06D90824E124F54DE3BC02 \
         06D90824E124F57971B202 06D90824E124F319A8C802",
        &[],
    )
    .battery(100)
    .temperature(283),
    // Netvox R718T user manual, 5.2: answers to settings
    vector(Decoder::NetvoxButton, 7, "8131000000000000000000", &[]),
    vector(Decoder::NetvoxButton, 7, "8131010000000000000000", &[]),
    vector(Decoder::NetvoxButton, 7, "8231003C003C0100000000", &[]),
    // Netvox R312A: an alarm. The place where it was published was not found again.
    vector(Decoder::NetvoxButton, 6, "014D011E01000000000000", &[Sign::Press]),
    // TheThingsNetwork/lorawan-devices, vendor/browan/tbpb100-codec.yaml
    vector(Decoder::BrowanTbpb100, 147, "01FE370000040000", &[Sign::Press]).temperature(230),
    // TheThingsNetwork/lorawan-devices, vendor/mclimate/mc-button-codec.yaml, and
    // docs.mclimate.eu, keep-alive
    vector(Decoder::MclimateButton, 2, "01AB029B03", &[Sign::PressTriple]).temperature(667),
    // Seeed SenseCAP T1000 user guide, 6.2: state, heartbeat, places, errors
    vector(Decoder::SensecapT1000, 5, "025601050105010002d0003c003c0000", &[]).battery(86),
    vector(Decoder::SensecapT1000, 5, "0564010001", &[]).battery(100),
    vector(
        Decoder::SensecapT1000,
        5,
        "06000008006462248d06ca502801587ec600fe000057",
        &[Sign::Shock],
    )
    .battery(87)
    .temperature(254)
    .at(22_576_838, 113_922_088),
    vector(
        Decoder::SensecapT1000,
        5,
        "070000080064622472487397162234bb3ccd5798fd2ebc74cf002f3ad0a9ec26ca022958b900fe000057",
        &[Sign::Shock],
    )
    .battery(87)
    .temperature(254),
    vector(
        Decoder::SensecapT1000,
        5,
        "0800000800646225bb5162d2c1b9d3ca1b5bd2afeae5c0d0e2d70529e8c900fa000057",
        &[Sign::Shock],
    )
    .battery(87)
    .temperature(250),
    vector(Decoder::SensecapT1000, 5, "09000000006463186806ca506801587e4c56", &[])
        .battery(86)
        .at(22_576_716, 113_922_152),
    vector(
        Decoder::SensecapT1000,
        5,
        "0A0000080064622472487397162234bb3ccd5798fd2ebc74cf002f3ad0a9ec26ca022958b957",
        &[Sign::Shock],
    )
    .battery(87),
    vector(
        Decoder::SensecapT1000,
        5,
        "0B00000800646225bb5162d2c1b9d3ca1b5bd2afeae5c0d0e2d70529e8c957",
        &[Sign::Shock],
    )
    .battery(87),
    vector(Decoder::SensecapT1000, 5, "0D00000001", &[]),
    vector(Decoder::SensecapT1000, 5, "110100000064a763a0014100002f", &[])
        .battery(47)
        .temperature(321),
    // wiki.seeedstudio.com/T1000_payload, device status packet
    vector(
        Decoder::SensecapT1000,
        5,
        "0153010501050207001e00050005010000001e000500016801012c000005001e0258000000000005000100\
         64000000",
        &[],
    )
    .battery(83),
    // TheThingsNetwork/lorawan-devices, vendor/dragino/trackerd-codec.yaml
    vector(Decoder::DraginoTrackerd, 2, "015A706606CF3CF80FA23001AE00DA", &[])
        .temperature(218)
        .at(22_704_230, 114_244_856),
    // Dragino PB05-L. The place where it was published was not found again.
    vector(Decoder::DraginoPb05, 2, "0CEA000101", &[Sign::Key1]),
    // TheThingsNetwork/lorawan-devices, vendor/abeeway/asset-tracker-2-codec.yaml
    vector(Decoder::AbeewayAt2, 18, "036AC18900001D28B901603702", &[])
        .temperature(253)
        .at(48_920_806, 2_308_275),
    vector(Decoder::AbeewayAt2, 18, "0A00F9860000", &[]).temperature(238),
    // debraysimon/tpxle-doc, AbeewayRefGuide, uplink-messages/ble-mac-address
    vector(Decoder::AbeewayAt2, 18, "070464901005e604413dc504", &[]).battery(100).temperature(288),
    // MOKO LW004-PB, SOS. The place where it was published was not found again.
    vector(Decoder::MokoLw004, 1, "5F006462248D03", &[Sign::Sos]).battery(95),
    // TheThingsNetwork/lorawan-devices, vendor/moko/lw001-bgpro-codec.yaml
    vector(Decoder::MokoLw001, 1, "211EC0014700000000", &[]).temperature(300),
    vector(Decoder::MokoLw001, 2, "011FC00207E60803090F1F00091227888E443AA0500C", &[])
        .temperature(310)
        .at(30_458_075, 114_469_281),
    // Tektelic SEAL, emergency button. The place where it was published was not found again.
    vector(Decoder::TektelicSeal, 10, "029501", &[Sign::Sos]),
];

fn read(vector: &Vector) -> Reading {
    vector
        .decoder
        .decode(vector.port, &hex(vector.payload))
        .unwrap_or_else(|error| panic!("{}: {error}", vector.payload))
}

#[test]
fn published_payloads_mean_what_is_published() {
    for vector in &PUBLISHED {
        let reading = read(vector);
        let signs: Vec<Sign> = reading.signs.iter().copied().collect();
        assert_eq!(signs, vector.signs, "{}", vector.payload);
        assert_eq!(reading.battery_percent, vector.battery_percent, "{}", vector.payload);
        assert_eq!(
            reading.temperature_decidegrees, vector.temperature_decidegrees,
            "{}",
            vector.payload
        );
        let place = |position: Position| (position.latitude_e6, position.longitude_e6);
        assert_eq!(reading.position.map(place), vector.position, "{}", vector.payload);
    }
}

/// What no example is published of, but the same layouts say: decoder, port, payload, signs.
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
    (
        Decoder::DraginoTrackerd154,
        2,
        "015A706606CF3CF8 00000012 0000005A 4FA23001AE00DA",
        &[Sign::Sos],
    ),
    (Decoder::DraginoTrackerd154, 3, "015A706606CF3CF8 00000012 0000005A 0FA230", &[]),
    (Decoder::DraginoTrackerd154, 9, "4FA200 0001000200", &[Sign::Sos]),
    (Decoder::DraginoTrackerd154, 8, "414243444546C4 4FA200", &[Sign::Sos]),
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
    (Decoder::MokoLw004, 12, "5F 42 0010 010203040506C4", &[Sign::ManDown]),
    (Decoder::MokoLw001, 7, "211EC0 07E80803090F1F00", &[Sign::Tamper]),
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

#[test]
fn a_temperature_is_found_behind_what_stands_before_it() {
    for (port, payload, decidegrees) in [
        (2, "015A706606CF3CF80FA23001AEFFDA", Some(-38)),
        (2, "015A706606CF3CF80FA23801AE00DA07E80102030405", Some(218)),
        (2, "015A706606CF3CF80FA23807E80102030405", None),
        (3, "015A706606CF3CF80FA2B0001201AE00DA", Some(218)),
        (3, "015A706606CF3CF80FA270", None),
    ] {
        let reading = Decoder::DraginoTrackerd.decode(port, &hex(payload)).expect("a payload");
        assert_eq!(reading.temperature_decidegrees, decidegrees, "{payload}");
    }
}

#[test]
fn age_and_accuracy_of_a_place_are_kept() {
    let at = |decoder: Decoder, port, payload| {
        decoder.decode(port, &hex(payload)).expect("a payload").position.expect("a place")
    };
    let place = at(Decoder::AbeewayAt2, 18, "036AC18900021D28B901603702");
    // Published: 7.84 m. Rounded up, so that it promises nothing.
    assert_eq!((place.accuracy_m, place.age_s), (Some(8), Some(16)));
    let place = at(Decoder::MokoLw004, 6, "5F 61 20 443AA050 1227888E");
    assert_eq!((place.longitude_e6, place.latitude_e6), (114_469_281, 30_458_075));
    assert_eq!(place.age_s, Some(0x120));
    let place = at(Decoder::AbeewayAt2, 18, "0E00F98600 012C 01 1D28B900 01603700 0000");
    assert_eq!((place.latitude_e6, place.age_s), (48_920_806, Some(300)));
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

#[test]
fn a_place_that_the_device_does_not_know_is_none() {
    for (decoder, port, payload) in [
        (Decoder::MilesightAt101, 85, "0488FFFFFFFFFFFFFFFF20"),
        (Decoder::SensecapT1000, 5, "09 000040 00 6462248D 00000000 00000000 57"),
        (Decoder::DraginoTrackerd, 2, "00000000000000004FA23001AE00DA"),
        (Decoder::DraginoTrackerd154, 3, "FFFFFFFFFFFFFFFF 00000012 0000005A 4FA230"),
        (Decoder::AbeewayAt2, 18, "036AC1890000000000 00000002"),
        (Decoder::AbeewayAt2, 18, "0310F986 01 00 00000000"),
        (Decoder::MokoLw004, 6, "5F 61 20 00000000 00000000"),
        (Decoder::MokoLw001, 2, "011FC00207E60803090F1F000900000000000000000C"),
        (Decoder::TektelicSeal, 10, "0088 3A5272 01603700 02"),
    ] {
        let reading = decoder.decode(port, &hex(payload)).expect("a payload");
        assert_eq!(reading.position, None, "{decoder:?} {payload}");
    }
}
