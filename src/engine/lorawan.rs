//! LoRaWAN 1.0.x class A (LoRaWAN Specification 1.0.2 to 1.0.4), as far as one
//! gateway needs it that is network, join and application server in one: joins,
//! counters, acknowledgements. What a payload means, its device's profile says.
//!
//! A pendant's session keys stand nowhere: they are derived from the enrolment's key
//! and the two nonces of its join, which its state holds.

mod crypto;
mod downlink;
mod frame;
mod join;
mod keys;
mod mac;
mod plan;
pub mod reading;
mod session;
#[cfg(test)]
mod vectors_test;

pub(super) use downlink::DownlinkBytes;
pub use frame::counter_in_clear;
pub(super) use frame::{DataUp, Frame, JoinRequest};
pub(super) use join::{Request, join_accept};
pub use keys::{Activation, DevNonceRule, Eui, SecretKey};
pub use plan::{Plan, SubBand};
pub(super) use session::{LoRaWanState, Offer, Standing, Uplink};
