//! The uplink against a broker that does everything wrong, and a line that
//! breaks at every byte. What it tells the engine must stay true, what is wrong
//! must be told, and it must come back.

#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[path = "../support/uplink.rs"]
mod support;

mod answers;
mod courier;
mod every_byte;
mod line;
mod renewal;
