//! The language between pendants and gateways: 24 bytes each way, sealed.
//!
//! Both ends build on this crate, so that neither can drift: it is `no_std`,
//! needs no heap, does no I/O and knows no clock. `docs/protocol.md` describes
//! the same bytes for firmware in any language; its test vectors are run
//! against this crate.
//!
//! A frame of every kind has the same length, so that nobody who listens can
//! tell a heartbeat from a press. The cipher is AES-128-CCM with an 8-byte tag
//! and a 13-byte nonce: RFC 3610 with M = 8 and L = 2, which RFC 9053, section
//! 4.2, names AES-CCM-16-64-128.
//!
//! The way of an uplink: [`Message::seal`] at the pendant, [`SealedUplink::parse`]
//! and [`SealedUplink::open`] at the gateway. The way of a downlink:
//! [`DownlinkMessage::seal`] at the gateway, [`SealedDownlink::parse`] and
//! [`SealedDownlink::open`] at the pendant. Only `open` proves who spoke; what
//! `parse` gives is a claim. Replay is the caller's to refuse: this crate keeps
//! no state.

#![no_std]

mod cipher;
mod downlink;
mod frame;
mod identity;
mod keys;
mod message;
mod pin;
mod status;
mod uplink;

pub use cipher::Forged;
pub use downlink::{DownlinkMessage, Instruction, Outcome, SealedDownlink};
pub use frame::{FRAME_BYTES, FrameBytes, ParseError};
pub use identity::{PendantId, PendantIdError, Slot};
pub use keys::{DownlinkKey, EnrolmentKey, UplinkKey};
pub use message::{Body, Message};
pub use pin::{PinDigits, PinError};
pub use status::{Battery, Status};
pub use uplink::SealedUplink;
