//! Receivers and transmitters as links that carry bytes.
//!
//! A link is a serial port ([`serial`]), a LoRa radio ([`radio`]) or the packet
//! forwarder of a LoRa concentrator ([`concentrator`]). Each is one
//! task that owns its device, survives the loss of it, and speaks to the rest of
//! the gateway over two bounded channels only: [`Transmission`]s go in,
//! [`LinkEvent`]s come out, marked with the tag that the link was spawned with.
//! Nothing here knows pendants, keys or messages: a frame is up to 255 bytes.
//!
//! Time is [`tokio::time::Instant`], so a test may pause it. With the feature
//! `sim` each device has a twin: `sim::sx1262` under the real LoRa driver,
//! `sim::serial` on a pseudo terminal.

pub mod airtime;
pub mod base64;
pub mod clock;
pub mod concentrator;
mod link;
mod outage;
mod outbox;
pub mod radio;
pub mod region;
mod schedule;
pub mod sensitivity;
pub mod serial;
#[cfg(feature = "sim")]
pub mod sim;

pub use link::{
    AIR_INTERVAL, AirQuality, FRAME_BYTES_MAX, LATE_MS_MAX, Later, LineFault, LinkCount, LinkEvent,
    LinkFault, LinkHandle, QUEUE_MAX, Reception, SendFault, Signal, Transmission, Wave,
};
