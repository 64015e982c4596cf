//! Pendants that can be bought: what their payloads mean.
//!
//! A [`Decoder`] turns the decrypted payload of one maker's device into a
//! [`Reading`], whose [`Sign`]s are what the device can say. A [`Profile`] is what
//! is known of a device; the site's [`Device`] says what each sign means here, and
//! so turns a payload into one [`Trigger`]. Nothing of LoRaWAN is known here: the
//! payload is authentic and decrypted already.

mod decoders;
mod fields;
mod profile;
mod reading;
mod sign;
mod trigger;

pub use decoders::{Decoder, Unreadable};
pub use profile::{Downlink, Profile, Shown, SignProfile, Silence};
pub use reading::{Position, Reading};
pub use sign::Sign;
pub use trigger::{Trigger, TriggerError};

use std::collections::BTreeMap;

/// A pendant's device, with what each of its signs means on this site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The profile's name.
    pub profile: String,
    /// How its payloads are read.
    pub decoder: Decoder,
    /// What each sign means.
    pub triggers: BTreeMap<Sign, Trigger>,
    /// What keeps it from sounding and lighting up, if the site asked for that:
    /// to be sent after each join until it is acknowledged.
    pub silence: Option<Downlink>,
}

impl Device {
    /// Whether something that it says is a call for help of which nobody on site may
    /// learn. A sign without a meaning is a panic, so `panic_is_covert` makes it one.
    #[must_use]
    pub fn calls_covertly(&self, panic_is_covert: bool) -> bool {
        panic_is_covert || self.triggers.values().any(|trigger| trigger.is_covert())
    }

    /// Reads a payload: the gravest of what its signs mean, and what stands in it. Without
    /// a sign it is a heartbeat. A sign without a meaning is a panic: a false alarm is
    /// better than a press that nobody hears of.
    ///
    /// # Errors
    /// It is no payload of this device. Since it is authentic, it may be a press in a
    /// layout that the decoder does not know: it must be told, never dropped.
    pub fn read(&self, port: u8, payload: &[u8]) -> Result<(Trigger, Reading), Unreadable> {
        let reading = self.decoder.decode(port, payload)?;
        let meanings = reading
            .signs
            .iter()
            .map(|sign| self.triggers.get(sign).copied().unwrap_or(Trigger::Panic));
        Ok((meanings.min().unwrap_or(Trigger::Heartbeat), reading))
    }
}
