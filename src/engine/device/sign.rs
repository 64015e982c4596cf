//! What a device of any maker can say.

/// One thing that a device can say. What it means, the site decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Sign {
    /// A press of a button that does not tell how long or how often.
    Press,
    PressShort,
    PressLong,
    PressDouble,
    PressTriple,
    /// A press of the first of several keys.
    Key1,
    Key2,
    Key3,
    Key4,
    Key5,
    Key6,
    /// The emergency state has begun, or goes on.
    Sos,
    SosEnded,
    /// A second, lesser emergency state that some makers have.
    Alert,
    AlertEnded,
    /// The device lies, or has not moved for too long, and says that it is worn.
    ManDown,
    ManDownEnded,
    Fall,
    /// The device has not moved for some time, worn or not.
    Motionless,
    Shock,
    /// Opened, or taken off.
    Tamper,
    /// The battery is below the device's own threshold.
    LowBattery,
}

impl Sign {
    /// All signs.
    pub const ALL: [Self; 22] = [
        Self::Press,
        Self::PressShort,
        Self::PressLong,
        Self::PressDouble,
        Self::PressTriple,
        Self::Key1,
        Self::Key2,
        Self::Key3,
        Self::Key4,
        Self::Key5,
        Self::Key6,
        Self::Sos,
        Self::SosEnded,
        Self::Alert,
        Self::AlertEnded,
        Self::ManDown,
        Self::ManDownEnded,
        Self::Fall,
        Self::Motionless,
        Self::Shock,
        Self::Tamper,
        Self::LowBattery,
    ];

    /// The keys of a device with several, in order.
    pub(super) const KEYS: [Self; 6] =
        [Self::Key1, Self::Key2, Self::Key3, Self::Key4, Self::Key5, Self::Key6];

    /// Its name in configurations and profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Press => "press",
            Self::PressShort => "press_short",
            Self::PressLong => "press_long",
            Self::PressDouble => "press_double",
            Self::PressTriple => "press_triple",
            Self::Key1 => "key_1",
            Self::Key2 => "key_2",
            Self::Key3 => "key_3",
            Self::Key4 => "key_4",
            Self::Key5 => "key_5",
            Self::Key6 => "key_6",
            Self::Sos => "sos",
            Self::SosEnded => "sos_ended",
            Self::Alert => "alert",
            Self::AlertEnded => "alert_ended",
            Self::ManDown => "man_down",
            Self::ManDownEnded => "man_down_ended",
            Self::Fall => "fall",
            Self::Motionless => "motionless",
            Self::Shock => "shock",
            Self::Tamper => "tamper",
            Self::LowBattery => "low_battery",
        }
    }
}
