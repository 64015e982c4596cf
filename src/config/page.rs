//! `[page]` and `[metrics]`: what a browser and a collector of metrics may ask.
//!
//! Nothing listens unless it is written here. The types hold what may be asked
//! from where: without TLS only from this machine.

use super::files::Need;
use super::problem::Report;
use super::reader::Section;
use super::sections::{HOMES, named_file};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Spanned;

pub(super) const PAGE: &[&str] = &["listen", "certificate_file", "key_file"];
pub(super) const METRICS: &[&str] = &["listen"];

const PAGE_USUAL: &str = "127.0.0.1:8080";
const METRICS_USUAL: &str = "127.0.0.1:9464";

/// An address that only this machine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// `None` for every other address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Option<Self> {
        address.ip().is_loopback().then_some(Self(address))
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Loopback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// `[page]`: where the local page is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Page {
    /// By HTTP, on this machine alone.
    Loopback {
        /// Address and port.
        listen: Loopback,
    },
    /// By HTTPS, for whoever has an installer's code.
    Interface {
        /// Address and port.
        listen: SocketAddr,
        /// `None`: the gateway makes a certificate of its own at each start.
        #[serde(flatten)]
        certificate: Option<PageCertificate>,
    },
}

impl Page {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Loopback { listen } => listen.address(),
            Self::Interface { listen, .. } => *listen,
        }
    }
}

/// Files of the page's own certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageCertificate {
    /// The certificate (and those between), PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
}

/// `[metrics]`: where Prometheus fetches figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// Address and port.
    pub listen: Loopback,
}

/// `None` without `listen`: the page is off.
pub(super) fn page(section: &Section<'_>, report: &mut Report<'_>) -> Option<Page> {
    let listen = address(section, PAGE_USUAL, report);
    let certificate_file = named_file(section, "certificate_file", Need::Readable, report);
    let key_file = named_file(section, "key_file", Need::Secret, report);
    let first = ["certificate_file", "key_file"].into_iter().find_map(|key| section.value(key));
    section.finish(HOMES, report);
    let loopback = listen.as_ref().map(|listen| Loopback::new(*listen.get_ref()));
    if let (Some(first), Some(Some(_)) | None) = (first, loopback) {
        report.refuse(
            first.span(),
            "a certificate serves the page only on an address that other machines reach",
            "remove the line, or write: listen = \"0.0.0.0:8443\"",
        );
        return None;
    }
    let certificate = match (certificate_file, key_file) {
        (Some(certificate_file), Some(key_file)) => {
            Some(PageCertificate { certificate_file, key_file })
        }
        _ => {
            let missing = ["certificate_file", "key_file"]
                .into_iter()
                .find(|key| section.value(key).is_none());
            if let (Some(first), Some(missing)) = (first, missing) {
                report.refuse(
                    first.span(),
                    format!("certificate and key belong together, and `{missing}` is not there"),
                    format!(
                        "write {missing} = \"/etc/pendant-gateway/tls/page.pem\" as well, or \
                         remove both: the gateway then makes a certificate of its own"
                    ),
                );
            }
            None
        }
    };
    let listen = listen?.into_inner();
    Some(match loopback? {
        Some(listen) => Page::Loopback { listen },
        None => Page::Interface { listen, certificate },
    })
}

/// `None` without `listen`: there are no metrics.
pub(super) fn metrics(
    section: &Section<'_>,
    page: Option<&Page>,
    report: &mut Report<'_>,
) -> Option<Metrics> {
    let listen = address(section, METRICS_USUAL, report);
    section.finish(HOMES, report);
    let listen = listen?;
    if page.is_some_and(|page| page.address() == *listen.get_ref()) {
        report.refuse(
            listen.span(),
            "the page listens there already",
            format!("write: listen = \"{METRICS_USUAL}\""),
        );
    }
    let loopback = Loopback::new(*listen.get_ref());
    if loopback.is_none() {
        report.refuse(
            listen.span(),
            "metrics are to be had on this machine alone",
            format!(
                "write: listen = \"{METRICS_USUAL}\", and let a collector on this machine pass \
                 them on"
            ),
        );
    }
    Some(Metrics { listen: loopback? })
}

fn address(
    section: &Section<'_>,
    usual: &str,
    report: &mut Report<'_>,
) -> Option<Spanned<SocketAddr>> {
    let text = section.text("listen", report)?;
    match text.get_ref().parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Some(Spanned::new(text.span(), address)),
        _ => {
            report.refuse(
                text.span(),
                "`listen` is an IP address of this machine and a TCP port",
                format!("write: listen = \"{usual}\""),
            );
            None
        }
    }
}
