//! What an operator asks to see.

use super::Run;
use crate::watch::people::Person;
use crate::watch::told::{Told, ask_line, gateway_line, incident_line, incident_lines, rfc3339};
use serde_json::{Value, json};

/// Rows of one answer.
const ROWS_MAX: usize = 200;

impl Run<'_> {
    pub(super) fn shown(&mut self, what: &'static str, mut lines: Vec<String>, value: Value) {
        if lines.len() > ROWS_MAX {
            let more = lines.len() - ROWS_MAX;
            lines.truncate(ROWS_MAX);
            lines.push(format!("   and {more} more"));
        }
        if lines.is_empty() {
            lines.push(format!("   no {what}"));
        }
        self.tell(&Told::Shown { what, lines, value });
    }

    pub(super) fn incidents(&mut self) {
        let at_ms = self.clock.now_ms();
        let mut open: Vec<_> = self.desk.incidents().open().collect();
        open.sort_by_key(|it| (!it.waits(), std::cmp::Reverse(it.gravest().gravity), it.number));
        let lines = open.iter().map(|it| incident_line(it, at_ms)).collect();
        let value = json!(open);
        self.shown("incidents", lines, value);
    }

    pub(super) fn incident(&mut self, number: u64) {
        let Some(incident) = self.desk.incidents().get(number) else {
            return self.refuse(format!("there is no incident {number}"));
        };
        let lines = incident_lines(incident, self.clock.now_ms());
        let value = json!(incident);
        self.shown("incident", lines, value);
    }

    pub(super) fn who(&mut self, at: Option<&str>) {
        let people = self.desk.people().all();
        let people: Vec<_> =
            people.filter(|(gateway, _, _)| at.is_none_or(|at| at == *gateway)).collect();
        let line = |(gateway, pendant, it): &(&str, &str, &Person)| {
            let due = it.session.map_or(String::new(), |session| {
                let overdue = if session.alarmed { " OVERDUE" } else { "" };
                format!(", due {}{overdue}", rfc3339(session.due_ms))
            });
            let battery =
                it.battery_percent.map_or(String::new(), |it| format!(", battery {it} %"));
            let wearer = it.wearer.as_deref().unwrap_or("(nobody)");
            format!("   {gateway} {pendant} {wearer}{due}{battery}")
        };
        let lines = people.iter().map(line).collect();
        let value = people.iter().map(|(gateway, pendant, it)| {
            json!({ "gateway": gateway, "pendant": pendant, "wearer": it.wearer,
                "heard": rfc3339(it.heard_ms), "battery_percent": it.battery_percent,
                "due": it.session.map(|session| rfc3339(session.due_ms)),
                "overdue": it.session.is_some_and(|session| session.alarmed) })
        });
        let value = Value::Array(value.collect());
        self.shown("who", lines, value);
    }

    pub(super) fn gateways(&mut self) {
        let at_ms = self.clock.now_ms();
        let gateways = self.desk.gateways();
        let (lines, values) = gateways
            .map(|(name, it)| {
                let value = json!({ "gateway": name, "online": it.online, "boot": it.boot,
                    "heard": rfc3339(it.heard_ms), "events": it.events,
                    "malformed": it.malformed, "given_up": self.desk.given_up(name),
                    "alarms_without_incident": self.desk.incidents().left_out(name) });
                (gateway_line(&self.desk, name, it, at_ms), value)
            })
            .unzip();
        self.shown("gateways", lines, Value::Array(values));
    }

    pub(super) fn missing(&mut self) {
        let missing = self.desk.missing();
        let lines = missing.iter().map(|it| format!("   {it}")).collect();
        let values = missing.into_iter().map(|it| Told::Missing(it).value());
        let value = Value::Array(values.collect());
        self.shown("missing", lines, value);
    }

    pub(super) fn commands(&mut self) {
        let (lines, values) = self
            .desk
            .asked()
            .map(|(id, it)| {
                let line = format!(
                    "   {} {} {}, by {}",
                    rfc3339(it.at_ms),
                    it.gateway,
                    ask_line(&it.ask),
                    it.operator
                );
                (line, json!({ "id": id, "asked": it }))
            })
            .unzip();
        self.shown("commands", lines, Value::Array(values));
    }
}
