//! The thin tokio shell: it carries inputs to the engine and outputs from it, and
//! decides nothing.

mod durable_file;
pub mod keyring_files;
pub mod store_key;
pub mod tls;
pub mod uplink;
