//! `pendants key`: the public key for which another gateway seals enrolments.

use crate::cli::{Exit, Failure, print, print_json, tell};
use crate::config::Config;
use crate::shell::keyring_files::shared::Receiver;
use crate::shell::store_key::StoreKey;
use serde_json::json;

pub(super) fn key(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let store = &config.store;
    let store_key =
        StoreKey::read_or_make(&store.key_file, &store.directory).map_err(Failure::failed)?;
    let key = Receiver::new(&store_key, config.slot).key;
    let (fingerprint, slot) = (key.fingerprint(), config.slot.get());
    if as_json {
        print_json(&json!({
            "key": key.to_string(),
            "fingerprint": fingerprint.to_string(),
            "site": config.site,
            "gateway": config.gateway,
            "slot": slot,
        }))?;
        return Ok(Exit::Done);
    }
    print(&format!("{key}\n"))?;
    let (site, gateway) = (&config.site, &config.gateway);
    tell(&format!(
        "This is the receiving key of gateway {gateway} on site {site}, slot {slot}. It is no secret.\n\
         \x20 fingerprint  {fingerprint}\n\
         On the gateway that has the pendants: pendant-gateway pendants share --with KEY --all FILE\n\
         It prints a fingerprint: both must be the same."
    ));
    Ok(Exit::Done)
}
