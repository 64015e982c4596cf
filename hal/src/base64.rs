//! Base64 without padding (RFC 4648, section 4; section 3.2 on leaving out the
//! padding): the text-safe form of a frame for modules whose commands are lines.
//! 24 bytes make 32 characters.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of some bytes: `ceil(4n / 3)` characters.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let sextet = (word >> (18 - 6 * place)) & 0x3F;
            text.push(ALPHABET[sextet as usize]);
        }
    }
    text
}

/// The bytes of a text, or `None` if no encoder would have made it: another
/// character, an impossible length, padding, or bits that are left over and set.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut word = 0u32;
        for &character in group {
            word = word << 6 | sextet(character)?;
        }
        word <<= 6 * (4 - group.len());
        let kept = group.len() - 1;
        let octets = word.to_be_bytes();
        if octets[1 + kept..].iter().any(|&octet| octet != 0) {
            return None;
        }
        bytes.extend_from_slice(&octets[1..=kept]);
    }
    Some(bytes)
}

/// The bytes of a text in any of the forms that are met: padded or not, with the
/// alphabet for addresses (RFC 4648, section 5) or the common one.
pub fn decode_lenient(text: &str) -> Option<Vec<u8>> {
    let common = |character| match character {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let text: Vec<u8> = text.trim_end_matches('=').bytes().map(common).collect();
    decode(&text)
}

fn sextet(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_one_text_is_read() {
        for text in ["+/+/AQ==", "+/+/AQ", "-_-_AQ", "-_-_AQ=="] {
            assert_eq!(decode_lenient(text), Some(vec![0xFB, 0xFF, 0xBF, 0x01]), "{text}");
        }
        assert_eq!(decode_lenient("AQ=A"), None);
        assert_eq!(decode_lenient(""), Some(vec![]));
    }

    #[test]
    fn vectors_of_rfc_4648_section_10() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text.as_bytes());
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn only_canonical_text_is_taken() {
        for text in ["Z", "Zg==", "Zh", "Zm9", "Zm 9", "Zm9v\n", "-_"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(encode(&[0; 24]).len(), 32);
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn what_decodes_is_canonical(text: Vec<u8>) {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
