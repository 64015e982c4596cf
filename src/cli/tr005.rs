//! The text of the QR code on a LoRaWAN device's label, as the LoRa Alliance's technical
//! recommendation TR005 lays it down:
//!
//! `LW:D0:JoinEUI:DevEUI:ProfileID[:O…][:S…][:P…][:CXXXX]`
//!
//! `O` is a token of its owner, `S` a serial number, `P` what its maker likes, `C` a
//! checksum of all before it: CRC-16 with the polynomial 8005 and the initial value FFFF,
//! lowest bit first (known as CRC-16/MODBUS), in four hexadecimal digits. No key is among
//! them. Of the optional fields only the checksum is used here; nothing repeats the
//! others, because makers put secrets into them.

use crate::engine::lorawan::Eui;
use std::fmt;

/// What a label says of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) join_eui: Eui,
    pub(super) dev_eui: Eui,
    /// The maker's number at the LoRa Alliance, and the maker's own of this kind of device.
    pub(super) vendor: u16,
    pub(super) vendor_profile: u16,
}

/// Why a text is none of a label. Names the field; never repeats one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelFault {
    /// It does not begin with `LW:`.
    Beginning,
    /// Another schema than D0.
    Schema,
    /// A field of the fixed part is missing.
    Missing(&'static str),
    /// A field has not so many hexadecimal digits.
    Digits(&'static str, usize),
    /// A field behind the fixed part has no letter.
    Letter,
    /// A field that may stand once stands twice.
    Twice(&'static str),
    /// Something follows the checksum.
    Behind,
    /// The checksum is that of another text.
    Checksum,
    /// A sign that no such code holds.
    Sign,
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str(
                "the text does not begin with LW:D0: as a LoRaWAN device's QR code does (TR005); if it \
                 shows another sign in place of ':', set the scanner to this computer's keyboard",
            ),
            Self::Schema => f.write_str("its SchemaID is not D0, the only one that is known"),
            Self::Missing(field) => write!(f, "it ends before its {field}: scan the whole code"),
            Self::Digits(field, digits) => write!(f, "its {field} has not {digits} hexadecimal digits"),
            Self::Letter => f.write_str(
                "a field behind its ProfileID does not begin with a letter (O, S, P, C): scan it once more",
            ),
            Self::Twice(field) => write!(f, "it has two fields {field}"),
            Self::Behind => f.write_str("something stands behind its CheckSum: one code a line"),
            Self::Checksum => f.write_str("its CheckSum does not fit it: it was misread, scan it once more"),
            Self::Sign => f.write_str("it holds a sign that the QR code of a label cannot hold"),
        }
    }
}

/// Reads a label's text. Lower-case letters are taken as capitals: the code knows
/// capitals alone, and a scanner that types on a keyboard may change them.
pub(super) fn parse(text: &str) -> Result<Label, LabelFault> {
    let text = text.trim();
    let mut fields = text.split(':');
    if !fields.next().is_some_and(|first| first.eq_ignore_ascii_case("LW")) {
        return Err(LabelFault::Beginning);
    }
    if !text.bytes().all(|sign| sign.is_ascii_graphic() || sign == b' ') {
        return Err(LabelFault::Sign);
    }
    let schema = fields.next().ok_or(LabelFault::Missing("SchemaID"))?;
    if !schema.eq_ignore_ascii_case("D0") {
        return Err(LabelFault::Schema);
    }
    let mut number = |field, digits| {
        let text = fields.next().ok_or(LabelFault::Missing(field))?;
        hexadecimal(text, digits).ok_or(LabelFault::Digits(field, digits))
    };
    let join_eui = Eui(number("JoinEUI", 16)?);
    let dev_eui = Eui(number("DevEUI", 16)?);
    let profile = number("ProfileID", 8)?;
    optional(text, fields)?;
    let [.., a, b, c, d] = profile.to_be_bytes();
    Ok(Label {
        join_eui,
        dev_eui,
        vendor: u16::from_be_bytes([a, b]),
        vendor_profile: u16::from_be_bytes([c, d]),
    })
}

/// The fields that a letter begins, in any order but the checksum last; letters that
/// are not known here pass by.
fn optional<'t>(text: &str, mut fields: impl Iterator<Item = &'t str>) -> Result<(), LabelFault> {
    const ONCE: [(char, &str); 3] = [('O', "OwnerToken"), ('S', "SerNum"), ('P', "Proprietary")];
    let mut seen = Vec::new();
    while let Some(field) = fields.next() {
        let letter = field.chars().next().map(|letter| letter.to_ascii_uppercase());
        let letter = letter.filter(char::is_ascii_uppercase).ok_or(LabelFault::Letter)?;
        if letter == 'C' {
            let last = fields.next().is_none();
            return if last { checksum(text) } else { Err(LabelFault::Behind) };
        }
        let twice = ONCE.iter().find(|(once, _)| *once == letter && seen.contains(&letter));
        if let Some((_, name)) = twice {
            return Err(LabelFault::Twice(name));
        }
        seen.push(letter);
    }
    Ok(())
}

/// Of a text whose last field is its checksum.
fn checksum(text: &str) -> Result<(), LabelFault> {
    let (before, field) = text.rsplit_once(':').expect("its fields were told apart");
    let given = hexadecimal(&field[1..], 4).ok_or(LabelFault::Digits("CheckSum", 4))?;
    let as_read = crc16(before.bytes());
    let in_capitals = crc16(before.bytes().map(|sign| sign.to_ascii_uppercase()));
    let fits = [as_read, in_capitals].map(u64::from).contains(&given);
    if fits { Ok(()) } else { Err(LabelFault::Checksum) }
}

fn hexadecimal(text: &str, digits: usize) -> Option<u64> {
    let whole = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    whole.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// See the head of this file.
fn crc16(bytes: impl Iterator<Item = u8>) -> u16 {
    bytes.fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| {
            let carry = if crc & 1 == 1 { 0xA001 } else { 0 };
            crc >> 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of TR005 itself, with all fields.
    const EXAMPLE: &str =
        "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122:OAABBCCDDEEFF:SYYWWNNNNNN:PFOOBAR:CAF2C";
    const LEAST: &str = "LW:D0:1122334455667788:AABBCCDDEEFF0011:AABB1122";

    fn label() -> Label {
        Label {
            join_eui: Eui(0x1122_3344_5566_7788),
            dev_eui: Eui(0xAABB_CCDD_EEFF_0011),
            vendor: 0xAABB,
            vendor_profile: 0x1122,
        }
    }

    #[test]
    fn the_checksum_is_crc_16_modbus() {
        // The check value that catalogues of CRCs list.
        assert_eq!(crc16(b"123456789".iter().copied()), 0x4B37);
    }

    #[test]
    fn labels_are_read() {
        let with = |more: &str| format!("{LEAST}{more}");
        let texts = [
            EXAMPLE.to_owned(),
            EXAMPLE.to_lowercase(),
            format!("  {EXAMPLE}\r\n"),
            with(""),
            with(":S1"),
            with(":PA/B:OAA"),
            // Unknown letters, also twice.
            with(":X1:Y2:X3"),
            with(":O"),
        ];
        for text in texts {
            assert_eq!(parse(&text), Ok(label()), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_by_the_name_of_its_field() {
        let with = |more: &str| format!("{LEAST}{more}");
        for (text, fault, word) in [
            (String::new(), LabelFault::Beginning, "LW:D0:"),
            ("LWÖD0Ö1122334455667788".to_owned(), LabelFault::Beginning, "keyboard"),
            ("LW".to_owned(), LabelFault::Missing("SchemaID"), "SchemaID"),
            ("LW:D1:11".to_owned(), LabelFault::Schema, "SchemaID"),
            ("LW:D0".to_owned(), LabelFault::Missing("JoinEUI"), "JoinEUI"),
            ("LW:D0:112233445566778".to_owned(), LabelFault::Digits("JoinEUI", 16), "JoinEUI"),
            ("LW:D0:1122334455667788".to_owned(), LabelFault::Missing("DevEUI"), "DevEUI"),
            (LEAST.replace("AABBC", "AABBG"), LabelFault::Digits("DevEUI", 16), "DevEUI"),
            (LEAST.replace(":AABB1122", ""), LabelFault::Missing("ProfileID"), "ProfileID"),
            (LEAST.replace("AABB1122", "AABB112"), LabelFault::Digits("ProfileID", 8), "ProfileID"),
            (with(":"), LabelFault::Letter, "ProfileID"),
            (with(":1A"), LabelFault::Letter, "ProfileID"),
            (with(":OA:OB"), LabelFault::Twice("OwnerToken"), "OwnerToken"),
            (with(":CAF2"), LabelFault::Digits("CheckSum", 4), "CheckSum"),
            (EXAMPLE.replace("CAF2C", "CAF2D"), LabelFault::Checksum, "CheckSum"),
            (
                EXAMPLE.replace("AABBCCDDEEFF0011", "AABBCCDDEEFF0010"),
                LabelFault::Checksum,
                "CheckSum",
            ),
            (format!("{EXAMPLE}:S1"), LabelFault::Behind, "CheckSum"),
            (with(":Pä"), LabelFault::Sign, "sign"),
        ] {
            assert_eq!(parse(&text), Err(fault), "{text}");
            assert!(fault.to_string().contains(word), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_is_repeated(text in ".{0,120}") {
            if let Err(fault) = parse(&text) {
                prop_assert!(text.trim().len() < 12 || !fault.to_string().contains(text.trim()));
            }
        }

        /// As above, but past the first fields.
        #[test]
        fn nor_does_one_that_begins_well(text in "(?i)LW:D0:[0-9A-G]{15,17}:[0-9A-F]{16}:[0-9A-F]{8}(:[A-Z0-9é:]{0,6}){0,4}") {
            let _ = parse(&text);
        }

        /// One wrong sign is found wherever it stands.
        #[test]
        fn a_misread_sign_is_found(at in 0..EXAMPLE.len(), sign in "[0-9A-Z]") {
            let mut text = EXAMPLE.to_owned();
            text.replace_range(at..=at, &sign);
            prop_assume!(text != EXAMPLE);
            // Without its letter or its colon the checksum is none.
            prop_assume!(at < EXAMPLE.len() - 6 || at > EXAMPLE.len() - 5);
            prop_assert!(parse(&text).is_err(), "{}", text);
        }
    }
}
