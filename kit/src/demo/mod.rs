//! The whole way on one machine: simulated pendants, the real daemon, a broker
//! with mutual TLS, a monitoring centre. Left: what the site sees. Right: what
//! the centre sees.

mod daemon;
mod stage;
mod story;
mod verdict;

use crate::pki::PkiError;
use std::fmt;
use std::io;

pub use story::play;

/// Why the demonstration broke off.
#[derive(Debug)]
pub enum DemoError {
    /// The machine refuses something.
    Io(io::Error),
    /// No certificates.
    Pki(PkiError),
    /// The daemon, or what it says.
    Daemon(String),
    /// A pendant.
    Pendant(String),
    /// This did not happen in time.
    Vain(String),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Pki(error) => write!(f, "{error}"),
            Self::Daemon(what) => write!(f, "the daemon: {what}"),
            Self::Pendant(what) => write!(f, "a pendant: {what}"),
            Self::Vain(what) => write!(f, "waited in vain for {what}"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PkiError> for DemoError {
    fn from(error: PkiError) -> Self {
        Self::Pki(error)
    }
}
