//! Twins of the devices, for tests, benches and daemons built with `sim`.

pub mod serial;
