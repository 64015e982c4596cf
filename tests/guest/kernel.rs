//! A radio's lines and SPI on a real kernel: this runs inside the guests that
//! `tests/guest/run` boots, and nowhere else.
//!
//! `bare`: as a computer comes, without the SPI overlay. `virt`: a PL061 GPIO
//! chip of 8 lines whose line 3 is the machine's power button, and SPI over
//! others of its lines. `raspi3b`: a Raspberry Pi's own GPIO and SPI; `flash`: what
//! goes over the latter. `priority`: that of a radio's thread.
//!
//! What needs the hardware all the same: a LoRa chip's answers on real wires, its
//! interrupts on a Pi's lines (qemu models their levels, not their edges), a
//! BUSY line in motion, the antenna. `hal/src/sim` has the twins of these.

mod bare;
mod flash;
mod priority;
mod raspi3b;
mod said;
mod virt;

use pendant_hal::radio::linux::Wiring;
use std::fs;
use std::path::Path;

/// Lines that nobody else has, on the SPI device of both guests.
fn wiring(gpiochip: &str, irq_line: u32, reset_line: u32) -> Wiring {
    Wiring {
        spi: "/dev/spidev0.0".into(),
        spi_hz: 2_000_000,
        gpiochip: Path::new("/dev").join(gpiochip),
        irq_line,
        reset_line,
        busy_line: None,
        transmit_line: None,
        receive_line: None,
        enable_lines: vec![],
    }
}

/// How the kernel itself has a line: `out hi`, `in lo`. The number counts from
/// the chip's first.
fn kernel_s_view(gpiochip: &str, line: u32) -> String {
    let text = fs::read_to_string("/sys/kernel/debug/gpio").expect("debugfs is mounted");
    let own = text.split_once(&format!("{gpiochip}: GPIOs ")).expect("the chip").1;
    let own = own.split("gpiochip").next().expect("up to the next chip");
    let first: u32 = own.split('-').next().and_then(|n| n.parse().ok()).expect("a number");
    let start = format!(" gpio-{} ", first + line);
    let found = own.lines().find(|text| text.starts_with(&start));
    let found = found.unwrap_or_else(|| panic!("nobody has line {line}:\n{own}"));
    let state = found.split(')').nth(1).expect("behind its names");
    state.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
