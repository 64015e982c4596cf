//! The thin tokio shell.

mod durable_file;
pub mod keyring_files;
pub mod store_key;
