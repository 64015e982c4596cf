//! What is known of a device that can be bought.

use super::{Decoder, Device, Sign, Trigger};
use std::collections::{BTreeMap, BTreeSet};

/// What a device does that people around it see, hear or feel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// It lights up.
    Light,
    /// It sounds.
    Sound,
    /// It vibrates.
    Vibration,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in configurations.
    pub name: String,
    /// Who makes it.
    pub maker: String,
    /// What its maker calls it.
    pub model: String,
    /// For which firmware this holds, where layouts have changed.
    pub firmware: Option<String>,
    /// Its version of LoRaWAN, where its maker says it. All are class A.
    pub lorawan: Option<String>,
    /// How its payloads are read.
    pub decoder: Decoder,
    /// All signs that it can say.
    pub signs: BTreeMap<Sign, SignProfile>,
    /// What keeps it from showing its signs, if anything does.
    pub silence: Option<Silence>,
    /// What a listener on the air can tell of it: one sentence.
    pub air: String,
    /// Where its layout is published.
    pub sources: Vec<String>,
}

/// One sign of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignProfile {
    /// What it means unless the site says otherwise.
    pub trigger: Trigger,
    /// What the device shows of it.
    pub shows: BTreeSet<Shown>,
}

/// A downlink that keeps a device from showing its signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The downlink.
    pub downlink: Downlink,
    /// What it switches off.
    pub of: BTreeSet<Shown>,
    /// What it does, in words.
    pub what: String,
}

/// What is sent to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downlink {
    /// LoRaWAN port, 1 to 223.
    pub port: u8,
    /// The payload before encryption, as the maker publishes it.
    pub payload: Vec<u8>,
}

impl Profile {
    /// What the device still shows of a sign, silenced or not.
    #[must_use]
    pub fn still_shows(&self, sign: Sign, silenced: bool) -> BTreeSet<Shown> {
        let Some(known) = self.signs.get(&sign) else { return BTreeSet::new() };
        let silence = self.silence.as_ref().filter(|_| silenced);
        let hidden = |shown: &Shown| silence.is_some_and(|silence| silence.of.contains(shown));
        known.shows.iter().copied().filter(|shown| !hidden(shown)).collect()
    }

    /// The device on a site that means `triggers` otherwise than the profile.
    #[must_use]
    pub fn on_site(&self, triggers: &BTreeMap<Sign, Trigger>, silenced: bool) -> Device {
        let mut meanings: BTreeMap<Sign, Trigger> =
            self.signs.iter().map(|(sign, known)| (*sign, known.trigger)).collect();
        meanings.extend(triggers);
        Device {
            profile: self.name.clone(),
            decoder: self.decoder,
            triggers: meanings,
            silence: self
                .silence
                .as_ref()
                .filter(|_| silenced)
                .map(|silence| silence.downlink.clone()),
        }
    }
}
