//! What a receiver is told or asked that is no frame.

use std::time::Duration;
use tokio::time::Instant;

/// A command that a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// It is to listen, and to say so.
    Listen,
    /// It listens already, nobody knows how: it is to stop that.
    Stop,
    /// It has stopped, and is to listen.
    ListenAnew,
    /// Whether it is there.
    Alive,
    /// Once more: the question or its answer may have been lost on the line.
    AliveAgain,
}

/// A command that has not been answered.
pub(super) struct Asked {
    pub(super) what: Ask,
    pub(super) at: Instant,
    /// Until when the answer is waited for.
    pub(super) until: Instant,
}

impl Asked {
    pub(super) fn new(what: Ask, wait: Duration) -> Self {
        let at = Instant::now();
        Self { what, at, until: at + wait }
    }
}
