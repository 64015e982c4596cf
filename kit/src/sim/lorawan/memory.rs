//! What outlives a device's power: its nonce and its session, as non-volatile memory
//! keeps them.

use crate::bench::write_durably;
use crate::lorawan::{DeviceSession, LoRaWanDevice};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Of a device.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    dev_nonce: u16,
    /// The highest JoinNonce heard.
    join_nonce: Option<u32>,
    session: Option<DeviceSession>,
}

/// A device with what it remembers.
#[derive(Debug)]
pub(super) struct Remembering {
    pub(super) device: LoRaWanDevice,
    pub(super) join_nonce: Option<u32>,
    file: PathBuf,
}

impl Remembering {
    /// A device as it was made, with what `file` keeps of it; that need not exist yet.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub(super) fn power_up(made: &LoRaWanDevice, file: &Path) -> io::Result<Self> {
        let kept = match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map_err(|_| {
                // The text holds keys: no word of it is told.
                io::Error::new(io::ErrorKind::InvalidData, "it is not what `sim` wrote")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        let Kept { dev_nonce, join_nonce, session } = kept;
        let session = session.or_else(|| made.session.clone());
        let device = LoRaWanDevice { dev_nonce, session, ..made.clone() };
        Ok(Self { device, join_nonce, file: file.to_owned() })
    }

    /// Durable when it returns: a counter that is used twice is refused for ever.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn remember(&self) -> io::Result<()> {
        let kept = Kept {
            dev_nonce: self.device.dev_nonce,
            join_nonce: self.join_nonce,
            session: self.device.session.clone(),
        };
        let text = serde_json::to_string(&kept).expect("numbers and bytes have a JSON form");
        write_durably(&self.file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_keys_go_on_and_nobody_else_can_read_them() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("button.memory");
        let made = LoRaWanDevice::new(7, [9; 16]);
        let mut first = Remembering::power_up(&made, &file).expect("a new device");
        first.device.dev_nonce = 5;
        first.device.session = Some(DeviceSession {
            dev_addr: 1,
            nwk_s_key: [1; 16],
            app_s_key: [2; 16],
            up: 41,
            down: Some(3),
            owes_ack: true,
        });
        first.join_nonce = Some(77);
        first.remember().expect("written");
        let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Remembering::power_up(&made, &file).expect("a memory");
        assert_eq!((again.device.dev_nonce, again.join_nonce), (5, Some(77)));
        assert_eq!(again.device.session, first.device.session);
    }

    #[test]
    fn a_memory_of_something_else_is_refused_and_not_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("button.memory");
        std::fs::write(&file, "0123secret").expect("written");
        let made = LoRaWanDevice::new(7, [9; 16]);
        let error = Remembering::power_up(&made, &file).expect_err("no memory").to_string();
        assert_eq!(error, "it is not what `sim` wrote");
    }
}
