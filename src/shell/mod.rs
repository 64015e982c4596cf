//! The thin tokio shell.

pub mod tls;
pub mod uplink;
