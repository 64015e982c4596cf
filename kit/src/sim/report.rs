//! What a scenario showed, and its JUnit XML form, which build servers read.

use super::lorawan::RoofReport;
use crate::site::{Account, Loss};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// One step, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// The step's number in the scenario, from 1; a crew's members share it.
    pub number: usize,
    /// Whose it was.
    pub pendant: String,
    /// What was done.
    pub label: &'static str,
    /// How long it took.
    pub took: Duration,
    /// The counter of the frame, if it ended: with it the event at the centre is
    /// found.
    pub counter: Option<u32>,
    /// What came of it.
    pub seen: String,
    /// Why that was not as expected.
    pub failure: Option<String>,
}

/// All steps, in the order of the scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The scenario's name.
    pub name: String,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// What happened in the air, if it was a site.
    pub air: Option<AirReport>,
    /// What went through simulated forwarders.
    pub roofs: Vec<RoofReport>,
    /// From start to end.
    pub took: Duration,
}

/// What happened in a site's air.
#[derive(Clone, Debug, PartialEq)]
pub struct AirReport {
    /// How many pendants there were.
    pub pendants: usize,
    /// What became of their transmissions.
    pub account: Account,
    /// Fewer answered transmissions than this are not as expected, percent.
    pub answered_percent_min: Option<f64>,
    /// Pendants that could not go on, and why.
    pub broken: Vec<String>,
}

impl AirReport {
    /// Why that was not as expected.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if !self.broken.is_empty() {
            return Some(self.broken.join("; "));
        }
        let least = self.answered_percent_min?;
        let percent = self.account.answered_permille() as f64 / 10.0;
        (percent < least)
            .then(|| format!("{percent:.1} % of the transmissions were answered, not {least} %"))
    }

    fn properties(&self) -> Vec<(String, u64)> {
        let Account { said, answered, under_way, transmissions, losses } = &self.account;
        let mut properties = vec![
            ("pendants".to_owned(), self.pendants as u64),
            ("said".to_owned(), *said),
            ("under_way".to_owned(), *under_way),
            ("transmissions".to_owned(), *transmissions),
            ("answered".to_owned(), *answered),
            ("answered_permille".to_owned(), self.account.answered_permille()),
        ];
        for loss in Loss::ALL {
            let count = losses.get(&loss).copied().unwrap_or(0);
            properties.push((format!("lost_{}", loss.name()), count));
        }
        properties
    }
}

impl fmt::Display for AirReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { said, answered, under_way, transmissions, losses } = &self.account;
        let permille = self.account.answered_permille();
        let each = self.account.transmissions_a_press_percent();
        writeln!(
            f,
            "{} pendants said {said} things; {answered} were answered, {} given up, {under_way} \
             under way",
            self.pendants,
            said - answered
        )?;
        write!(
            f,
            "{answered} of {transmissions} transmissions answered: {}.{} %; {}.{:02} transmissions \
             for each thing said",
            permille / 10,
            permille % 10,
            each / 100,
            each % 100
        )?;
        for (loss, count) in losses {
            write!(f, "\n{count:>6} {loss}")?;
        }
        Ok(())
    }
}

impl Report {
    /// How many steps were not as expected; and one if the air was not, and each forwarder.
    #[must_use]
    pub fn failures(&self) -> usize {
        let air = self.air.as_ref().and_then(AirReport::failure);
        let roofs = self.roofs.iter().filter_map(RoofReport::failure);
        let steps = self.steps.iter().filter(|step| step.failure.is_some());
        steps.count() + air.into_iter().chain(roofs).count()
    }

    /// The report as JUnit XML.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let name = escape(&self.name);
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{:.3}\"",
            self.steps.len() + usize::from(self.air.is_some()) + self.roofs.len(),
            self.failures(),
            self.took.as_secs_f64()
        );
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n\
             \x20 <testsuite name=\"{name}\" {counts}>\n"
        );
        if let Some(air) = &self.air {
            xml.push_str("    <properties>\n");
            for (name, value) in air.properties() {
                add(
                    &mut xml,
                    format_args!("      <property name=\"{name}\" value=\"{value}\"/>\n"),
                );
            }
            xml.push_str("    </properties>\n");
        }
        for step in &self.steps {
            let StepReport { number, label, counter, .. } = step;
            let case = Case {
                class: format!("{name}.{}", escape(&step.pendant)),
                name: format!("step {number}: {label}"),
                took: step.took,
                seen: match counter {
                    Some(counter) => format!("{}; frame counter {counter}", step.seen),
                    None => step.seen.clone(),
                },
                failure: step.failure.as_ref(),
            };
            case.add_to(&mut xml);
        }
        if let Some(air) = &self.air {
            let failure = air.failure();
            let case = Case {
                class: name.clone(),
                name: "the air".to_owned(),
                took: self.took,
                seen: air.to_string(),
                failure: failure.as_ref(),
            };
            case.add_to(&mut xml);
        }
        for roof in &self.roofs {
            let failure = roof.failure();
            let case = Case {
                class: name.clone(),
                name: format!("forwarder {}", escape(&roof.wire)),
                took: self.took,
                seen: roof.to_string(),
                failure: failure.as_ref(),
            };
            case.add_to(&mut xml);
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }
}

/// One test case.
struct Case<'a> {
    /// Escaped already.
    class: String,
    name: String,
    took: Duration,
    seen: String,
    failure: Option<&'a String>,
}

impl Case<'_> {
    fn add_to(&self, xml: &mut String) {
        let Self { class, name, .. } = self;
        let (seconds, seen) = (self.took.as_secs_f64(), escape(&self.seen));
        add(
            xml,
            format_args!(
                "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">\n      \
                 <system-out>{seen}</system-out>\n"
            ),
        );
        if let Some(failure) = self.failure {
            let failure = escape(failure);
            add(xml, format_args!("      <failure message=\"{failure}\"/>\n"));
        }
        xml.push_str("    </testcase>\n");
    }
}

fn add(xml: &mut String, text: fmt::Arguments<'_>) {
    xml.write_fmt(text).expect("writing to a string does not fail");
}

/// XML 1.0, sections 2.2 and 2.4: also what may not stand in a text at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\x1F' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_what_build_servers_read() {
        let step = |number, failure: Option<&str>| StepReport {
            number,
            pendant: "alice".into(),
            label: "panic",
            took: Duration::from_millis(1004),
            counter: (number == 1).then_some(17),
            seen: "noted".into(),
            failure: failure.map(Into::into),
        };
        let report = Report {
            name: "a <b> & \"c\"\u{1}".into(),
            steps: vec![step(1, None), step(2, Some("expected 'ended'"))],
            air: None,
            roofs: Vec::new(),
            took: Duration::from_millis(2100),
        };
        assert_eq!(report.failures(), 1);
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"2\" failures=\"1\" errors=\"0\" time=\"2.100\">
  <testsuite name=\"a &lt;b&gt; &amp; &quot;c&quot;\u{FFFD}\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"2.100\">
    <testcase classname=\"a &lt;b&gt; &amp; &quot;c&quot;\u{FFFD}.alice\" name=\"step 1: panic\" time=\"1.004\">
      <system-out>noted; frame counter 17</system-out>
    </testcase>
    <testcase classname=\"a &lt;b&gt; &amp; &quot;c&quot;\u{FFFD}.alice\" name=\"step 2: panic\" time=\"1.004\">
      <system-out>noted</system-out>
      <failure message=\"expected 'ended'\"/>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(report.to_junit(), expected);
    }
}
