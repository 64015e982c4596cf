//! An export of the events that wait, sealed for the centre alone: whoever carries
//! it off the site can read nothing in it. `docs/export.md` is the format.
//!
//! HPKE (RFC 9180), base mode, X25519, HKDF-SHA-256, ChaCha20-Poly1305. All
//! messages have one size, so that the file's length tells how many there are and
//! nothing else (P5).

use super::hex;
use crate::engine::journal::Shed;
use crate::engine::payload::EVENT_WIRE_BYTES;
use crate::engine::seam::Publish;
use hpke::aead::{AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// First bytes of the file.
pub const MAGIC: &[u8; 18] = b"lonework export 1\n";
/// What the seal is for.
const INFO: &[u8] = b"lonework/1 export";
/// First byte of a part with messages and of the last part, and the associated
/// data of its seal.
const MESSAGES: u8 = 0;
const END: u8 = 1;
/// Length of the topic, topic, payload.
const MESSAGE_BYTES: usize = 2 + EVENT_WIRE_BYTES;
/// Messages in one part: 66 KiB.
const PART_MESSAGES_MAX: usize = 48;
/// Plain length of the last part.
const END_BYTES: usize = 16 * 1024;
/// Most ranges of missing numbers in it: 128 bytes are more than any needs.
const RANGES_MAX: usize = 100;
/// Longest key file that is read.
const KEY_FILE_BYTES_MAX: usize = 4096;

type Suite = X25519HkdfSha256;

/// The centre's key for exports: an X25519 public key.
#[derive(Clone)]
pub struct ExportKey(<Suite as Kem>::PublicKey);

/// Why there is no key. Each says what to do.
#[derive(Debug)]
pub struct ExportKeyError(String);

impl fmt::Display for ExportKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ExportKeyError {}

impl ExportKey {
    /// Reads a key file: 64 hexadecimal digits; lines that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, ExportKeyError> {
        let named = |what: String| ExportKeyError(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        let text = text.get(..KEY_FILE_BYTES_MAX).unwrap_or(&text);
        Self::parse(text).ok_or_else(|| {
            named(
                "not an export key: 64 hexadecimal digits, as `pendant-kit export new-key` \
                 prints them"
                    .into(),
            )
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let bytes: [u8; 32] = hex::decode(line)?;
        <Suite as Kem>::PublicKey::from_bytes(&bytes).ok().map(Self)
    }
}

/// Writes an export.
pub struct Exporter<W> {
    out: W,
    seal: AeadCtxS<ChaCha20Poly1305, HkdfSha256, Suite>,
    waiting: Vec<u8>,
    messages: u64,
}

impl<W: Write> Exporter<W> {
    /// Begins an export.
    ///
    /// # Errors
    /// It cannot be written, or the key is of no use.
    pub fn begin(mut out: W, key: &ExportKey) -> io::Result<Self> {
        let (share, seal) = hpke::setup_sender::<_, _, Suite>(&OpModeS::Base, &key.0, INFO)
            .map_err(|error| io::Error::other(format!("the export key: {error}")))?;
        out.write_all(MAGIC)?;
        out.write_all(&share.to_bytes())?;
        Ok(Self { out, seal, waiting: Vec::new(), messages: 0 })
    }

    /// Adds one message.
    ///
    /// # Errors
    /// It cannot be written.
    ///
    /// # Panics
    /// Topic and payload have not the size that all events have.
    pub fn message(&mut self, message: &Publish) -> io::Result<()> {
        let topic = u16::try_from(message.topic.len()).expect("a topic is shorter than an event");
        let before = self.waiting.len();
        self.waiting.extend_from_slice(&topic.to_le_bytes());
        self.waiting.extend_from_slice(message.topic.as_bytes());
        self.waiting.extend_from_slice(&message.payload);
        assert_eq!(self.waiting.len() - before, MESSAGE_BYTES, "events have one size");
        self.messages += 1;
        if self.waiting.len() >= PART_MESSAGES_MAX * MESSAGE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends it: how many messages there were, which numbers are missing, and what
    /// else the caller knows.
    ///
    /// # Errors
    /// It cannot be written.
    ///
    /// # Panics
    /// What the caller adds is longer than the end's constant size has room for.
    pub fn end<'s>(
        mut self,
        missing: impl Iterator<Item = &'s Shed>,
        mut more: Value,
    ) -> io::Result<W> {
        self.flush()?;
        let missing: Vec<&Shed> = missing.collect();
        let ranges = missing.iter().take(RANGES_MAX).map(|range| {
            json!([
                format!("{:016x}", range.boot),
                range.lane.as_str(),
                range.first,
                range.last,
                range.count
            ])
        });
        more["missing"] = ranges.collect();
        more["missing_ranges_beyond"] = json!(missing.len().saturating_sub(RANGES_MAX));
        more["messages"] = json!(self.messages);
        let mut text = more.to_string().into_bytes();
        assert!(text.len() <= END_BYTES, "the last part outgrew its constant size");
        text.resize(END_BYTES, b' ');
        self.part(&text, END)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() { Ok(()) } else { self.part(&waiting, MESSAGES) }
    }

    fn part(&mut self, plain: &[u8], kind: u8) -> io::Result<()> {
        let sealed =
            self.seal.seal(plain, &[kind]).map_err(|error| io::Error::other(error.to_string()))?;
        let length = u32::try_from(sealed.len()).expect("a part has at most 64 KiB");
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&sealed)
    }
}
