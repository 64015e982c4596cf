//! What an operator enters, in the terminal or as lines on standard input.

use super::incident::Step;
use super::text::clean;
use crate::centre::{Ask, is_name};

/// Longest line that is taken.
pub const LINE_BYTES_MAX: usize = 1024;

/// The orders in words.
pub const HELP: &[&str] = &[
    "displayed N [NOTE]   accepted N [NOTE]   closed N [NOTE]     stages of incident N; they stay here",
    "close PENDANT COUNTER      the gateway closes an incident (COUNTER: of its newest alarm)",
    "track PENDANT on|off       the gateway follows a pendant silently",
    "rebind PENDANT WEARER      another wears it",
    "revoke PENDANT             ends its enrolment",
    "vibrate|led|listen PENDANT",
    "ping SITE/GATEWAY",
    "   with @SITE/GATEWAY before it a command goes to that gateway, else to who told of the pendant",
    "incidents   show N   who [SITE/GATEWAY]   gateways   missing   commands   operator NAME   help   quit",
];

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// An operator's stage.
    Stage {
        /// Of which incident.
        incident: u64,
        /// Which.
        step: Step,
        /// Why.
        note: Option<String>,
    },
    /// A command for a gateway.
    Ask {
        /// Which gateway; absent: who told of the pendant.
        gateway: Option<String>,
        /// What.
        ask: Ask,
    },
    /// Another operator sits down.
    Operator(String),
    /// Open incidents.
    Incidents,
    /// One incident in full.
    Show(u64),
    /// Who wears what, at one gateway or at all.
    Who(Option<String>),
    /// Gateways.
    Gateways,
    /// Missing numbers.
    Missing,
    /// Commands without an answer.
    Commands,
    /// The orders.
    Help,
    /// End.
    Quit,
}

/// Reads a line; `Ok(None)` if there is nothing in it.
///
/// # Errors
/// Says what is wrong and what was meant.
pub fn parse(line: &str) -> Result<Option<Order>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
    }
    let mut words = line.split_whitespace();
    let Some(mut word) = words.next() else { return Ok(None) };
    let gateway = match word.strip_prefix('@') {
        Some(name) => {
            word = words.next().ok_or("a command is missing after @SITE/GATEWAY")?;
            Some(gateway(name)?)
        }
        None => None,
    };
    let rest: Vec<&str> = words.collect();
    let order = match command(word, &rest)? {
        Some((of_ping, ask)) => Order::Ask { gateway: gateway.or(of_ping), ask },
        None if gateway.is_some() => {
            return Err(format!("{} is no command for a gateway", clean(word)));
        }
        None => at_desk(word, &rest)?,
    };
    if let Order::Ask { gateway: None, ask: Ask::Ping } = order {
        return Err("which gateway? ping SITE/GATEWAY".to_owned());
    }
    Ok(Some(order))
}

fn at_desk(word: &str, rest: &[&str]) -> Result<Order, String> {
    let step = match word {
        "displayed" => Some(Step::Displayed),
        "accepted" => Some(Step::Accepted),
        "closed" => Some(Step::Closed),
        _ => None,
    };
    if let Some(step) = step {
        let note = Some(rest.get(1..).unwrap_or_default().join(" ")).filter(|it| !it.is_empty());
        return Ok(Order::Stage { incident: number(rest)?, step, note: note.map(|it| clean(&it)) });
    }
    match (word, rest) {
        ("show", [_]) => Ok(Order::Show(number(rest)?)),
        ("operator", [name]) if is_name(name) => Ok(Order::Operator((*name).to_owned())),
        ("operator", _) => Err("operator NAME: 1 to 32 of a-z A-Z 0-9 . _ -".to_owned()),
        ("who", []) => Ok(Order::Who(None)),
        ("who", [name]) => Ok(Order::Who(Some(gateway(name)?))),
        ("incidents", []) => Ok(Order::Incidents),
        ("gateways", []) => Ok(Order::Gateways),
        ("missing", []) => Ok(Order::Missing),
        ("commands", []) => Ok(Order::Commands),
        ("help", _) => Ok(Order::Help),
        ("quit", []) => Ok(Order::Quit),
        _ => Err(format!("{} is not understood; help shows what is", clean(word))),
    }
}

/// A command, and for a ping its gateway. `None` if it is none.
fn command(word: &str, rest: &[&str]) -> Result<Option<(Option<String>, Ask)>, String> {
    let pendant = || pendant(rest);
    let ask = match (word, rest) {
        ("close", [_, counter]) => Ask::Close {
            pendant: pendant()?,
            incident: counter.parse().map_err(|_| "close PENDANT COUNTER: a number")?,
        },
        ("close", _) => return Err("close PENDANT COUNTER; closed N is the stage".to_owned()),
        ("track", [_, on @ ("on" | "off")]) => Ask::Track { pendant: pendant()?, on: *on == "on" },
        ("track", _) => return Err("track PENDANT on|off".to_owned()),
        ("rebind", [_, wearer]) if is_name(wearer) => {
            Ask::Rebind { pendant: pendant()?, wearer: (*wearer).to_owned() }
        }
        ("rebind", _) => return Err("rebind PENDANT WEARER: 1 to 32 of a-z A-Z 0-9 . _ -".into()),
        ("revoke", [_]) => Ask::Revoke { pendant: pendant()? },
        ("vibrate", [_]) => Ask::Vibrate { pendant: pendant()? },
        ("led", [_]) => Ask::Led { pendant: pendant()? },
        ("listen", [_]) => Ask::Listen { pendant: pendant()? },
        ("revoke" | "vibrate" | "led" | "listen", _) => return Err(format!("{word} PENDANT")),
        ("ping", [name]) => return Ok(Some((Some(gateway(name)?), Ask::Ping))),
        ("ping", []) => Ask::Ping,
        _ => return Ok(None),
    };
    Ok(Some((None, ask)))
}

fn number(rest: &[&str]) -> Result<u64, String> {
    let number = rest.first().and_then(|it| it.parse().ok());
    number.ok_or_else(|| "which incident? its number is missing; incidents lists them".to_owned())
}

fn pendant(rest: &[&str]) -> Result<String, String> {
    let name = rest.first().copied().unwrap_or_default().to_ascii_lowercase();
    let is_pendant = name.len() == 6 && name.bytes().all(|c| c.is_ascii_hexdigit());
    is_pendant.then_some(name).ok_or_else(|| "a pendant has six hexadecimal digits".to_owned())
}

fn gateway(name: &str) -> Result<String, String> {
    let is_gateway = |(site, gateway)| is_name(site) && is_name(gateway);
    let found = name.split_once('/').is_some_and(is_gateway);
    found.then(|| name.to_owned()).ok_or_else(|| "a gateway is named SITE/GATEWAY".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(line: &str) -> (Option<String>, Ask) {
        match parse(line) {
            Ok(Some(Order::Ask { gateway, ask })) => (gateway, ask),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_operators_enter_is_read() {
        let pendant = || "00012f".to_owned();
        let close = Ask::Close { pendant: pendant(), incident: 7 };
        assert_eq!(ask("close 00012F 7"), (None, close.clone()));
        assert_eq!(ask(" @plant/gate-1  close 00012f 7 "), (Some("plant/gate-1".into()), close));
        assert_eq!(ask("track 00012f off").1, Ask::Track { pendant: pendant(), on: false });
        let rebind = Ask::Rebind { pendant: pendant(), wearer: "m.okafor".into() };
        assert_eq!(ask("rebind 00012f m.okafor").1, rebind);
        assert_eq!(ask("ping plant/gate-1"), (Some("plant/gate-1".into()), Ask::Ping));
        let stage = Order::Stage {
            incident: 3,
            step: Step::Accepted,
            note: Some("police is on its way?".into()),
        };
        assert_eq!(parse("accepted 3 police is on its way\u{1b}"), Ok(Some(stage)));
        assert_eq!(parse("   "), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for line in [
            "close 00012f",
            "close 12f 7",
            "close 00012f x",
            "track 00012f",
            "rebind 00012f a/b",
            "ping",
            "ping gate",
            "@plant/+ ping",
            "@plant/gate-1",
            "@plant/gate-1 missing",
            "accepted x",
            "operator \u{1b}",
            "nonsense \u{1b}[2J",
            &"x".repeat(2000),
        ] {
            let told = parse(line).expect_err(line);
            assert!(!told.contains('\u{1b}') && told.len() < 200, "{told:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_taken_or_refused(line in "\\PC{0,80}|(close|track|@a/b|show) .{0,20}") {
            drop(parse(&line));
        }
    }
}
