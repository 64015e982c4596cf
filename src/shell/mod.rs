//! The thin tokio shell: it carries inputs to the engine and outputs from it, and
//! decides nothing.

pub mod certificate_words;
pub mod clock;
pub mod control;
pub mod daemon;
pub mod disk;
pub(crate) mod durable_file;
pub mod export;
mod hex;
pub mod history;
pub mod journal_files;
pub mod journal_words;
mod journald;
pub mod keyring_files;
pub mod lamps;
pub mod links;
pub mod log;
mod message_ids;
pub mod page;
pub mod probe;
pub mod radios;
pub mod settings;
pub mod store_key;
pub mod survey;
pub mod telling;
pub mod tls;
pub mod uplink;
