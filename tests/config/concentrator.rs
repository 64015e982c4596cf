//! Concentrators behind a packet forwarder.

use super::{LEAST, effective, parse, refusals};
use pendant_gateway::config::{Concentrator, LinkKind};
use pendant_hal::concentrator::Eui;

/// The least text with a concentrator in the place of its serial port.
fn with_concentrator(lines: &str) -> String {
    LEAST
        .replace("kind = \"serial\"\n", "kind = \"concentrator\"\n")
        .replace("path = \"/dev/serial/by-id/usb-receiver\"\n", &format!("{lines}\n"))
}

fn concentrator(lines: &str) -> Concentrator {
    let config = parse(&with_concentrator(lines));
    assert_eq!(effective(&parse(&config.to_text())), effective(&config), "{lines}");
    match &config.links[0].kind {
        LinkKind::Concentrator(concentrator) => concentrator.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_number_and_a_region_are_enough() {
    let least = concentrator("eui = \"AA-55-5A-00-00-00-01-01\"\nregion = \"EU868\"");
    assert_eq!(least.eui, Eui([0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1]));
    assert_eq!(least.listen.to_string(), "127.0.0.1:1700");
    assert_eq!(least.air.downlink_frequency_hz, 869_525_000);
    let own =
        "eui = \"aa555a0000000101\"\nregion = \"US915\"\nlisten = \"[::1]:1730\"\npower_dbm = 27";
    let own = concentrator(own);
    assert_eq!((own.listen.port(), own.air.power_dbm), (1730, 27));
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    let told = |lines: &str| {
        let problem = refusals(&with_concentrator(lines)).remove(0);
        format!("{} | {}", problem.text, problem.remedy)
    };
    let eui = "eui = \"aa555a0000000101\"\n";
    let region = "region = \"EU868\"\n";
    assert!(told(region).contains("lacks `eui`"), "{}", told(region));
    assert!(told(eui).contains("lacks `region`"));
    let short = told(&format!("eui = \"aa555a\"\n{region}"));
    assert!(short.contains("16 hexadecimal digits") && short.contains("gateway_ID"), "{short}");
    let name = told(&format!("{eui}{region}listen = \"localhost:1700\""));
    assert!(name.contains("IP address") && name.contains("127.0.0.1:1700"), "{name}");
    let loud = told(&format!("{eui}{region}power_dbm = 28\nantenna_gain_dbi = 3"));
    assert!(loud.contains("31 dBm EIRP") && loud.contains("power_dbm = 26"), "{loud}");
}

#[test]
fn a_port_that_others_reach_is_a_warning_and_two_on_one_port_are_refused() {
    let one = "eui = \"aa555a0000000101\"\nregion = \"EU868\"\nlisten = \"0.0.0.0:1700\"";
    let config = parse(&with_concentrator(one));
    assert!(config.warnings[0].text.contains("whoever reaches 0.0.0.0:1700"));
    let second = format!(
        "{}\n[[link]]\nname = \"b\"\nkind = \"concentrator\"\n{one}\n",
        with_concentrator(one)
    );
    let problem = refusals(&second).remove(0);
    assert!(problem.text.contains("a second link on UDP port 1700"), "{}", problem.text);
}
