//! A Raspberry Pi 3 as qemu models it: pinctrl-bcm2835, and SPI on which something
//! answers, but to no question that a radio would.

use crate::{kernel_s_view, said, wiring};
use pendant_hal::radio::boards::PRESETS;
use pendant_hal::radio::chip::{Antenna, Bus, Lines};

const CHIP: &str = "gpiochip0";

#[test]
fn every_board_that_is_known_finds_its_lines_and_no_chip() {
    for preset in PRESETS {
        let board = format!("board = \"{}\"", preset.name);
        said::wrong(&board, &["no radio chip answers on SPI", "docs/install.md"]);
    }
}

#[tokio::test]
async fn outputs_follow() {
    let mut switched = wiring(CHIP, 16, 18);
    (switched.transmit_line, switched.receive_line) = (Some(13), Some(12));
    switched.enable_lines = vec![6];
    let (_, mut lines) = switched.open().expect("all are free");
    assert_eq!(kernel_s_view(CHIP, 6), "out hi");
    lines.antenna(Antenna::Transmit).expect("a level is set");
    assert_eq!(
        (kernel_s_view(CHIP, 13), kernel_s_view(CHIP, 12)),
        ("out hi".into(), "out lo".into())
    );
    lines.antenna(Antenna::Receive).expect("a level is set");
    assert_eq!(
        (kernel_s_view(CHIP, 13), kernel_s_view(CHIP, 12)),
        ("out lo".into(), "out hi".into())
    );
    lines.reset(true).expect("a level is set");
    assert_eq!(kernel_s_view(CHIP, 18), "out lo");
}

#[test]
fn wrong_lines_are_told() {
    let hat = |more: &str| format!("board = \"waveshare-sx1262-hat\"\n{more}");
    said::wrong(
        &hat("busy_line = 54"),
        &["the GPIO chip has no line 54 (BUSY)", "not of the pin of the header"],
    );
    // The kernel holds the selects, also without the board's overlay.
    said::wrong(
        &hat("reset_line = 8"),
        &["GPIO line 8 (RESET) is held by `spi-bcm2835`", "choose it by the SPI device"],
    );
    said::wrong(
        &hat("spi = \"/dev/spidev1.0\""),
        &["/dev/spidev1.0 does not exist", "ls /dev/spidev*"],
    );
}
