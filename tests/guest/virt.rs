//! A PL061: lines, levels and edges. Line 3 is the machine's power button, which
//! whoever runs the guest presses when asked: an edge from outside, high for
//! 100 ms. Lines on which nothing drives keep their last level.

use crate::{kernel_s_view, said, wiring};
use pendant_hal::radio::chip::{Antenna, Bus, Lines};
use pendant_hal::radio::linux::{GpioLines, Wiring};
use pendant_hal::{LineFault, LinkFault};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const CHIP: &str = "gpiochip1";

/// Another, of the simplest kind, without interrupts.
const SIMPLE_CHIP: &str = "gpiochip0";

const BUTTON: u32 = 3;
const SPARE: u32 = 5;
const RESET: u32 = 6;
const FREE: u32 = 7;

const PRESSED_FOR: Duration = Duration::from_millis(100);

/// Longer than whoever runs the guest takes to press.
const PRESS_MAX: Duration = Duration::from_secs(60);

/// Long enough to see that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

fn press() {
    let mut console = OpenOptions::new().write(true).open("/dev/console").expect("a console");
    console.write_all(b"\n@press\n").expect("it takes text");
}

/// Watches the button through the kernel, not through what is tested.
fn until_button_is(level: &str) {
    let until = Instant::now() + PRESS_MAX;
    while kernel_s_view(CHIP, BUTTON) != format!("in {level}") {
        assert!(Instant::now() < until, "the button never is {level}");
    }
}

fn open(wiring: &Wiring) -> Result<GpioLines, LinkFault> {
    wiring.clone().open().map(|(_, lines)| lines)
}

fn button() -> GpioLines {
    open(&wiring(CHIP, BUTTON, RESET)).expect("its lines are free")
}

async fn pressed(lines: &mut GpioLines) -> Instant {
    timeout(PRESS_MAX, lines.dio1()).await.expect("an edge comes").expect("no error")
}

async fn says_nothing(lines: &mut GpioLines) {
    let said = timeout(QUIET, lines.dio1()).await;
    assert!(said.is_err(), "{said:?}");
}

#[tokio::test]
async fn a_rising_edge_wakes_and_a_falling_one_does_not() {
    let mut lines = button();
    says_nothing(&mut lines).await;
    for _ in 0..3 {
        let before = Instant::now();
        press();
        let at = pressed(&mut lines).await;
        let now = Instant::now();
        assert!(before < at && at <= now && now - at < PRESSED_FOR, "{before:?} {at:?} {now:?}");
        until_button_is("lo");
        says_nothing(&mut lines).await;
    }
}

#[tokio::test]
async fn an_edge_bears_the_kernel_s_time_however_late_the_thread_looks() {
    let mut lines = button();
    press();
    until_button_is("hi");
    let seen = Instant::now();
    let late = PRESSED_FOR / 2;
    while seen.elapsed() < late {
        std::hint::spin_loop();
    }
    let at = pressed(&mut lines).await;
    assert!(at <= seen && at.elapsed() >= late, "{:?}", at.elapsed());
    // Told once. As long as the line is high it only says so.
    let again = pressed(&mut lines).await;
    assert!(again > seen + late, "{:?}", again.duration_since(at));
}

#[tokio::test]
async fn an_edge_whose_level_has_gone_tells_nothing() {
    let mut lines = button();
    press();
    until_button_is("hi");
    until_button_is("lo");
    says_nothing(&mut lines).await;
    let before = Instant::now();
    press();
    assert!(pressed(&mut lines).await > before);
}

#[tokio::test]
async fn outputs_follow_and_are_given_back() {
    let mut switched = wiring(CHIP, BUTTON, RESET);
    (switched.transmit_line, switched.receive_line) = (Some(FREE), Some(SPARE));
    let mut lines = open(&switched).expect("all are free");
    let antenna = || (kernel_s_view(CHIP, FREE), kernel_s_view(CHIP, SPARE));
    let pair = |transmit: &str, receive: &str| (transmit.to_owned(), receive.to_owned());
    assert_eq!(antenna(), pair("out lo", "out lo"));
    for (to, are) in [
        (Antenna::Transmit, pair("out hi", "out lo")),
        (Antenna::Receive, pair("out lo", "out hi")),
        (Antenna::Off, pair("out lo", "out lo")),
    ] {
        lines.antenna(to).expect("a level is set");
        assert_eq!(antenna(), are, "{to:?}");
    }
    // The chip pulls RESET up by itself: let go, not driven.
    lines.reset(true).expect("a level is set");
    assert!(is_driven(RESET));
    assert_eq!(kernel_s_view(CHIP, RESET), "out lo");
    lines.reset(false).expect("a level is set");
    assert!(!is_driven(RESET));
    drop(lines);
    open(&switched).expect("they were given back");
}

/// Whether the chip drives a line: its register GPIODIR (PL061 manual, section
/// 3.3.2). The kernel only says what it was asked for.
fn is_driven(line: u32) -> bool {
    const GPIODIR: &str = "0x09030400";
    let read = Command::new("devmem").args([GPIODIR, "8"]).output().expect("busybox has it");
    let text = String::from_utf8_lossy(&read.stdout);
    let value = text.trim().strip_prefix("0x").and_then(|hex| u8::from_str_radix(hex, 16).ok());
    value.unwrap_or_else(|| panic!("no register: {read:?}")) >> line & 1 == 1
}

/// Leaves a line on which nothing drives at this level.
fn leave(line: u32, level: &str) {
    let mut wiring = wiring(CHIP, BUTTON, RESET);
    match level {
        "hi" => wiring.enable_lines = vec![line],
        _ => wiring.transmit_line = Some(line),
    }
    let lines = open(&wiring).expect("it is free");
    assert_eq!(kernel_s_view(CHIP, line), format!("out {level}"));
    drop(lines);
}

/// A board of one's own on these lines, as the configuration has it.
fn board(busy_line: u32) -> String {
    board_on("/dev/spidev0.0", CHIP, busy_line)
}

fn board_on(spi: &str, gpiochip: &str, busy_line: u32) -> String {
    format!(
        "chip = \"sx1262\"\nspi = \"{spi}\"\ngpiochip = \"/dev/{gpiochip}\"\nirq_line = {BUTTON}\n\
         reset_line = {RESET}\nbusy_line = {busy_line}"
    )
}

#[tokio::test]
async fn a_bus_without_a_chip_and_a_stuck_busy_line_are_told() {
    leave(FREE, "lo");
    said::wrong(&board(FREE), &["no radio chip answers on SPI", "RESET"]);
    leave(FREE, "hi");
    said::wrong(&board(FREE), &["BUSY line stays high", "tcxo_mv"]);
}

#[test]
fn a_line_or_chip_that_is_not_there_is_told() {
    said::wrong(&board(8), &["the GPIO chip has no line 8 (BUSY)", "not of the pin"]);
    let on = |spi, gpiochip| board_on(spi, gpiochip, FREE);
    let nowhere = on("/dev/spidev0.0", "gpiochip9");
    said::wrong(&nowhere, &["/dev/gpiochip9 does not exist", "gpiodetect"]);
    let another = on("/dev/spidev0.0", "spidev0.0");
    said::wrong(&another, &["/dev/spidev0.0 is another kind of device", "correct the path"]);
    let another = on("/dev/gpiochip1", CHIP);
    said::wrong(&another, &["/dev/gpiochip1 is another kind of device", "correct the path"]);
}

#[test]
fn a_chip_that_knows_no_edges_is_told() {
    let simple = board_on("/dev/spidev0.0", SIMPLE_CHIP, FREE);
    said::wrong(&simple, &["GPIO line 3 (interrupt) tells of no edges", "gpiodetect"]);
}

#[test]
fn a_line_that_the_kernel_holds_is_told_with_its_holder() {
    let module = |program: &str, module: &str| {
        let status = Command::new(program).arg(module).status().expect("busybox has it");
        assert!(status.success(), "{program} {module}: {status}");
    };
    module("insmod", "/lib/gpio_keys.ko");
    let said = said::of(&board(FREE));
    module("rmmod", "gpio_keys");
    assert!(said.starts_with("WRONG "), "{said}");
    said::has(&said, &["GPIO line 3 (interrupt) is held by `GPIO Key Poweroff`", "gpioinfo"]);
    // SPI's own lines: select, and data.
    let select = board(4);
    said::wrong(&select, &["GPIO line 4 (BUSY) is held by `spi0 CS0`", "by the SPI device"]);
}

#[tokio::test]
async fn a_radio_that_another_program_has_is_told_as_in_use() {
    leave(FREE, "lo");
    let lines = open(&wiring(CHIP, BUTTON, RESET)).expect("they are free");
    let said = said::of(&board(FREE));
    assert!(said.starts_with("advice"), "{said}");
    said::has(&said, &["the radio is in use", "line 3 (interrupt)", "pendant-gateway", "stop it"]);
    let again = open(&wiring(CHIP, BUTTON, RESET)).err();
    let why = LineFault::Taken { by: "pendant-gateway".to_owned() };
    assert_eq!(again, Some(LinkFault::Line { role: "interrupt", line: BUTTON, why }));
    drop(lines);
    said::wrong(&board(FREE), &["no radio chip answers"]);
}

#[test]
fn a_user_who_may_not_is_told_the_group() {
    const NOBODY: u32 = 65534;
    let denied = |path: &str| {
        let said = said::as_user(&board(FREE), NOBODY);
        said::has(&said, &[&format!("{path} may not be opened by this user"), "spi or gpio"]);
    };
    denied("/dev/spidev0.0");
    let open_to_all = Permissions::from_mode(0o666);
    fs::set_permissions("/dev/spidev0.0", open_to_all).expect("root may");
    denied("/dev/gpiochip1");
}
