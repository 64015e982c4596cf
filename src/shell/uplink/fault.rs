//! Why the broker cannot be used, in words that say what to do.

use super::super::tls::{TlsFilesError, Validity};
use super::QUOTA_EXCEEDED;
use super::wire::Failure;
use crate::config::MqttVersion;
use rustls::{AlertDescription, CertificateError};
use std::fmt;
use std::io;

/// What Linux says when a socket is bound to a network interface that is not there.
const ENODEV: i32 = 19;

/// Why there is no connection to the broker, or only half of one. Two equal
/// values are one and the same trouble: it is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerFault {
    /// The host's name does not resolve.
    Dns,
    /// The configured network interface is not there: this one.
    NoInterface(String),
    /// No TCP connection.
    Unreachable(io::ErrorKind),
    /// Something answers, but not in TLS.
    NotTls,
    /// The broker's certificate bears other names: those.
    TlsName(Vec<String>),
    /// No authority that we trust vouches for the broker's certificate.
    TlsUntrusted,
    /// The broker's certificate has expired.
    TlsExpired,
    /// TLS failed otherwise; the text is the library's.
    Tls(String),
    /// Our certificate has expired (second since 1970, if its dates can be read).
    ClientCertificateExpired(Option<i64>),
    /// By our clock our certificate is not valid yet, and the broker hung up.
    ClientCertificateNotYetValid(i64),
    /// The broker refused our certificate with this TLS alert.
    ClientCertificateRefused(String),
    /// One of our files cannot be used.
    Files(TlsFilesError),
    /// Wrong client id, user, password, or banned (CONNACK 0x85, 0x86, 0x87, 0x8A, 0x8C).
    LoginRefused,
    /// CONNACK with another refusal.
    Refused(String),
    /// The receipt topic may not be subscribed to.
    SubscribeRefused,
    /// The command topic may not be subscribed to. Events flow all the same.
    CommandsRefused,
    /// The answer topic may not be published to. Events flow all the same.
    AnswerRefused(u8),
    /// The state topic may not be published to. Events flow all the same.
    StateRefused(u8),
    /// Another client bears our client id.
    TakenOver,
    /// The broker takes only packets shorter than an event is (limit in bytes).
    PacketLimit(u64),
    /// The broker takes the packets and refuses messages as long as an event is.
    MessageLimit,
    /// The broker did not answer in time.
    ProtocolTimeout(Awaited),
    /// The broker broke the protocol.
    Protocol(String),
    /// The broker hung up before it answered.
    ClosedEarly,
    /// The broker hung up, with a reason if it gave one.
    Closed(Option<u8>),
    /// The broker hung up. It speaks MQTT 3.1.1, which has no word for the reason.
    ClosedUntold,
}

/// What was waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// TCP, TLS and CONNACK.
    Connection,
    /// SUBACK.
    Subscription,
    /// PUBACK of anything.
    Acknowledgement,
    /// That the socket takes or gives anything.
    Traffic,
}

impl BrokerFault {
    /// What is wrong and what to do about it.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a sentence for each fault, and nothing else")]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Dns => {
                "the broker's host name does not resolve: check the name and the DNS server"
            }
            Self::NoInterface(_) => {
                "the configured network interface does not exist: `ip -brief link` shows those \
                 there are; correct `interface`, or plug in what makes it"
            }
            Self::Unreachable(_) => {
                "no connection to the broker: check host, port, firewall, and that it runs"
            }
            Self::NotTls => "what answers does not speak TLS: is this the broker's TLS port?",
            Self::TlsName(_) => {
                "the broker's certificate is for other names: set server_name to one that it \
                 bears, or check that this is the right host"
            }
            Self::TlsUntrusted => {
                "no authority in the configured file vouches for the broker's certificate: check \
                 the file, and that this is the right host"
            }
            Self::TlsExpired => {
                "the broker's certificate has expired: renew it there (or this clock is ahead)"
            }
            Self::Tls(_) => "TLS with the broker failed",
            Self::ClientCertificateExpired(_) => {
                "this gateway's certificate has expired: put a new one in the configured place; \
                 no restart is needed"
            }
            Self::ClientCertificateNotYetValid(_) => {
                "this gateway's certificate is not valid yet by its clock: set the clock, or \
                 issue one that is valid now"
            }
            Self::ClientCertificateRefused(_) => {
                "the broker refused this gateway's certificate: have it trust the authority that \
                 issued it"
            }
            Self::Files(_) => "a file for TLS cannot be used",
            Self::LoginRefused => {
                "the broker refused the login: check user name, password and client id, and that \
                 the broker knows them"
            }
            Self::Refused(_) => "the broker refused the connection",
            Self::SubscribeRefused => {
                "the broker does not let this gateway subscribe to its receipt topic: allow it in \
                 the broker's access list"
            }
            Self::CommandsRefused => {
                "the broker does not let this gateway subscribe to its command topic: allow it in \
                 the broker's access list; until then the centre can only listen"
            }
            Self::AnswerRefused(QUOTA_EXCEEDED) => {
                "the broker's quota for this gateway is used up, so its answers to the centre are \
                 not taken: raise the quota; it goes on by itself, and events are sent all the same"
            }
            Self::StateRefused(QUOTA_EXCEEDED) => {
                "the broker's quota for this gateway is used up, so its state is not taken: raise \
                 the quota; it goes on by itself, and events are sent all the same"
            }
            Self::AnswerRefused(_) => {
                "the broker does not let this gateway publish answers to the centre: allow its \
                 answer topic in the broker's access list and restart; events are sent all the same"
            }
            Self::StateRefused(_) => {
                "the broker does not let this gateway publish its state: allow its state topic in \
                 the broker's access list; events are sent all the same"
            }
            Self::TakenOver => {
                "another client connected with this gateway's client id: give each its own"
            }
            Self::PacketLimit(_) => {
                "an event is longer than the packets that the broker takes: raise its limit"
            }
            Self::MessageLimit => {
                "an event is longer than the messages that the broker takes: raise its limit \
                 (mosquitto: message_size_limit)"
            }
            Self::ProtocolTimeout(awaited) => awaited.advice(),
            Self::Protocol(_) => "the broker broke the protocol",
            Self::ClosedEarly => {
                "the broker hung up before it answered: see its log for whether it accepts this \
                 gateway's certificate, and check that this is its TLS port"
            }
            Self::Closed(_) => "the broker hung up: its log may say why",
            Self::ClosedUntold => {
                "the broker hung up, and MQTT 3.1.1 cannot say why: see its log. Has another client \
                 this gateway's client id? May this gateway publish to all its topics?"
            }
        }
    }

    /// Names the fault behind an error of a handshake that was to be no more. `own`:
    /// the dates of our certificate.
    #[must_use]
    pub fn of_handshake(error: &io::Error, own: Option<Validity>, now_unix_s: i64) -> Self {
        let mqtt = MqttVersion::default();
        Circumstances { answered: false, mqtt, own, now_unix_s }.io_fault(error)
    }

    /// Dialling through this interface failed because there is none of that name.
    pub(super) fn of_interface(failure: &Failure, interface: Option<&str>) -> Option<Self> {
        match failure {
            Failure::Dial(e) if e.raw_os_error() == Some(ENODEV) => {
                interface.map(|name| Self::NoInterface(name.to_owned()))
            }
            _ => None,
        }
    }

    /// CONNECT was answered with something else.
    pub(super) fn no_connack() -> Self {
        Self::Protocol("it did not answer CONNECT with CONNACK".to_owned())
    }

    /// The library panicked.
    pub(super) fn gave_up() -> Self {
        Self::Protocol("the MQTT library gave up".to_owned())
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Unreachable(why) => Some(why.to_string()),
            Self::NoInterface(name) => Some(name.clone()),
            Self::TlsName(names) if !names.is_empty() => Some(names.join(", ")),
            Self::Tls(why)
            | Self::Refused(why)
            | Self::Protocol(why)
            | Self::ClientCertificateRefused(why) => Some(why.clone()),
            Self::Files(error) => Some(error.to_string()),
            Self::AnswerRefused(reason)
            | Self::StateRefused(reason)
            | Self::Closed(Some(reason)) => Some(format!("reason 0x{reason:02x}")),
            Self::PacketLimit(bytes) => Some(format!("{bytes} bytes")),
            _ => None,
        }
    }
}

impl fmt::Display for BrokerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice())?;
        self.detail().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl std::error::Error for BrokerFault {}

impl Awaited {
    fn advice(self) -> &'static str {
        match self {
            Self::Connection => {
                "the broker did not answer in time: check host, port, firewall and the line"
            }
            Self::Subscription => "the broker did not confirm the subscription in time",
            Self::Acknowledgement => "the broker stopped acknowledging what it is sent",
            Self::Traffic => "the line to the broker is dead",
        }
    }
}

/// What is known when a connection ends.
pub(super) struct Circumstances {
    /// CONNACK with success was seen.
    pub(super) answered: bool,
    /// Whether the broker could have said why it hangs up.
    pub(super) mqtt: MqttVersion,
    /// Dates of our own certificate.
    pub(super) own: Option<Validity>,
    /// What the wall clock says, seconds since 1970.
    pub(super) now_unix_s: i64,
}

impl Circumstances {
    /// Names the fault behind a failure of the MQTT library.
    pub(super) fn fault(&self, failure: Failure) -> BrokerFault {
        match failure {
            // Only resolving gives an error without a number of the operating system.
            Failure::Dial(e) if e.raw_os_error().is_none() => BrokerFault::Dns,
            Failure::Dial(e) => BrokerFault::Unreachable(e.kind()),
            Failure::Stream(e) => self.io_fault(&e),
            Failure::Tls(e) => self.tls_fault(&e),
            Failure::TlsSaid(why) => BrokerFault::Tls(why),
            Failure::Late => BrokerFault::ProtocolTimeout(Awaited::Connection),
            Failure::LoginRefused => BrokerFault::LoginRefused,
            Failure::Refused(why) => BrokerFault::Refused(why),
            Failure::NotConnAck => BrokerFault::no_connack(),
            Failure::HungUp => self.hung_up(),
            Failure::Said(reason) => BrokerFault::Closed(Some(reason)),
            Failure::TakenOver => BrokerFault::TakenOver,
            Failure::NoTraffic => BrokerFault::ProtocolTimeout(Awaited::Traffic),
            Failure::NoAcknowledgement => BrokerFault::ProtocolTimeout(Awaited::Acknowledgement),
            Failure::PacketLimit(bytes) => BrokerFault::PacketLimit(bytes),
            Failure::MessageLimit => BrokerFault::MessageLimit,
            Failure::Protocol(why) => BrokerFault::Protocol(why),
        }
    }

    fn io_fault(&self, error: &io::Error) -> BrokerFault {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(error) => self.tls_fault(error),
            None => self.hung_up(),
        }
    }

    fn tls_fault(&self, error: &rustls::Error) -> BrokerFault {
        match error {
            rustls::Error::InvalidCertificate(why) => certificate_fault(why),
            rustls::Error::AlertReceived(alert) => self.alert_fault(*alert),
            rustls::Error::InvalidMessage(_) if !self.answered => BrokerFault::NotTls,
            e => BrokerFault::Tls(e.to_string()),
        }
    }

    fn alert_fault(&self, alert: AlertDescription) -> BrokerFault {
        use AlertDescription as A;
        match alert {
            A::CertificateExpired => {
                BrokerFault::ClientCertificateExpired(self.own.map(|own| own.not_after_unix_s))
            }
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired => self
                .own_certificate_fault()
                .unwrap_or_else(|| BrokerFault::ClientCertificateRefused(format!("{alert:?}"))),
            _ => BrokerFault::Tls(format!("the broker sent the alert {alert:?}")),
        }
    }

    /// A broker that dislikes our certificate closes with our CONNECT unread, and
    /// the reset that follows can outrun its alert: then our own dates tell.
    fn hung_up(&self) -> BrokerFault {
        match (self.answered, self.mqtt) {
            (true, MqttVersion::V5) => return BrokerFault::Closed(None),
            (true, MqttVersion::V3_1_1) => return BrokerFault::ClosedUntold,
            (false, _) => {}
        }
        self.own_certificate_fault().unwrap_or(BrokerFault::ClosedEarly)
    }

    fn own_certificate_fault(&self) -> Option<BrokerFault> {
        let own = self.own?;
        if self.now_unix_s > own.not_after_unix_s {
            return Some(BrokerFault::ClientCertificateExpired(Some(own.not_after_unix_s)));
        }
        (self.now_unix_s < own.not_before_unix_s)
            .then_some(BrokerFault::ClientCertificateNotYetValid(own.not_before_unix_s))
    }
}

fn certificate_fault(why: &CertificateError) -> BrokerFault {
    use CertificateError as C;
    match why {
        C::NotValidForName => BrokerFault::TlsName(Vec::new()),
        C::NotValidForNameContext { presented, .. } => BrokerFault::TlsName(plain_names(presented)),
        C::Expired | C::ExpiredContext { .. } => BrokerFault::TlsExpired,
        C::UnknownIssuer | C::BadSignature => BrokerFault::TlsUntrusted,
        other => BrokerFault::Tls(format!("the broker's certificate cannot be used: {other}")),
    }
}

/// The library writes `DnsName("broker.site")`.
fn plain_names(presented: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    presented.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_no_matter_of_the_access_list_and_needs_no_restart() {
        for fault in [BrokerFault::AnswerRefused, BrokerFault::StateRefused] {
            let quota = fault(QUOTA_EXCEEDED).to_string();
            assert!(quota.contains("quota") && quota.contains("by itself"), "{quota}");
            assert!(!quota.contains("restart") && !quota.contains("access list"), "{quota}");
            assert!(fault(0x87).to_string().contains("access list"));
        }
    }
}
