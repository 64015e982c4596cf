//! Whether all was as the promises say.

use super::stage::Stage;
use crate::centre::Event;
use std::fmt::Write as _;

/// What a stretch of the story looked like to those who must not learn of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// On site: what pendants showed, what the gateway logged.
    pub(super) site: Vec<String>,
    /// On the line to the broker: who sent how many bytes of topic and payload.
    pub(super) line: Vec<(String, usize)>,
}

/// Collects what was checked.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    checks: Vec<(String, bool)>,
}

impl Verdict {
    /// One thing that had to be so.
    pub(super) fn check(&mut self, what: impl Into<String>, is_so: bool) {
        self.checks.push((what.into(), is_so));
    }

    /// Two stretches had to look the same, byte for byte.
    pub(super) fn same(&mut self, stage: &Stage, what: &str, one: &View, other: &View) {
        let bytes: usize = one.site.iter().map(String::len).sum();
        let is_same = one.site == other.site;
        let words = if is_same { "nothing differs" } else { "THEY DIFFER" };
        self.check(
            format!("{what}: {} lines, {bytes} bytes on site: {words}", one.site.len()),
            is_same,
        );
        if !is_same {
            show_difference(stage, &one.site, &other.site);
        }
        let messages = one.line.len();
        let bytes: usize = one.line.iter().map(|(_, size)| size).sum();
        let is_same = one.line == other.line;
        let words = if is_same { "nothing differs" } else { "THEY DIFFER" };
        self.check(
            format!("{what}: {messages} messages, {bytes} bytes on the line: {words}"),
            is_same,
        );
        if !is_same {
            let text = |view: &View| -> Vec<String> {
                view.line.iter().map(|it| format!("{it:?}")).collect()
            };
            show_difference(stage, &text(one), &text(other));
        }
    }

    /// Prints the verdict; whether all was as expected.
    pub(super) fn tell(&self, stage: &Stage) -> bool {
        for (what, is_so) in &self.checks {
            stage.text(&format!("{} {what}", if *is_so { "  ok " } else { "  NO " }));
        }
        let failed = self.checks.iter().filter(|(_, is_so)| !is_so).count();
        stage.text(&match failed {
            0 => "All was as expected.".to_owned(),
            _ => format!("NOT AS EXPECTED: {failed} of {} checks failed.", self.checks.len()),
        });
        failed == 0
    }
}

fn show_difference(stage: &Stage, one: &[String], other: &[String]) {
    let longest = one.len().max(other.len());
    for place in 0..longest {
        let (one, other) = (one.get(place), other.get(place));
        if one != other {
            let nothing = "(nothing)".to_owned();
            stage.text(&format!("     first:  {}", one.unwrap_or(&nothing)));
            stage.text(&format!("     second: {}", other.unwrap_or(&nothing)));
        }
    }
}

/// All events in a table.
pub(super) fn table(events: &[Event]) -> String {
    let mut text = String::from("  lane     number  what happened        who               how\n");
    for event in events {
        let mut how = Vec::new();
        if event.data.covert {
            how.push("covert".to_owned());
        }
        if event.data.replayed {
            let late = event.data.delay_ms.map_or(String::new(), |ms| format!(", {ms} ms late"));
            how.push(format!("from the gateway's store{late}"));
        }
        let line = format!(
            "  {:<8} {:>6}  {:<20} {:<17} {}",
            event.data.lane,
            event.data.number,
            event.headline(),
            event.who(),
            how.join(", ")
        );
        writeln!(text, "{}", line.trim_end()).expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_on_site_or_on_the_line_is_found() {
        let stage = Stage::new();
        let view = |site: &str, size| View {
            site: vec![site.to_owned()],
            line: vec![("gate-1".to_owned(), size)],
        };
        for (other, expected) in [
            (view("ended", 1344), true),
            (view("wrong pin", 1344), false),
            (view("ended", 1345), false),
        ] {
            let mut verdict = Verdict::default();
            verdict.same(&stage, "Safe and duress", &view("ended", 1344), &other);
            assert_eq!(verdict.tell(&stage), expected);
        }
    }
}
