//! What a centre does with an export of a gateway's journal
//! (`pendant-gateway queue export`): it makes the key, and opens what was sealed
//! for it. The format is in `docs/export.md`.

use crate::hex;
use hpke::aead::{AeadCtxR, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable};
use serde_json::Value;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAGIC: &[u8; 18] = b"lonework export 1\n";
const INFO: &[u8] = b"lonework/1 export";
/// First byte of a part, and the associated data of its seal.
const MESSAGES: u8 = 0;
const END: u8 = 1;
/// Length of the topic, topic, payload: that of every event.
const MESSAGE_BYTES: usize = 2 + crate::centre::EVENT_WIRE_BYTES;
/// Longest part: 48 messages and a tag.
const PART_BYTES_MAX: usize = 48 * MESSAGE_BYTES + 16;

type Suite = X25519HkdfSha256;
type Seal = AeadCtxR<ChaCha20Poly1305, HkdfSha256, Suite>;

/// Why an export cannot be read to its end.
#[derive(Debug)]
pub enum ExportError {
    /// The system refused.
    Io(io::Error),
    /// Not an export of this format.
    NotAnExport,
    /// Sealed for another key, or altered.
    Sealed,
    /// It ends before its end: a part of it is missing.
    CutOff,
    /// What was sealed is not what a gateway writes.
    Malformed(&'static str),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotAnExport => f.write_str("this is no export of a gateway's journal"),
            Self::Sealed => f.write_str("the export was sealed for another key, or was altered"),
            Self::CutOff => f.write_str("the export is cut off: copy the whole file again"),
            Self::Malformed(what) => write!(f, "the export is not as a gateway writes it: {what}"),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Io(error),
        }
    }
}

/// The centre's private key for exports. Says nothing of itself when printed.
pub struct ExportSecret(<Suite as Kem>::PrivateKey);

impl fmt::Debug for ExportSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExportSecret(..)")
    }
}

impl ExportSecret {
    /// Makes a key, writes it to a new file of mode 0600, and gives the public key
    /// for the gateways.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn make(path: &Path) -> io::Result<String> {
        let (secret, public) = Suite::gen_keypair();
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", hex::encode(&secret.to_bytes()))?;
        file.sync_all()?;
        Ok(hex::encode(&public.to_bytes()))
    }

    /// Reads the file that [`Self::make`] wrote.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not 64 hexadecimal digits");
        let bytes = hex::decode(text.trim()).ok_or_else(wrong)?;
        <Suite as Kem>::PrivateKey::from_bytes(&bytes).map(Self).map_err(|_| wrong())
    }
}

/// Opens an export. Each message is handed over as topic and payload; the end is
/// given back: what the gateway says of the whole.
///
/// # Errors
/// See [`ExportError`]; what was handed over before is genuine.
pub fn open<E: From<ExportError>>(
    mut export: impl Read,
    secret: &ExportSecret,
    mut message: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<Value, E> {
    let mut seal = begin(&mut export, secret)?;
    let mut messages = 0u64;
    loop {
        let mut head = [0; 5];
        export.read_exact(&mut head).map_err(ExportError::from)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > PART_BYTES_MAX {
            return Err(ExportError::Malformed("a part is too long").into());
        }
        let mut part = vec![0; length];
        export.read_exact(&mut part).map_err(ExportError::from)?;
        let plain = seal.open(&part, &[kind]).map_err(|_| ExportError::Sealed)?;
        match kind {
            MESSAGES => {
                for one in plain.chunks(MESSAGE_BYTES) {
                    let (topic, payload) = split(one)?;
                    message(topic, payload)?;
                    messages += 1;
                }
            }
            END => return Ok(ended(&mut export, &plain, messages)?),
            _ => return Err(ExportError::Malformed("a part of unknown kind").into()),
        }
    }
}

fn begin(export: &mut impl Read, secret: &ExportSecret) -> Result<Seal, ExportError> {
    let mut magic = [0; MAGIC.len()];
    export.read_exact(&mut magic).map_err(|_| ExportError::NotAnExport)?;
    if magic != *MAGIC {
        return Err(ExportError::NotAnExport);
    }
    let mut share = [0; 32];
    export.read_exact(&mut share)?;
    let share = <Suite as Kem>::EncappedKey::from_bytes(&share).map_err(|_| ExportError::Sealed)?;
    hpke::setup_receiver(&OpModeR::Base, &secret.0, &share, INFO).map_err(|_| ExportError::Sealed)
}

fn split(message: &[u8]) -> Result<(&str, &[u8]), ExportError> {
    let wrong = || ExportError::Malformed("a message");
    let (length, rest) = message.split_first_chunk::<2>().ok_or_else(wrong)?;
    let (topic, payload) =
        rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or_else(wrong)?;
    Ok((std::str::from_utf8(topic).map_err(|_| wrong())?, payload))
}

fn ended(export: &mut impl Read, end: &[u8], messages: u64) -> Result<Value, ExportError> {
    let end: Value = serde_json::from_slice(end).map_err(|_| ExportError::Malformed("the end"))?;
    if end["messages"] != messages {
        return Err(ExportError::Malformed("the number of messages"));
    }
    if export.read(&mut [0])? > 0 {
        return Err(ExportError::Malformed("something stands behind its end"));
    }
    Ok(end)
}
