//! What benches, labs and monitoring centres run, and what the tests of the
//! gateway lean on.
//!
//! Nothing in the daemon depends on this crate.

pub mod bench;
pub mod broker;
pub mod centre;
pub mod cli;
pub mod dc09;
pub mod demo;
pub mod export;
pub mod fleet;
mod hex;
pub mod line;
pub mod lorawan;
pub mod pendant;
pub mod pki;
pub mod sim;
pub mod site;
pub mod watch;
pub mod wire;
