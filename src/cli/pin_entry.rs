//! Where PINs come from: the wearer types them, or a provisioning program passes them.

use super::pin_rules::{PinFault, Which, far_enough_apart, one_pin};
use super::secret_entry::{QuietTerminal, ask, read_descriptor};
use super::{Failure, tell};
use crate::engine::pin::PinVerifier;
use pendant_protocol::PinDigits;
use zeroize::Zeroizing;

/// After so many refused pairs the wearer should think first.
const ATTEMPTS_MAX: usize = 5;

/// Two PINs of eight digits with line ends, and room to see that there is more.
const PINS_BYTES_MAX: u64 = 64;

/// Both PINs, far enough apart.
pub(super) struct Pins {
    pub(super) safe: PinDigits,
    pub(super) duress: PinDigits,
}

impl Pins {
    /// What is kept of them: hashes under a new random key.
    pub(super) fn verifier(&self) -> Result<PinVerifier, Failure> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut())
            .map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
        Ok(PinVerifier::new(*key, self.safe, self.duress))
    }
}

/// From a program through `descriptor`, or else from the wearer.
pub(super) fn read(descriptor: Option<u32>) -> Result<Pins, Failure> {
    descriptor.map_or_else(from_wearer, from_descriptor)
}

/// Two lines from an open file descriptor: the safe PIN, the duress PIN.
fn from_descriptor(descriptor: u32) -> Result<Pins, Failure> {
    let text = read_descriptor(descriptor, "PINs", PINS_BYTES_MAX)?;
    let mut lines = text.lines();
    let (Some(safe), Some(duress), None) = (lines.next(), lines.next(), lines.next()) else {
        return Err(Failure::refused(format!(
            "file descriptor {descriptor} must give two lines: the safe PIN, then the duress PIN"
        )));
    };
    judge(safe, duress).map_err(Failure::failed)
}

/// Asks the wearer at the terminal, each PIN twice, until they are good.
fn from_wearer() -> Result<Pins, Failure> {
    let _quiet = QuietTerminal::open("PINs", "--pins-fd")?;
    tell("The wearer now types two PINs of 4 to 8 digits; nothing is shown.");
    tell("  Safe PIN:   ends a session or an alarm.");
    tell("  Duress PIN: seems to do the same, and calls for help unnoticed.");
    for _ in 0..ATTEMPTS_MAX {
        let Some(safe) = ask_twice("Safe PIN")? else {
            continue;
        };
        if let Err(fault) = one_pin(Which::Safe, &safe) {
            tell(&fault.to_string());
            continue;
        }
        let Some(duress) = ask_twice("Duress PIN")? else {
            continue;
        };
        match judge(&safe, &duress) {
            Ok(pins) => return Ok(pins),
            Err(fault) => tell(&fault.to_string()),
        }
    }
    Err(Failure::failed("no good pair of PINs was typed; nothing was changed"))
}

fn judge(safe: &str, duress: &str) -> Result<Pins, PinFault> {
    let pins = Pins { safe: one_pin(Which::Safe, safe)?, duress: one_pin(Which::Duress, duress)? };
    far_enough_apart(safe, duress).map(|()| pins)
}

/// `None` if the two entries differ.
fn ask_twice(label: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let first = ask(label)?;
    let second = ask(&format!("{label} again"))?;
    if *first == *second {
        return Ok(Some(first));
    }
    tell("The two entries differ; once more.");
    Ok(None)
}
