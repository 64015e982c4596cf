//! Hexadecimal digits, of both cases.

/// Exactly `BYTES` bytes, two digits each, the higher one first.
pub(super) fn decode<const BYTES: usize>(digits: &str) -> Option<[u8; BYTES]> {
    if digits.len() != 2 * BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn only_as_many_digits_as_asked_for_are_taken() {
        assert_eq!(decode("00aF"), Some([0x00, 0xAF]));
        for wrong in ["00a", "00af0", "+0af", " 00a", "00ag", "00\u{e4}f", ""] {
            assert_eq!(decode::<2>(wrong), None, "{wrong}");
        }
    }
}
