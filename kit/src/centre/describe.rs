//! Events in words for an operator.

use super::event::Event;

/// What an operator must know of a covert event before doing anything.
pub const COVERT_ADVICE: &str =
    "COVERT: nobody on site knows of it. Do not call the wearer. Send help.";

impl Event {
    /// Somebody may need help now.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        matches!(
            self.data.kind.as_str(),
            "duress"
                | "discreet_panic"
                | "panic"
                | "man_down"
                | "fall"
                | "wrong_pin_repeated"
                | "overdue"
        )
    }

    /// What happened, in words; capitals for an alarm.
    #[must_use]
    pub fn headline(&self) -> String {
        let words = self.data.kind.replace('_', " ");
        if self.is_alarm() { words.to_uppercase() } else { words }
    }

    /// Site and gateway.
    #[must_use]
    pub fn gateway_path(&self) -> String {
        format!("{}/{}", self.site, self.gateway)
    }

    /// Who wears what, or that the gateway speaks of itself.
    #[must_use]
    pub fn who(&self) -> String {
        match (&self.data.wearer, &self.data.pendant) {
            (Some(wearer), Some(pendant)) => format!("{wearer} ({pendant})"),
            (None, Some(pendant)) => format!("pendant {pendant}"),
            _ => "gateway".to_owned(),
        }
    }

    /// One line of at most about 100 columns.
    #[must_use]
    pub fn line(&self) -> String {
        let mark = if self.is_alarm() { "!!" } else { "  " };
        let time = self.time.as_deref().unwrap_or("(clock not set)");
        let mut line = format!(
            "{mark} {time} {lane:<7} {headline} - {who}, {site}/{gateway} #{number}",
            lane = self.data.lane,
            headline = self.headline(),
            who = self.who(),
            site = self.site,
            gateway = self.gateway,
            number = self.data.number,
        );
        if self.data.replayed {
            line.push_str(" (from its store");
            match self.data.delay_ms {
                Some(delay_ms) => line.push_str(&format!(", {} s late)", delay_ms / 1000)),
                None => line.push(')'),
            }
        }
        // What a rogue gateway writes must not command the terminal.
        line.replace(|c: char| c.is_control(), "?")
    }
}
