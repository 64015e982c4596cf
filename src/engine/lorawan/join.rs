//! Joins: whether a request may be answered, and the answer.

use super::crypto::{code_of, decipher};
use super::downlink::DownlinkBytes;
use super::frame::JoinRequest;
use super::keys::{Activation, DevNonceRule, NET_ID, SecretKey};
use super::plan::Plan;
use super::session::{LoRaWanState, Offer};
use crate::engine::notice::Refusal;
use crate::engine::time::Wall;

/// JoinNonces have 24 bits.
const JOIN_NONCE_MAX: u32 = 0xFF_FFFF;

/// 2020-01-01T00:00:00Z, ms since 1970.
const NONCES_BEGIN_UNIX_MS: i64 = 1_577_836_800_000;

/// What an authentic request turns out to be.
pub(in crate::engine) enum Request<'k> {
    /// It is to be answered with this, if it is granted.
    New { offer: Offer, app_key: &'k SecretKey, nonces: DevNonceRule },
    /// Its nonce was used: a replay, or a copy of the one that was answered with this.
    Used(Option<Offer>),
}

impl LoRaWanState {
    /// Judges a request; [`Self::offer`] takes note of one that is granted.
    ///
    /// A device may take only a JoinNonce above the last one that it saw, whichever
    /// gateway or store that came from. So they count the minutes since 2020, where the
    /// clock is set; they last until 2051.
    ///
    /// # Errors
    /// It was not made with the device's key.
    pub(in crate::engine) fn join<'k>(
        &self,
        request: &JoinRequest<'_>,
        shared: &'k Activation,
        now: Wall,
    ) -> Result<Request<'k>, Refusal> {
        let Activation::Otaa { join_eui, app_key, nonces, .. } = shared else {
            return Err(Refusal::Forged);
        };
        if !request.is_made_with(app_key) || join_eui.is_some_and(|eui| eui != request.join_eui()) {
            return Err(Refusal::Forged);
        }
        let dev_nonce = request.dev_nonce();
        let used = match nonces {
            DevNonceRule::Rising => self.nonces.iter().any(|last| dev_nonce <= *last),
            DevNonceRule::Random => self.nonces.contains(&dev_nonce),
        };
        let Some(join_nonce) = self.next_join_nonce(now).filter(|_| !used) else {
            let same = |offer: &&Offer| offer.dev_nonce == dev_nonce;
            return Ok(Request::Used(self.offers.last().filter(same).copied()));
        };
        let offer = Offer { join_nonce, dev_nonce, life: 0 };
        Ok(Request::New { offer, app_key, nonces: *nonces })
    }

    /// `None` when they are used up.
    fn next_join_nonce(&self, now: Wall) -> Option<u32> {
        let minute = match now {
            Wall::Set { unix_ms, .. } => (unix_ms - NONCES_BEGIN_UNIX_MS) / 60_000,
            Wall::Unset => 0,
        };
        // A clock that is set beyond 2051 is none (P9).
        let minute = u32::try_from(minute).ok().filter(|minute| *minute <= JOIN_NONCE_MAX);
        let nonce = minute.unwrap_or(0).max(self.join_nonce + 1);
        (nonce <= JOIN_NONCE_MAX).then_some(nonce)
    }
}

/// The answer to a join.
pub(in crate::engine) fn join_accept(
    app_key: &SecretKey,
    offer: Offer,
    dev_addr: u32,
    plan: Plan,
) -> DownlinkBytes {
    seal(
        app_key,
        Accept {
            offer,
            net_id: NET_ID,
            dev_addr,
            downlink_settings: plan.downlink_settings(),
            plan,
        },
    )
}

/// What a join accept says.
pub(super) struct Accept {
    pub(super) offer: Offer,
    pub(super) net_id: u32,
    pub(super) dev_addr: u32,
    pub(super) downlink_settings: u8,
    pub(super) plan: Plan,
}

/// The join accept (LoRaWAN 1.0.3, section 6.2.5), sealed. The codec has none with a
/// list of channels.
pub(super) fn seal(app_key: &SecretKey, accept: Accept) -> DownlinkBytes {
    const MESSAGE_TYPE: u8 = 0x20;
    const RX_DELAY_S: u8 = 1;
    let mut frame = vec![MESSAGE_TYPE];
    frame.extend_from_slice(&accept.offer.join_nonce.to_le_bytes()[..3]);
    frame.extend_from_slice(&accept.net_id.to_le_bytes()[..3]);
    frame.extend_from_slice(&accept.dev_addr.to_le_bytes());
    frame.push(accept.downlink_settings);
    frame.push(RX_DELAY_S);
    frame.extend_from_slice(&accept.plan.channel_list());
    let code = code_of(app_key, &frame);
    frame.extend_from_slice(&code[..4]);
    for block in frame[1..].chunks_exact_mut(16) {
        // A device has but the cipher's other direction.
        decipher(app_key, block.try_into().expect("16 bytes"));
    }
    DownlinkBytes::new(&frame)
}
