//! What `setup` must know: from flags, else asked, else the default.

use super::asking::{Asking, paste};
use super::finding::{Pins, Port, pins, ports};
use super::text::{
    Address, Answers, CODECS, Concentrator, REGIONS, Radio, Receiver, Serial, boards, one_of,
    usual_baud,
};
use super::{Arguments, identity};
use crate::cli::file_fault::file_fault;
use crate::cli::machine::Machine;
use crate::cli::{Failure, tell};
use crate::engine::name::Name;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether anything was given that belongs into the configuration.
pub(super) fn has_answers(arguments: &Arguments) -> bool {
    let given = [
        arguments.site.is_some(),
        arguments.gateway.is_some(),
        arguments.slot.is_some(),
        arguments.broker.is_some(),
        arguments.broker_name.is_some(),
        arguments.ca.is_some(),
        !arguments.serial.is_empty(),
        !arguments.radio.is_empty(),
        !arguments.concentrator.is_empty(),
        arguments.store.is_some(),
        arguments.control.is_some(),
    ];
    given.contains(&true)
}

pub(super) fn answers(
    tls: &Path,
    arguments: &Arguments,
    asking: &Asking,
) -> Result<Answers, Failure> {
    let name = |text: &str| Name::new(text).map_err(|error| error.to_string());
    let site = match &arguments.site {
        Some(site) => site.clone(),
        None => asking.ask("Site, as agreed with the centre", None, "--site", name)?,
    };
    let gateway = match &arguments.gateway {
        Some(gateway) => gateway.clone(),
        None => {
            let host = host_name().filter(|host| name(host).is_ok());
            asking.ask("Name of this gateway", host.as_deref(), "--gateway", name)?
        }
    };
    let slot = match arguments.slot {
        Some(slot) => slot,
        None => {
            let question =
                "Number of this gateway on the air, 0 to 31 (one that replaces another: a new one)";
            asking.ask(question, Some("0"), "--slot", read_slot)?
        }
    };
    let broker = match &arguments.broker {
        Some(broker) => broker.clone(),
        None => asking.ask("The centre's broker, HOST or HOST:PORT", None, "--broker", |text| {
            text.parse::<Address>()
        })?,
    };
    let broker_name =
        match (&arguments.broker_name, &arguments.broker) {
            (Some(name), _) => Some(name.clone()),
            // Who gives the broker by flag would give this too.
            (None, Some(_)) => None,
            (None, None) => {
                let question = "Name in the broker's certificate";
                Some(asking.ask(question, Some(&broker.host), "--broker-name", |text| {
                    Ok(text.to_owned())
                })?)
            }
        };
    Ok(Answers {
        site,
        gateway,
        slot,
        broker,
        broker_name,
        receivers: receivers(arguments, asking)?,
        store: arguments.store.clone(),
        control: arguments.control.clone(),
        tls: tls.to_owned(),
    })
}

fn read_slot(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|slot| *slot <= 31).ok_or_else(|| "a number from 0 to 31".to_owned())
}

fn host_name() -> Option<String> {
    Machine::this().text("/proc/sys/kernel/hostname")
}

/// The text of the centre's authority: given, asked for, or as it is there already.
pub(super) fn authority(
    tls: &Path,
    arguments: &Arguments,
    asking: &Asking,
) -> Result<Vec<u8>, Failure> {
    let what = "the certificate of the centre's authority";
    if let Some(file) = &arguments.ca {
        return read(file, what);
    }
    let there = tls.join("ca.pem");
    let default = there.exists().then(|| there.display().to_string());
    let question = "File with the certificate of the centre's authority (- to paste it)";
    asking.ask(question, default.as_deref(), "--ca", |text| {
        let found = read(Path::new(text), what).map_err(|failure| failure.text)?;
        identity::authorities(&found, what).map(|_| found)
    })
}

/// A file, or what is pasted or piped.
pub(super) fn read(file: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        return paste(what);
    }
    fs::read(file)
        .map_err(|error| Failure::refused(format!("{what}: {}", file_fault(file, &error))))
}

fn receivers(arguments: &Arguments, asking: &Asking) -> Result<Vec<Receiver>, Failure> {
    let serials = arguments.serial.iter().cloned().map(Receiver::Serial);
    let radios = arguments.radio.iter().cloned().map(Receiver::Radio);
    let concentrators = arguments.concentrator.iter().cloned().map(Receiver::Concentrator);
    let given: Vec<Receiver> = serials.chain(radios).chain(concentrators).collect();
    if !given.is_empty() {
        return Ok(given);
    }
    let machine = Machine::this();
    let (ports, pins) = (ports(&machine), pins(&machine));
    if asking.is_silent() {
        return only_port(&ports);
    }
    tell(&offer(&ports, &pins));
    let default = ports.iter().position(is_free_usb).map(|place| (place + 1).to_string());
    let question = "Receivers: numbers from the list, r (radio), c (concentrator), with commas";
    let chosen =
        asking.ask(question, default.as_deref(), "--serial", |text| choose(text, &ports))?;
    chosen.iter().map(|choice| complete(choice, &pins, asking)).collect()
}

fn is_free_usb(port: &Port) -> bool {
    port.is_usb && port.held_by.is_none()
}

/// Without anybody to ask there must be no doubt.
fn only_port(ports: &[Port]) -> Result<Vec<Receiver>, Failure> {
    let free: Vec<&Port> = ports.iter().filter(|port| is_free_usb(port)).collect();
    match free[..] {
        [port] => Ok(vec![Receiver::Serial(serial(&port.path, "cobs"))]),
        _ => Err(Failure::refused(format!(
            "which receiver? {} USB serial ports are free here; give --serial, --radio or --concentrator",
            free.len()
        ))),
    }
}

fn serial(path: &Path, codec: &str) -> Serial {
    Serial { path: path.to_owned(), codec: codec.to_owned(), baud: usual_baud(codec) }
}

/// What was found, for people.
fn offer(ports: &[Port], pins: &Pins) -> String {
    let mut text = String::from("\nFound on this machine:\n");
    let mut add = |line: String| writeln!(text, "{line}").expect("a String takes everything");
    for (place, port) in (1..).zip(ports) {
        let held = port.held_by.as_ref().map(|by| format!("; held by {by}")).unwrap_or_default();
        add(format!("  {place}  {}\n     {}{held}", port.path.display(), port.what));
    }
    if ports.is_empty() {
        add("  no serial port".to_owned());
    }
    let model = pins.model.as_deref().unwrap_or("this machine");
    match (&pins.spi[..], &pins.gpio[..], pins.board) {
        ([], ..) => add(format!(
            "  no SPI device: for a radio on the pins of {model} switch SPI on (docs/install.md)"
        )),
        (_, _, Some(board)) => add(format!("  r  a radio on the pins of {model}: {board}")),
        _ => add(format!("  r  a radio on the pins of {model}, if one is there")),
    }
    text
}

/// What was chosen, before its settings are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Port(PathBuf),
    Radio,
    Concentrator,
}

fn choose(text: &str, ports: &[Port]) -> Result<Vec<Choice>, String> {
    let one = |word: &str| match word {
        "r" => Ok(Choice::Radio),
        "c" => Ok(Choice::Concentrator),
        path if path.starts_with('/') => Ok(Choice::Port(path.into())),
        number => {
            let place = number.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
            let port = place.and_then(|place| ports.get(place));
            port.map(|port| Choice::Port(port.path.clone()))
                .ok_or_else(|| format!("no {number:?} in the list; a number, r, c, or a path"))
        }
    };
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(one)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chosen| {
            if chosen.is_empty() {
                Err("at least one: else nothing is heard".to_owned())
            } else {
                Ok(chosen)
            }
        })
}

fn complete(choice: &Choice, pins: &Pins, asking: &Asking) -> Result<Receiver, Failure> {
    let region = || {
        asking.ask("Region", Some(REGIONS[0]), "--radio", |text| one_of(text, &REGIONS, "region"))
    };
    match choice {
        Choice::Port(path) => {
            let question = format!("How {} speaks: {}", path.display(), CODECS.join(", "));
            let codec = asking
                .ask(&question, Some("cobs"), "--serial", |text| one_of(text, &CODECS, "codec"))?;
            let usual = usual_baud(&codec).to_string();
            let baud = asking.ask("Its speed, baud", Some(&usual), "--serial", |text| {
                text.parse().map_err(|_| "a number".to_owned())
            })?;
            Ok(Receiver::Serial(Serial { path: path.clone(), codec, baud }))
        }
        Choice::Radio => {
            let boards = boards();
            let question = format!("Board: {}", boards.join(", "));
            let board = asking
                .ask(&question, pins.board, "--radio", |text| one_of(text, &boards, "board"))?;
            Ok(Receiver::Radio(Radio { board, region: region()? }))
        }
        Choice::Concentrator => {
            let question = "Where its packet forwarder calls";
            let listen =
                asking.ask(question, Some("127.0.0.1:1700"), "--concentrator", |text| {
                    text.parse().map_err(|_| "an address and a port".to_owned())
                })?;
            let eui = asking.ask("The forwarder's gateway_ID", None, "--concentrator", |text| {
                Ok(text.to_owned())
            })?;
            Ok(Receiver::Concentrator(Concentrator { listen, eui, region: region()? }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(path: &str, is_usb: bool, held_by: Option<&str>) -> Port {
        Port { path: path.into(), what: "USB".into(), held_by: held_by.map(str::to_owned), is_usb }
    }

    #[test]
    fn what_is_chosen_is_in_the_list() {
        let ports = [port("/dev/a", true, None), port("/dev/b", false, None)];
        let chosen = choose("2, r,c,/dev/pts/7", &ports).expect("all are there");
        let b = Choice::Port("/dev/b".into());
        assert_eq!(
            chosen,
            [b, Choice::Radio, Choice::Concentrator, Choice::Port("/dev/pts/7".into())]
        );
        for wrong in ["", "0", "3", "x"] {
            assert!(choose(wrong, &ports).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_anybody_to_ask_only_one_free_port_is_taken() {
        let taken = |ports: &[Port]| only_port(ports).map(|found| found.len());
        assert_eq!(
            taken(&[port("/dev/a", true, None), port("/dev/s", false, None)]).expect("one"),
            1
        );
        assert_eq!(
            taken(&[port("/dev/a", true, Some("gpsd")), port("/dev/b", true, None)]).expect("one"),
            1
        );
        for doubtful in [&[][..], &[port("/dev/a", true, None), port("/dev/b", true, None)]] {
            assert!(only_port(doubtful).expect_err("doubt").text.contains("give --serial"));
        }
    }

    #[test]
    fn the_offer_says_who_holds_a_port_and_what_radios_need() {
        let text = offer(&[port("/dev/a", true, Some("gpsd"))], &Pins::default());
        assert!(text.contains("1  /dev/a") && text.contains("held by gpsd"), "{text}");
        assert!(text.contains("switch SPI on"), "{text}");
    }
}
