//! The thin tokio shell.

pub mod history;
pub mod tls;
pub mod uplink;
