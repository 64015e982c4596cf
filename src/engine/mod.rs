//! The pure core. A frame's way is visible from the file names: `authenticate`,
//! `deduplicate`, `decide`, `record`, `journal`, `acknowledge`, and beside it
//! `delivery` and `payload` towards the centre. No async, clock, chance, file,
//! socket or log; a lint and a test hold that.

mod acknowledge;
mod age;
pub mod air;
mod authenticate;
mod by_pendant;
pub mod certificate;
mod chance;
pub mod claimed;
pub mod command;
mod decide;
mod deduplicate;
mod delivery;
pub mod device;
mod downlinks;
pub mod event;
mod gateway;
pub mod journal;
pub mod keyring;
pub mod lamp;
#[cfg(test)]
mod limits_test;
pub mod lorawan;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
#[allow(unreachable_pub, reason = "public with the feature")]
mod mutant;
pub mod name;
pub mod notice;
pub mod payload;
mod pendant;
pub mod pin;
pub mod policy;
mod record;
mod said;
pub mod seam;
pub mod settings;
pub mod time;

pub use chance::Seed;
pub use delivery::OFFERS_MAX;
#[cfg(feature = "leaks")]
pub use gateway::leak;
pub use gateway::{Gateway, LastTest, RecoveryReport, Status, TestFate, TestRefusal};
