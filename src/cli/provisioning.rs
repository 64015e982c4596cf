//! What a native pendant is given: one line of text for its maker's provisioning tool,
//! and the same as a QR code for a terminal (`docs/protocol.md`, section 2).

use pendant_protocol::{EnrolmentKey, PendantId};
use qrcodegen_no_heap::{QrCode, QrCodeEcc, Version};
use std::fmt::Write;
use zeroize::Zeroizing;

/// `LWP1:00012F:` and the key's 32 digits.
const TEXT_BYTES: usize = 44;
/// Takes 61 letters and digits at the level of correction that is asked for.
const VERSION_MAX: Version = Version::new(3);
/// Readers need a margin of four modules on each side.
const MARGIN: i32 = 4;
/// So wide is the code with its margin, one module a column.
pub(super) const QR_COLUMNS: usize = 37;
/// Black on white whatever the terminal's own colours are.
const BLACK_ON_WHITE: &str = "\x1b[30;47m";
const USUAL_COLOURS: &str = "\x1b[0m\n";

/// The key in 32 lower-case hexadecimal digits.
pub(super) fn key_hex(key: &EnrolmentKey) -> Zeroizing<String> {
    // All room at once: growing would leave copies behind.
    let mut hex = Zeroizing::new(String::with_capacity(32));
    for byte in key.as_bytes() {
        write!(hex, "{byte:02x}").expect("a String takes everything");
    }
    hex
}

/// What a provisioning tool takes. In capitals, which make a smaller QR code.
pub(super) fn text(pendant: PendantId, key: &EnrolmentKey) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
    write!(text, "LWP1:{pendant}:{}", *key_hex(key)).expect("a String takes everything");
    text.make_ascii_uppercase();
    text
}

/// The text's QR code, two modules in one character.
pub(super) fn qr_code(text: &str) -> Zeroizing<String> {
    const BUFFER_BYTES: usize = VERSION_MAX.buffer_len();
    let mut scratch = Zeroizing::new([0; BUFFER_BYTES]);
    let mut modules = Zeroizing::new([0; BUFFER_BYTES]);
    let code = QrCode::encode_text(
        text,
        scratch.as_mut(),
        modules.as_mut(),
        QrCodeEcc::Medium,
        Version::MIN,
        VERSION_MAX,
        None,
        true,
    )
    .expect("a provisioning text fits");
    let side = MARGIN..code.size() + MARGIN;
    let rows = side.clone().step_by(2);
    let row_bytes = BLACK_ON_WHITE.len() + side.len() * '█'.len_utf8() + USUAL_COLOURS.len();
    let mut drawn = Zeroizing::new(String::with_capacity(rows.len() * row_bytes));
    for y in (-MARGIN..code.size() + MARGIN).step_by(2) {
        drawn.push_str(BLACK_ON_WHITE);
        for x in -MARGIN..code.size() + MARGIN {
            // Outside of the code every module is white.
            drawn.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        drawn.push_str(USUAL_COLOURS);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pendant() -> PendantId {
        "00012f".parse().expect("a number")
    }

    /// What a camera sees: dark and bright squares, three pixels wide.
    fn read_back(drawn: &str) -> String {
        let rows: Vec<Vec<char>> = drawn
            .lines()
            .map(|line| {
                let modules = line.strip_prefix(BLACK_ON_WHITE).expect("black on white");
                modules.strip_suffix("\x1b[0m").expect("and back").chars().collect()
            })
            .collect();
        let dark = |x: usize, y: usize| match rows[y / 2][x] {
            ' ' => false,
            '█' => true,
            '▀' => y % 2 == 0,
            '▄' => y % 2 == 1,
            other => panic!("{other:?} is no module"),
        };
        let (width, height) = (rows[0].len(), rows.len() * 2);
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width * 3, height * 3, |x, y| {
                if dark(x / 3, y / 3) { 0 } else { 255 }
            });
        let found = image.detect_grids();
        assert_eq!(found.len(), 1, "one code");
        found[0].decode().expect("it reads").1
    }

    #[test]
    fn a_reader_reads_what_was_drawn() {
        for bytes in [[0; 16], [0xFF; 16], core::array::from_fn(|at| at as u8 * 13 + 1)] {
            let text = text(pendant(), &EnrolmentKey::from_bytes(bytes));
            assert_eq!(text.len(), TEXT_BYTES);
            assert_eq!(read_back(&qr_code(&text)), *text);
        }
    }

    #[test]
    fn the_text_is_that_of_the_document() {
        let key = EnrolmentKey::from_bytes(core::array::from_fn(|at| at as u8));
        let text = text(pendant(), &key);
        assert_eq!(*text, "LWP1:00012F:000102030405060708090A0B0C0D0E0F");
        let document = include_str!("../../docs/protocol.md");
        assert!(document.contains(&*text), "docs/protocol.md shows it");
    }

    /// A phone held upright has some 40 columns, a terminal 24 rows.
    #[test]
    fn it_fits_a_small_terminal_without_growing_its_buffer() {
        let drawn = qr_code(&text(pendant(), &EnrolmentKey::from_bytes([0x5A; 16])));
        assert!(drawn.lines().count() <= 19, "{}", *drawn);
        for line in drawn.lines() {
            let signs = line.chars().count() - BLACK_ON_WHITE.len() - "\x1b[0m".len();
            assert_eq!(signs, QR_COLUMNS);
        }
    }
}
