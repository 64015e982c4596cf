//! What goes over a Raspberry Pi's SPI: a flash memory answers. Its select is not
//! wired in qemu, so what it was asked before would disturb it: these come first.

use crate::wiring;
use embedded_hal_async::spi::{Operation, SpiDevice};
use pendant_hal::radio::chip::Bus;

/// What a W25Q80BL says to 9Fh (its data sheet, section 7.1): maker, kind, size.
/// The model pads to six bytes.
const FLASH_IS: [u8; 6] = [0xEF, 0x40, 0x14, 0, 0, 0];

#[tokio::test]
async fn what_is_written_and_read_in_one_transaction_goes_over_the_wires() {
    for spi_hz in [100_000, 2_000_000, 16_000_000] {
        let mut wiring = wiring("gpiochip0", 16, 18);
        wiring.spi_hz = spi_hz;
        let (mut spi, _lines) = wiring.open().expect("both are there");
        let mut says = [0x55; 6];
        let mut question = [Operation::Write(&[0x9F]), Operation::Read(&mut says)];
        spi.transaction(&mut question).await.expect("the bus works");
        assert_eq!(says, FLASH_IS, "{spi_hz} Hz");
        let mut both = [0; 7];
        let question = [0x9F, 0, 0, 0, 0, 0, 0];
        let mut at_once = [Operation::Transfer(&mut both, &question), Operation::DelayNs(1500)];
        spi.transaction(&mut at_once).await.expect("the bus works");
        assert_eq!(both[1..], FLASH_IS, "{spi_hz} Hz");
        // What is longer than the controller's buffer, as the longest frame is.
        let mut long = [0x55; 256];
        let mut question = [Operation::Write(&[0x9F; 1]), Operation::Read(&mut long)];
        spi.transaction(&mut question).await.expect("the bus works");
        assert_eq!(long[..6], FLASH_IS, "{spi_hz} Hz");
    }
}
