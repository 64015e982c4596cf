//! What a LoRaWAN pendant and the gateway share.

use super::crypto::encipher;
use super::session::Offer;
use lorawan::keys::AES128;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An EUI-64: a device's own number, or that of its join server. Printed as on the
/// device, the highest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Eui(pub u64);

impl fmt::Display for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A key of 128 bits. Never printed; wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 16]);

impl SecretKey {
    /// Takes the key, the first byte first, as it stands on the device's label.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn for_codec(&self) -> AES128 {
        AES128(self.0)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// How a device numbers its join requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DevNonceRule {
    /// LoRaWAN 1.0.4 (section 6.2.5): each is higher than the one before.
    Rising,
    /// LoRaWAN 1.0.2 and 1.0.3: at random.
    Random,
}

/// What `enroll` took down of a LoRaWAN pendant: how it comes to its session, and by which
/// keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// Over the air: it joins.
    Otaa {
        /// The device's number.
        dev_eui: Eui,
        /// The join server's number that it calls; `None`: any.
        join_eui: Option<Eui>,
        /// What it shares with the gateway.
        app_key: SecretKey,
        /// How it numbers its joins.
        nonces: DevNonceRule,
    },
    /// By personalisation: it was given one session for ever.
    Abp {
        /// Its address in every frame.
        dev_addr: u32,
        /// For the integrity code and the commands of the network.
        nwk_s_key: SecretKey,
        /// For what it says.
        app_s_key: SecretKey,
    },
}

/// The network's number: 0 is free for everybody's own use (NetID assignments of the
/// LoRa Alliance).
pub(super) const NET_ID: u32 = 0;

/// The keys of one session. Neither is kept longer than for one frame.
pub(in crate::engine) struct SessionKeys {
    pub(super) network: SecretKey,
    pub(super) application: SecretKey,
}

impl Activation {
    /// The keys of the session that began with this join; without one, those given.
    /// `None` if the pendant comes to its sessions the other way.
    pub(super) fn of_session(&self, join: Option<Offer>) -> Option<SessionKeys> {
        match (self, join) {
            (Self::Otaa { app_key, .. }, Some(join)) => Some(SessionKeys {
                network: derive(app_key, 1, NET_ID, join),
                application: derive(app_key, 2, NET_ID, join),
            }),
            (Self::Abp { nwk_s_key, app_s_key, .. }, None) => {
                Some(SessionKeys { network: nwk_s_key.clone(), application: app_s_key.clone() })
            }
            _ => None,
        }
    }
}

/// A session key (LoRaWAN 1.0.3, section 6.2.5).
pub(super) fn derive(app_key: &SecretKey, purpose: u8, net_id: u32, join: Offer) -> SecretKey {
    let mut block = [0; 16];
    block[0] = purpose;
    block[1..4].copy_from_slice(&join.join_nonce.to_le_bytes()[..3]);
    block[4..7].copy_from_slice(&net_id.to_le_bytes()[..3]);
    block[7..9].copy_from_slice(&join.dev_nonce.to_le_bytes());
    encipher(app_key, &mut block);
    SecretKey(block)
}
