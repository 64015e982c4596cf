//! What is told, as lines: for people, or JSON for programs.

use super::desk::Desk;
use super::flow::Flow;
use super::incident::UnixMs;
use super::run::Show;
use super::told::Told;
use std::fmt;
use std::io::{self, Write};

/// Lines on some output.
pub struct Lines {
    output: Box<dyn Write>,
    /// Not yet written.
    text: String,
    /// Bounds what is shown of one gateway. A program reads all.
    flow: Option<Flow>,
}

impl Lines {
    /// Lines for people.
    #[must_use]
    pub fn plain(output: Box<dyn Write>) -> Self {
        Self { output, text: String::new(), flow: Some(Flow::default()) }
    }

    /// One JSON object a line.
    #[must_use]
    pub fn json(output: Box<dyn Write>) -> Self {
        Self { output, text: String::new(), flow: None }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Show for Lines {
    fn tell(&mut self, told: &Told, _: &Desk, _: UnixMs) {
        let Some(flow) = &mut self.flow else {
            return self.line(&told.json());
        };
        let lines = told.lines();
        let is_shown = match told.of_gateway() {
            Some((gateway, is_alarm)) if !lines.is_empty() => flow.may(&gateway, is_alarm),
            _ => true,
        };
        if is_shown {
            lines.iter().for_each(|line| self.line(line));
        }
    }

    fn flush(&mut self, _: &Desk, _: UnixMs) -> io::Result<Vec<u64>> {
        if !self.text.is_empty() {
            self.output.write_all(self.text.as_bytes())?;
            self.output.flush()?;
            self.text.clear();
        }
        Ok(Vec::new())
    }

    fn tick(&mut self, _: &Desk, at_ms: UnixMs) {
        let left_out = self.flow.as_mut().map(|flow| flow.tick(at_ms)).unwrap_or_default();
        for left_out in left_out {
            let lines = Told::LeftOut(left_out).lines();
            lines.iter().for_each(|line| self.line(line));
        }
    }
}
