//! Pendants that can be bought: published payloads, garbage, profiles, documents.

mod documents;
mod garbage;
mod layouts;
mod lengths;
mod profiles;
mod vectors;

/// Bytes from hexadecimal digits; spaces may stand between them.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    assert!(digits.len() % 2 == 0, "{text}");
    digits.chunks(2).map(byte).collect()
}
