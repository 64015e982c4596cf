//! Radios on this machine's pins, and what a region refuses.

use super::{LEAST, effective, parse, refusal};
use pendant_gateway::config::{LinkKind, Radio};
use pendant_hal::radio::boards::{ChipKind, PRESETS};

/// The least text with a radio in the place of its serial port.
fn with_radio(lines: &str) -> String {
    LEAST
        .replace("kind = \"serial\"\n", "kind = \"radio\"\n")
        .replace("path = \"/dev/serial/by-id/usb-receiver\"\n", &format!("{lines}\n"))
}

fn radio(lines: &str) -> Radio {
    let config = parse(&with_radio(lines));
    assert_eq!(effective(&parse(&config.to_text())), effective(&config), "{lines}");
    match &config.links[0].kind {
        LinkKind::Radio(radio) => radio.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_board_by_name_and_a_region_are_enough() {
    for preset in PRESETS {
        let radio = radio(&format!("board = \"{}\"\nregion = \"EU868\"", preset.name));
        assert_eq!((radio.chip, radio.irq_line), (preset.chip, preset.irq_line));
        assert_eq!((radio.busy_line, radio.tcxo_mv), (preset.busy_line, preset.tcxo_mv));
        assert_eq!(radio.spi.to_str(), Some(preset.spi));
        assert_eq!(radio.enable_lines, preset.enable_lines);
        assert_eq!(radio.air.frequency_hz, 868_100_000);
        assert_eq!(radio.air.downlink_frequency_hz, 869_525_000);
    }
}

#[test]
fn each_value_of_a_board_can_be_changed() {
    let radio = radio(
        "board = \"waveshare-sx1262-hat\"\nregion = \"US915\"\nbusy_line = 24\ntcxo_mv = 1800\n\
         gpiochip = \"/dev/gpiochip4\"\nspi = \"/dev/spidev1.0\"\nenable_lines = []\n\
         dio2_switches_antenna = false\ntransmit_line = 6\npower_dbm = 20\nspreading_factor = 10",
    );
    assert_eq!((radio.busy_line, radio.transmit_line), (Some(24), Some(6)));
    assert_eq!((radio.tcxo_mv, radio.dio2_switches_antenna), (1800, false));
    assert!(radio.enable_lines.is_empty());
    assert_eq!((radio.air.power_dbm, radio.air.downlink_frequency_hz), (20, 915_000_000));
}

#[test]
fn a_line_that_is_two_things_is_refused() {
    for (lines, told) in [
        ("reset_line = 16", "GPIO line 16 is both `irq_line` and `reset_line`"),
        ("irq_line = 20", "GPIO line 20 is both `irq_line` and `busy_line`"),
        ("enable_lines = [6, 18]", "GPIO line 18 is both `reset_line` and `enable_lines`"),
    ] {
        let text = format!("board = \"waveshare-sx1262-hat\"\nregion = \"EU868\"\n{lines}");
        let refused = super::refusals(&with_radio(&text));
        assert!(refused[0].text.contains(told), "{:?}", refused[0]);
    }
}

#[test]
fn a_board_of_one_s_own_names_chip_and_lines() {
    let own = "region = \"IN865\"\nchip = \"sx1276\"\nirq_line = 4\nreset_line = 17";
    let radio = radio(own);
    assert_eq!((radio.chip, radio.busy_line, radio.pa_boost), (ChipKind::Sx1276, None, true));
    for (gone, told) in [
        ("irq_line = 4\n", "lacks `irq_line`"),
        ("chip = \"sx1276\"\n", "lacks `chip`"),
        ("region = \"IN865\"\n", "lacks `region`"),
    ] {
        let refused = super::refusals(&with_radio(&own.replace(gone, "")));
        assert!(refused[0].text.contains(told), "{:?}", refused[0]);
    }
}

#[test]
fn what_a_region_or_a_chip_cannot_do_is_refused_with_what_to_write() {
    let eu = "board = \"waveshare-sx1262-hat\"\nregion = \"EU868\"";
    let us = "board = \"waveshare-sx1262-hat\"\nregion = \"US915\"";
    let rfm95 = "board = \"adafruit-rfm95-bonnet\"\nregion = \"EU868\"";
    for (board, line, told, remedy) in [
        (eu, "region = \"EU863\"", "", ""),
        (eu, "downlink_frequency_hz = 869300000", "in no band of EU868", "869400000 to 869650000"),
        (eu, "frequency_hz = 915000000", "in no band of EU868", "868000000 to 868600000"),
        (eu, "bandwidth_hz = 500000", "in no band of EU868", ""),
        (
            eu,
            "downlink_frequency_hz = 868100000\npower_dbm = 20",
            "22 dBm EIRP; EU868 allows 16 there",
            "write: power_dbm = 14",
        ),
        (eu, "power_dbm = 22\nantenna_gain_dbi = 9", "31 dBm EIRP", "write: power_dbm = 20"),
        (us, "spreading_factor = 11", "takes 823 ms at SF11; US915 allows 400 ms", "= 10"),
        (us, "coding_rate = \"4/8\"\nspreading_factor = 10", "takes 493 ms at SF10", "= 9"),
        (
            eu,
            "frequency_hz = 868100000\ndownlink_frequency_hz = 868100000\nantenna_gain_dbi = 20",
            "34 dBm EIRP",
            "an antenna of less gain",
        ),
        (
            rfm95,
            "spreading_factor = 11",
            "cannot be set to SF11 with 125000 Hz",
            "= 10 (with this bandwidth it can be SF7, SF8, SF9, SF10, SF12)",
        ),
        (
            eu,
            "bandwidth_hz = 62500\nspreading_factor = 12",
            "cannot be set to SF12 with 62500 Hz",
            "= 9 (with this bandwidth it can be SF5, SF6, SF7, SF8, SF9)",
        ),
        (rfm95, "power_dbm = 18", "`power_dbm` is a whole number of dBm, 2 to 17", "2 to 17"),
        (rfm95, "spi_hz = 16_000_000", "whole number of hertz, 100000 to 10000000", ""),
        (eu, "spi_hz = 16_000_001", "whole number of hertz, 100000 to 16000000", ""),
        (eu, "tcxo_mv = 1900", "`tcxo_mv` is one of", "tcxo_mv = 1800"),
        (eu, "enable_lines = 6", "`enable_lines` is a list", "[12, 13]"),
        (eu, "enable_lines = [6, -1]", "`enable_lines` is a list", "[12, 13]"),
        (eu, "board = \"waveshare\"", "", ""),
        (eu, "baud = 9600", "unknown key `baud`", "[[link]]"),
    ] {
        // A key that is there already is replaced.
        let key = line.split(' ').next().unwrap_or_default();
        let kept: Vec<&str> = board.lines().filter(|old| !old.starts_with(key)).collect();
        let told_all = refusals_text(&with_radio(&format!("{}\n{line}", kept.join("\n"))));
        assert!(told_all.contains(told), "{line}\n{told_all}");
        assert!(told_all.contains(remedy), "{line}\n{told_all}");
    }
}

#[test]
fn a_line_that_two_radios_have_is_refused() {
    let board = "board = \"waveshare-sx1262-hat\"\nregion = \"EU868\"";
    let second = format!(
        "\n[[link]]\nname = \"second\"\nkind = \"radio\"\n{board}\nspi = \"/dev/spidev1.0\"\n\
         irq_line = 5\nreset_line = 7\nbusy_line = 8\n"
    );
    let first = with_radio(board);
    let told = refusals_text(&format!("{first}{second}"));
    assert!(told.contains("is another link's already"), "{told}");
    let apart = format!("{first}{second}enable_lines = [9]\n");
    let apart = apart.replace("busy_line = 8", "busy_line = 8\ngpiochip = \"/dev/gpiochip4\"");
    parse(&apart);
}

#[test]
fn a_near_board_is_suggested() {
    let told = refusal(&with_radio(
        "board = \"waveshare-sx1262-hatt\"\nregion = \"EU868\"\nchip = \"sx1262\"\n\
         irq_line = 16\nreset_line = 18\nbusy_line = 20",
    ));
    assert!(told.contains("write: board = \"waveshare-sx1262-hat\""), "{told}");
}

fn refusals_text(text: &str) -> String {
    super::refusals(text).iter().map(ToString::to_string).collect()
}
