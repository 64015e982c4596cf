//! What to do about a fault: the tables of docs/install.md, "Faults", so that the
//! document and the program say the same.

const DOCUMENT: &str = include_str!("../../docs/install.md");
const BEGIN: &str = "\n## Faults\n";
const END: &str = "\n## ";
/// A shorter piece of a text is in too many others.
const PIECE_BYTES_MIN: usize = 6;

/// The remedy of the row that fits best.
pub(super) fn remedy(fault: &str) -> Option<String> {
    let fits = |(text, remedy)| Some((fit(fault, text)?, remedy));
    let (_, remedy) = rows().filter_map(fits).max_by_key(|(length, _)| *length)?;
    Some(remedy.replace('`', ""))
}

/// Each text of the tables and what to do about it.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, faults) = DOCUMENT.split_once(BEGIN).unwrap_or_default();
    let faults = faults.split_once(END).map_or(faults, |(faults, _)| faults);
    let rows = faults.lines().filter_map(|line| {
        let (texts, remedy) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((texts, remedy))
    });
    // Between backticks, one text or several.
    rows.flat_map(|(texts, remedy)| texts.split('`').step_by(2).map(move |text| (text, remedy)))
}

/// How many bytes of `text` stand in the fault, if all do in their order: `...` and a
/// number's place (` N `) stand for anything.
fn fit(fault: &str, text: &str) -> Option<usize> {
    let mut rest = fault;
    let mut length = 0;
    for piece in text.split("...").flat_map(|piece| piece.split(" N ")) {
        let piece = piece.trim();
        let (_, behind) = rest.split_once(piece)?;
        rest = behind;
        length += piece.len();
    }
    (length >= PIECE_BYTES_MIN).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::uplink::{Awaited, BrokerFault};
    use pendant_hal::LinkFault;
    use std::io::ErrorKind;
    use std::path::PathBuf;

    #[test]
    fn the_row_that_says_most_of_a_fault_is_taken() {
        assert!(rows().count() > 60, "{}", rows().count());
        let told = remedy("GPIO line 16 (interrupt) is held by spi0 CS0").expect("a row");
        assert!(told.starts_with("gpioinfo."), "{told}");
        let told = remedy("/dev/ttyUSB0 does not exist: is the receiver plugged in?");
        assert_eq!(told.as_deref(), Some("plug it in; correct path"));
        assert_eq!(remedy("the moon is in the wrong quarter"), None);
        assert_eq!(remedy(""), None);
    }

    #[test]
    fn every_fault_of_a_broker_or_a_receiver_has_a_remedy() {
        let text = || "words".to_owned();
        let path = || PathBuf::from("/dev/serial/by-id/usb-1");
        let brokers = [
            BrokerFault::Dns,
            BrokerFault::Unreachable(ErrorKind::ConnectionRefused),
            BrokerFault::NotTls,
            BrokerFault::TlsName(vec![text()]),
            BrokerFault::TlsUntrusted,
            BrokerFault::TlsExpired,
            BrokerFault::Tls(text()),
            BrokerFault::ClientCertificateExpired(Some(1)),
            BrokerFault::ClientCertificateNotYetValid(1),
            BrokerFault::ClientCertificateRefused(text()),
            BrokerFault::LoginRefused,
            BrokerFault::Refused(text()),
            BrokerFault::SubscribeRefused,
            BrokerFault::CommandsRefused,
            BrokerFault::NoInterface("wwan0".into()),
            BrokerFault::AnswerRefused(0x87),
            BrokerFault::AnswerRefused(0x97),
            BrokerFault::StateRefused(0x87),
            BrokerFault::StateRefused(0x97),
            BrokerFault::TakenOver,
            BrokerFault::PacketLimit(9),
            BrokerFault::MessageLimit,
            BrokerFault::ProtocolTimeout(Awaited::Connection),
            BrokerFault::ProtocolTimeout(Awaited::Subscription),
            BrokerFault::ProtocolTimeout(Awaited::Acknowledgement),
            BrokerFault::ProtocolTimeout(Awaited::Traffic),
            BrokerFault::Protocol(text()),
            BrokerFault::ClosedEarly,
            BrokerFault::Closed(Some(0x8b)),
        ];
        let links = [
            LinkFault::Missing(path()),
            LinkFault::Denied(path()),
            LinkFault::Busy(path()),
            LinkFault::WrongKind(path()),
            LinkFault::Gone(path()),
            LinkFault::NotListening { says: None },
            LinkFault::NotListening { says: Some(text()) },
        ];
        let brokers = brokers.iter().map(ToString::to_string);
        for fault in brokers.chain(links.iter().map(ToString::to_string)) {
            assert!(remedy(&fault).is_some(), "no row in docs/install.md, \"Faults\": {fault}");
        }
    }
}
