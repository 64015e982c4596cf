//! What a scenario showed, and its JUnit XML form, which build servers read.

use std::fmt::Write as _;
use std::time::Duration;

/// One step, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Its place in the scenario, from 1.
    pub place: usize,
    /// Whose it was.
    pub pendant: String,
    /// What was done.
    pub label: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub seen: String,
    /// Why that was not as expected.
    pub failure: Option<String>,
}

/// All steps, in the order of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scenario's name.
    pub name: String,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// From start to end.
    pub took: Duration,
}

impl Report {
    /// How many steps were not as expected.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.steps.iter().filter(|step| step.failure.is_some()).count()
    }

    /// The report as JUnit XML.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let name = escape(&self.name);
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{:.3}\"",
            self.steps.len(),
            self.failures(),
            self.took.as_secs_f64()
        );
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n\
             \x20 <testsuite name=\"{name}\" {counts}>\n"
        );
        for step in &self.steps {
            let StepReport { place, label, .. } = step;
            let pendant = escape(&step.pendant);
            let seconds = step.took.as_secs_f64();
            write!(
                xml,
                "    <testcase classname=\"{name}.{pendant}\" name=\"step {place}: {label}\" \
                 time=\"{seconds:.3}\">\n      <system-out>{}</system-out>\n",
                escape(&step.seen)
            )
            .expect("writing to a string does not fail");
            if let Some(failure) = &step.failure {
                writeln!(xml, "      <failure message=\"{}\"/>", escape(failure))
                    .expect("writing to a string does not fail");
            }
            xml.push_str("    </testcase>\n");
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }
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
        let step = |place, failure: Option<&str>| StepReport {
            place,
            pendant: "alice".into(),
            label: "panic",
            took: Duration::from_millis(1004),
            seen: "noted".into(),
            failure: failure.map(Into::into),
        };
        let report = Report {
            name: "a <b> & \"c\"\u{1}".into(),
            steps: vec![step(1, None), step(2, Some("expected 'ended'"))],
            took: Duration::from_millis(2100),
        };
        assert_eq!(report.failures(), 1);
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"2\" failures=\"1\" errors=\"0\" time=\"2.100\">
  <testsuite name=\"a &lt;b&gt; &amp; &quot;c&quot;\u{FFFD}\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"2.100\">
    <testcase classname=\"a &lt;b&gt; &amp; &quot;c&quot;\u{FFFD}.alice\" name=\"step 1: panic\" time=\"1.004\">
      <system-out>noted</system-out>
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
