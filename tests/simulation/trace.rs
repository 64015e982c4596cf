//! What happened in a world: a hash of all of it, and lines to read when asked for.

use std::hash::{DefaultHasher, Hash, Hasher};

#[derive(Default)]
pub struct Trace {
    hasher: DefaultHasher,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps readable lines too.
    pub fn readable() -> Self {
        Self { lines: Some(Vec::new()), ..Self::default() }
    }

    pub fn note(&mut self, at_us: u64, what: impl Hash, line: impl FnOnce() -> String) {
        (at_us, what).hash(&mut self.hasher);
        if let Some(lines) = &mut self.lines {
            let (s, us) = (at_us / 1_000_000, at_us % 1_000_000);
            lines.push(format!("{s:>6}.{us:06} {}", line()));
        }
    }

    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
