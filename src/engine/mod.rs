//! The pure core: authenticate, deduplicate, decide, record, release.

pub mod event;
pub mod keyring;
pub mod name;
pub mod pin;
pub mod seam;
pub mod time;
