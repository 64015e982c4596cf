//! What the lamps on the gateway show. They are made of [`Status`] and of nothing
//! else, which holds only what anyone on site may know (P5).

use super::gateway::Status;

/// How a lamp is lit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Light {
    /// Dark.
    Off,
    /// On and off in turn: something is to be looked after.
    Blinking,
    /// Lit.
    On,
}

impl Light {
    /// The word in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Blinking => "blinking",
            Self::On => "on",
        }
    }
}

/// All lamps of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lamps {
    /// Lit while the gateway runs; blinking while its store cannot be written.
    pub power: Light,
    /// Lit while the centre is heard through the broker; blinking while the broker
    /// is there and the centre is not heard; dark without a broker.
    pub network: Light,
    /// Lit while every receiver works; blinking while one does not, while many
    /// pendants fell silent together, or while jamming is suspected; dark while none works.
    pub reception: Light,
}

impl Lamps {
    /// Before the start, and after the end.
    pub const DARK: Self = Self { power: Light::Off, network: Light::Off, reception: Light::Off };

    /// What the lamps show of a status.
    #[must_use]
    pub const fn of(status: &Status) -> Self {
        let centre = status.centre_heard && status.centre_messages;
        let air = !status.reception_suspect && !status.jamming_suspected;
        let receivers = status.links_up == status.links && air;
        Self {
            power: light(true, status.journal_works),
            network: light(status.broker_up, centre),
            reception: light(status.links_up > 0, receivers),
        }
    }
}

const fn light(there: bool, well: bool) -> Light {
    match (there, well) {
        (false, _) => Light::Off,
        (true, false) => Light::Blinking,
        (true, true) => Light::On,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Light::{Blinking, Off, On};

    const WELL: Status = Status {
        boot: 1,
        pendants: 7,
        backlog: 0,
        broker_up: true,
        centre_heard: true,
        centre_messages: true,
        journal_works: true,
        links: 2,
        links_up: 2,
        reception_suspect: false,
        jamming_suspected: false,
        last_test: None,
    };

    #[test]
    fn a_light_is_told_by_the_word_of_the_documents() {
        assert_eq!([On, Blinking, Off].map(Light::as_str), ["on", "blinking", "off"]);
    }

    #[test]
    fn each_lamp_tells_of_its_part() {
        let lamps = |power, network, reception| Lamps { power, network, reception };
        for (status, shown) in [
            (WELL, lamps(On, On, On)),
            (Status { backlog: 9_000, pendants: 0, ..WELL }, lamps(On, On, On)),
            (Status { journal_works: false, ..WELL }, lamps(Blinking, On, On)),
            (Status { centre_heard: false, ..WELL }, lamps(On, Blinking, On)),
            (Status { centre_messages: false, ..WELL }, lamps(On, Blinking, On)),
            (Status { broker_up: false, centre_heard: false, ..WELL }, lamps(On, Off, On)),
            (Status { links_up: 1, ..WELL }, lamps(On, On, Blinking)),
            (Status { reception_suspect: true, ..WELL }, lamps(On, On, Blinking)),
            (Status { jamming_suspected: true, ..WELL }, lamps(On, On, Blinking)),
            (Status { links_up: 0, ..WELL }, lamps(On, On, Off)),
        ] {
            assert_eq!(Lamps::of(&status), shown, "{status:?}");
        }
    }
}
