//! A bridge from gateways to an alarm receiver that speaks SIA DC-09, the protocol
//! over IP that monitoring stations' software takes in today.
//!
//! The bridge is a centre ([`crate::centre`]): it hears events and receipts them. It
//! receipts an event only when the receiver has acknowledged it, so a gateway keeps
//! what the receiver has not. What it makes of events is in `docs/alarm-receivers.md`.
//!
//! Facts of the protocol are those of ANSI/SIA DC-09 as open implementations show
//! them; the standard itself was not at hand, and no conformance is claimed.

mod bridge;
mod cipher;
mod frame;
mod link;
mod mapping;
mod message;
mod queue;
pub mod reading;
mod state;
mod told;

pub use bridge::{BridgeSettings, Ended, run};
pub use cipher::Cipher;
pub use link::{LinkSettings, Transport};
pub use mapping::{Format, Mapping};
pub use message::{NoReply, Reply};
pub use state::State;
pub use told::Told;
