//! Which PINs a wearer may have.
//!
//! A duress PIN raises an alarm that nobody on site can see or call off. So a
//! slip of the finger while entering the safe PIN must never make it the duress
//! PIN, and neither may be one of those that a thief tries first. No message
//! repeats a digit.

use pendant_protocol::PinDigits;
use std::fmt;

/// Shortest and longest PIN: what the pendant's message has room for.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

/// Which of the two PINs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Safe,
    Duress,
}

/// Why PINs are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PinFault {
    /// Fewer than 4 or more than 8 digits, or something that is no digit.
    Form(Which),
    /// One of those that are tried first.
    Common(Which),
    /// Both are the same.
    Same,
    /// One is the beginning of the other.
    Beginning,
    /// One wrong, missing or additional digit apart.
    OneDigit,
    /// Two neighbouring digits exchanged.
    Exchanged,
    /// One more or one less, read as numbers.
    Next,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::Duress => "duress",
        })
    }
}

impl fmt::Display for PinFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SLIP: &str = "a slip while entering the safe PIN would raise a silent alarm; choose a duress PIN that \
                            differs in several digits";
        match self {
            Self::Form(which) => {
                write!(f, "the {which} PIN must have 4 to 8 digits and nothing else")
            }
            Self::Common(which) => write!(
                f,
                "the {which} PIN is one that is guessed first (one digit repeated, digits in a row, a pattern \
                 repeated, the middle column of the keys); choose another"
            ),
            Self::Same => write!(f, "the duress PIN is the safe PIN; choose another"),
            Self::Beginning => write!(f, "one PIN begins with the whole other PIN: {SLIP}"),
            Self::OneDigit => {
                write!(f, "the PINs are one wrong, missing or additional digit apart: {SLIP}")
            }
            Self::Exchanged => {
                write!(f, "the PINs differ only in two neighbouring digits exchanged: {SLIP}")
            }
            Self::Next => write!(f, "the PINs are neighbouring numbers: {SLIP}"),
        }
    }
}

/// Checks one PIN by itself.
pub(super) fn one_pin(which: Which, pin: &str) -> Result<PinDigits, PinFault> {
    let digits = pin.as_bytes();
    if !DIGITS.contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(PinFault::Form(which));
    }
    if is_common(digits) {
        return Err(PinFault::Common(which));
    }
    PinDigits::from_digits(pin).map_err(|_| PinFault::Form(which))
}

/// Checks whether two PINs, each good by itself, are far enough apart.
pub(super) fn far_enough_apart(safe: &str, duress: &str) -> Result<(), PinFault> {
    let (a, b) = (safe.as_bytes(), duress.as_bytes());
    if a == b {
        return Err(PinFault::Same);
    }
    if a.starts_with(b) || b.starts_with(a) {
        return Err(PinFault::Beginning);
    }
    if is_one_edit(a, b) {
        return Err(PinFault::OneDigit);
    }
    if is_one_exchange(a, b) {
        return Err(PinFault::Exchanged);
    }
    if number(a).abs_diff(number(b)) <= 1 {
        return Err(PinFault::Next);
    }
    Ok(())
}

/// 0000, 1234, 8765, 7890, 1212, 121212, 123123, 2580 and their like.
fn is_common(digits: &[u8]) -> bool {
    let step = |pair: &[u8]| (pair[1] + 10 - pair[0]) % 10;
    let first_step = step(&digits[..2]);
    let even_steps =
        matches!(first_step, 0 | 1 | 9) && digits.windows(2).all(|pair| step(pair) == first_step);
    let repeats = |period: usize| digits.iter().zip(&digits[period..]).all(|(a, b)| a == b);
    let column = digits == b"2580" || digits == b"0852";
    even_steps || column || (1..=digits.len() / 2).any(repeats)
}

/// One digit changed, or one added to either.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    match long.len() - short.len() {
        0 => same < short.len() && short[same + 1..] == long[same + 1..],
        1 => short[same..] == long[same + 1..],
        _ => false,
    }
}

fn is_one_exchange(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    a.len() == b.len()
        && same + 1 < a.len()
        && a[same] == b[same + 1]
        && a[same + 1] == b[same]
        && a[same + 2..] == b[same + 2..]
}

/// At most eight digits: fits.
fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// All PINs that one slip makes of this one, found by making the slips.
    fn slips(pin: &str) -> BTreeSet<String> {
        let digits: Vec<char> = pin.chars().collect();
        let mut slips = BTreeSet::new();
        for at in 0..digits.len() {
            for digit in '0'..='9' {
                let mut slip = digits.clone();
                slip[at] = digit;
                slips.insert(slip.iter().collect());
            }
            let mut slip = digits.clone();
            slip.remove(at);
            slips.insert(slip.iter().collect());
            if at > 0 {
                let mut slip = digits.clone();
                slip.swap(at - 1, at);
                slips.insert(slip.iter().collect());
            }
        }
        for at in 0..=digits.len() {
            for digit in '0'..='9' {
                let mut slip = digits.clone();
                slip.insert(at, digit);
                slips.insert(slip.iter().collect());
            }
        }
        let number: u32 = pin.parse().expect("digits");
        for next in [number.saturating_sub(1), number, number + 1] {
            for width in DIGITS {
                slips.insert(format!("{next:0width$}"));
            }
        }
        slips
    }

    /// Fifty million unordered pairs; that the order does not matter is held
    /// below.
    #[test]
    fn of_all_pairs_of_four_digits_exactly_the_slips_are_refused() {
        let pins: Vec<String> = (0..10_000).map(|number| format!("{number:04}")).collect();
        let examine = |parity: usize| {
            for (at, safe) in pins.iter().enumerate().skip(parity).step_by(2) {
                let refused =
                    pins[at..].iter().filter(|duress| far_enough_apart(safe, duress).is_err());
                let slips = slips(safe);
                let expected = slips.iter().filter(|slip| slip.len() == 4 && *slip >= safe);
                assert!(refused.eq(expected), "the slips of {safe} are others than those refused");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| examine(0));
            scope.spawn(|| examine(1));
        });
    }

    proptest! {
        #[test]
        fn pins_of_any_length_are_refused_if_and_only_if_one_slip_or_a_beginning(
            safe in "[0-9]{4,8}", duress in "[0-9]{4,8}",
        ) {
            let near = slips(&safe).contains(&duress) || safe.starts_with(&duress) || duress.starts_with(&safe);
            prop_assert_eq!(far_enough_apart(&safe, &duress).is_err(), near);
            prop_assert_eq!(far_enough_apart(&duress, &safe).is_err(), near);
        }

        #[test]
        fn every_slip_of_any_pin_is_refused(safe in "[0-9]{4,8}") {
            for slip in slips(&safe) {
                prop_assert!(far_enough_apart(&safe, &slip).is_err());
                prop_assert!(far_enough_apart(&slip, &safe).is_err());
            }
        }

        #[test]
        fn no_text_makes_it_panic_or_is_repeated(text in ".{0,12}") {
            if let Err(fault) = one_pin(Which::Safe, &text) {
                prop_assert!(text.len() < 4 || !fault.to_string().contains(&text));
            }
        }
    }

    #[test]
    fn each_kind_of_nearness_has_its_own_words() {
        for (safe, duress, fault) in [
            ("2749", "2749", PinFault::Same),
            ("2749", "27493", PinFault::Beginning),
            ("27493", "2749", PinFault::Beginning),
            ("2749", "2740", PinFault::OneDigit),
            ("2749", "22749", PinFault::OneDigit),
            ("27493", "2793", PinFault::OneDigit),
            ("2749", "7249", PinFault::Exchanged),
            ("2749", "2794", PinFault::Exchanged),
            ("2799", "2800", PinFault::Next),
            ("3000", "2999", PinFault::Next),
            ("9999", "10000", PinFault::Next),
            ("1357", "001357", PinFault::Next),
        ] {
            assert_eq!(far_enough_apart(safe, duress), Err(fault), "{safe} {duress}");
        }
        assert_eq!(far_enough_apart("2749", "8163"), Ok(()));
        assert_eq!(far_enough_apart("2749", "92748"), Ok(()));
    }

    #[test]
    fn common_pins_are_refused_and_others_are_not() {
        let common = [
            "0000", "9999", "11111111", "1234", "4321", "3456", "7890", "0123", "8901", "0987",
            "12345678", "1212", "8383", "121212", "12121", "123123", "20202", "2580", "0852",
            "12341234",
        ];
        for pin in common {
            assert_eq!(one_pin(Which::Duress, pin), Err(PinFault::Common(Which::Duress)), "{pin}");
        }
        for pin in ["2749", "1235", "1357", "1122", "1001", "90210", "27492748", "25801"] {
            assert!(one_pin(Which::Safe, pin).is_ok(), "{pin}");
        }
        let four: usize =
            (0..10_000).filter(|pin| is_common(format!("{pin:04}").as_bytes())).count();
        assert_eq!(
            four,
            100 + 20 + 2,
            "pairs repeated (equal digits among them), runs up and down, the column"
        );
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for text in ["", "1", "274", "274927491", "27a9", "2 749", "２７４９", "-274", "27.4"] {
            assert_eq!(one_pin(Which::Safe, text), Err(PinFault::Form(Which::Safe)), "{text}");
        }
    }
}
