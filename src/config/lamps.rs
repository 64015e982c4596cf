//! `[lamps]`: which of the kernel's LEDs show what.

use super::problem::Report;
use super::reader::Section;
use super::sections::{HOMES, path};
use serde::Serialize;
use std::path::PathBuf;
use toml::Spanned;

pub(super) const LAMPS: &[&str] = &["directory", "power", "network", "reception"];
/// The kernel's `LED_MAX_NAME_SIZE`, less its final zero.
const NAME_BYTES_MAX: usize = 63;

/// `[lamps]`: names of LEDs, as they stand in `/sys/class/leds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lamps {
    /// The folder of all LEDs.
    pub directory: PathBuf,
    /// Shows that the gateway runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<String>,
    /// Shows that the centre is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Shows that the receivers work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reception: Option<String>,
}

pub(super) fn lamps(section: &Section<'_>, report: &mut Report<'_>) -> Lamps {
    let directory = path(section, "directory", report).map(Spanned::into_inner);
    let lamps = Lamps {
        directory: directory.unwrap_or_else(|| "/sys/class/leds".into()),
        power: led(section, "power", report),
        network: led(section, "network", report),
        reception: led(section, "reception", report),
    };
    section.finish(HOMES, report);
    lamps
}

fn led(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = section.text(key, report)?;
    let name = *text.get_ref();
    let stands = |c: char| c.is_ascii_graphic() && c != '/';
    let is_name = !name.starts_with('.') && (1..=NAME_BYTES_MAX).contains(&name.len());
    if is_name && name.chars().all(stands) {
        return Some(name.to_owned());
    }
    report.refuse(
        text.span(),
        format!("`{key}` is the name of a LED alone"),
        "write one of the names that `ls /sys/class/leds` shows",
    );
    None
}
