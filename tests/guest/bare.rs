//! A computer as it comes: a GPIO chip, and SPI not switched on.

use crate::said;

#[test]
fn without_the_overlay_it_says_which() {
    said::wrong(
        "board = \"waveshare-sx1262-hat\"",
        &["/dev/spidev0.0 does not exist", "dtparam=spi=on", "docs/install.md"],
    );
}
