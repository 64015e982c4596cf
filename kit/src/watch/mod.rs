//! An operator's desk of a monitoring centre: `pendant-kit watch`.
//!
//! [`Desk`] is pure: messages, orders and the time in, what to tell and receipt out.
//! [`Store`] makes what changed it durable, many messages by one sync; only then are they
//! receipted.

mod acts;
mod desk;
mod flow;
mod heard;
mod incident;
mod order;
mod people;
mod quiet;
mod run;
mod screen;
mod show;
mod store;
mod text;
mod told;

pub use acts::Act;
pub use desk::{Asked, Desk, Gateway, Link, Outcome, Record};
pub use flow::{Flow, LeftOut};
pub use incident::{
    Alarm, Change, Due, Incident, Incidents, OF_GATEWAY_MAX, Sighting, Stage, Step, TrackPoint,
    UnixMs, gravity,
};
pub use order::{HELP, LINE_BYTES_MAX, Order, parse};
pub use people::{People, Person, Session};
pub use run::{Settings, Show, run};
pub use screen::{Screen, Terminal};
pub use show::Lines;
pub use store::{Opened, Store, write_change};
pub use text::clean;
pub use told::{Delay, Told, Why, ask_line, gateway_line, incident_line, incident_lines, rfc3339};
