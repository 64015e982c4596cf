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
    assert_eq!((place.latitude_e6, place.longitude_e6), (48_920_806, 2_308_275));
    assert_eq!(place.age_s, Some(300));
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
