//! What is sealed in the file of an enrolment, as it is written.

use crate::engine::keyring::{Enrolment, EnrolmentId, Secrets};
use crate::engine::lorawan::{Activation, SecretKey};
use crate::engine::name::Name;
use crate::engine::pin::PinVerifier;
use pendant_protocol::{EnrolmentKey, PendantId};
use serde::{Deserialize, Serialize};

/// What is sealed in a file. Keys are wiped by their own types.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) pendant: u32,
    pub(super) id: EnrolmentId,
    pub(super) wearer: Name,
    pub(super) secrets: Sealed,
}

impl From<&Enrolment> for Content {
    fn from(enrolment: &Enrolment) -> Self {
        Self {
            pendant: enrolment.pendant.get(),
            id: enrolment.id,
            wearer: enrolment.wearer.clone(),
            secrets: (&enrolment.secrets).into(),
        }
    }
}

/// [`Secrets`], as they are written.
#[derive(Serialize, Deserialize)]
pub(super) enum Sealed {
    Native {
        key: SecretKey,
        pins: PinVerifier,
    },
    LoRaWan(Activation),
    Claimed {
        number: u32,
    },
    /// A native pendant whose wearer has typed no PINs yet. Last, so that what older
    /// versions wrote keeps its meaning.
    WithoutPins {
        key: SecretKey,
    },
}

impl From<&Secrets> for Sealed {
    fn from(secrets: &Secrets) -> Self {
        match secrets {
            Secrets::Native { key, pins } => {
                let key = SecretKey::from_bytes(*key.as_bytes());
                match pins {
                    Some(pins) => Self::Native { key, pins: pins.clone() },
                    None => Self::WithoutPins { key },
                }
            }
            Secrets::LoRaWan(keys) => Self::LoRaWan(keys.clone()),
            Secrets::Claimed { number } => Self::Claimed { number: *number },
        }
    }
}

impl From<Sealed> for Secrets {
    fn from(sealed: Sealed) -> Self {
        match sealed {
            Sealed::Native { key, pins } => {
                Self::Native { key: EnrolmentKey::from_bytes(*key.as_bytes()), pins: Some(pins) }
            }
            Sealed::WithoutPins { key } => {
                Self::Native { key: EnrolmentKey::from_bytes(*key.as_bytes()), pins: None }
            }
            Sealed::LoRaWan(keys) => Self::LoRaWan(keys),
            Sealed::Claimed { number } => Self::Claimed { number },
        }
    }
}

/// The enrolment of a pendant in the text of its file, once that is unsealed; `None` if
/// it is no enrolment, or another's.
#[must_use]
pub fn unsealed(pendant: PendantId, text: &[u8]) -> Option<Enrolment> {
    let content: Content = postcard::from_bytes(text).ok()?;
    let Content { id, wearer, secrets, .. } = content;
    (content.pendant == pendant.get()).then(|| Enrolment {
        pendant,
        id,
        wearer,
        secrets: secrets.into(),
    })
}
