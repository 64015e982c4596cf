//! JSON written straight into the buffer that leaves. Most of an event is words
//! that never change and names that hold nothing to escape; a serialiser that
//! looks at every byte of them took a quarter of the engine's time.

use crate::engine::event::{AlarmCodes, EventId};
use std::fmt;

/// A text in the making.
pub(super) struct Json(Vec<u8>);

/// What can stand behind a member's name.
pub(super) trait Value {
    fn write(self, json: &mut Json);
}

impl Json {
    /// One object; `bytes` are expected.
    pub(super) fn of(bytes: usize, members: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut json = Self(Vec::with_capacity(bytes));
        json.braces(members);
        json.0
    }

    #[inline]
    pub(super) fn member(&mut self, name: &str, value: impl Value) {
        self.name(name);
        value.write(self);
    }

    /// Leaves the member out if there is no value.
    pub(super) fn member_if_any(&mut self, name: &str, value: Option<impl Value>) {
        if let Some(value) = value {
            self.member(name, value);
        }
    }

    #[inline]
    pub(super) fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.name(name);
        self.braces(members);
    }

    /// What needs no escaping, as it stands.
    #[inline]
    pub(super) fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Lower-case hexadecimal with at least so many digits.
    pub(super) fn hex(&mut self, mut number: u64, digits: usize) {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(4) as usize;
        let mut text = [0; 16];
        for digit in text.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(number & 0xF) as usize];
            number >>= 4;
        }
        self.0.extend_from_slice(&text[text.len() - needed.max(digits)..]);
    }

    fn braces(&mut self, members: impl FnOnce(&mut Self)) {
        self.0.push(b'{');
        members(self);
        self.0.push(b'}');
    }

    /// Inlined always, so that the names are known where they are written.
    #[inline(always)]
    fn name(&mut self, name: &str) {
        self.put(if self.0.last() == Some(&b'{') { "\"" } else { ",\"" });
        self.put(name);
        self.put("\":");
    }

    fn digits(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[first..]);
    }
}

impl fmt::Write for Json {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        Ok(())
    }
}

impl Value for &str {
    #[inline]
    fn write(self, json: &mut Json) {
        debug_assert!(!self.contains(|c: char| c < ' ' || c == '"' || c == '\\'), "{self:?}");
        json.0.push(b'"');
        json.put(self);
        json.0.push(b'"');
    }
}

impl Value for bool {
    fn write(self, json: &mut Json) {
        json.put(if self { "true" } else { "false" });
    }
}

impl Value for u64 {
    fn write(self, json: &mut Json) {
        json.digits(self);
    }
}

macro_rules! signed {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn write(self, json: &mut Json) {
                if self < 0 {
                    json.put("-");
                }
                json.digits(self.unsigned_abs().into());
            }
        }
    )*};
}

signed!(i16, i32);

macro_rules! as_u64 {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn write(self, json: &mut Json) {
                u64::from(self).write(json);
            }
        }
    )*};
}

as_u64!(u8, u16, u32);

impl<V: Value> Value for Option<V> {
    fn write(self, json: &mut Json) {
        match self {
            Some(value) => value.write(json),
            None => json.put("null"),
        }
    }
}

impl Value for EventId {
    fn write(self, json: &mut Json) {
        json.0.push(b'"');
        json.0.extend_from_slice(&self.text());
        json.0.push(b'"');
    }
}

impl Value for AlarmCodes {
    fn write(self, json: &mut Json) {
        json.put("[");
        self.sia.write(json);
        json.put(",");
        self.contact_id.write(json);
        json.put("]");
    }
}

/// A text out of what this writes.
pub(super) struct Text<W>(pub(super) W);

impl<W: FnOnce(&mut Json)> Value for Text<W> {
    fn write(self, json: &mut Json) {
        json.0.push(b'"');
        self.0(json);
        json.0.push(b'"');
    }
}

/// A number of quarters, written as a decimal fraction.
pub(super) struct Quarters(pub(super) i16);

impl Value for Quarters {
    fn write(self, json: &mut Json) {
        if self.0 < 0 {
            json.put("-");
        }
        let quarters = self.0.unsigned_abs();
        json.digits((quarters / 4).into());
        json.put([".0", ".25", ".5", ".75"][usize::from(quarters % 4)]);
    }
}

/// A number with so many decimal places.
pub(super) struct Decimal {
    pub(super) digits: i32,
    pub(super) places: u32,
}

impl Value for Decimal {
    fn write(self, json: &mut Json) {
        if self.digits < 0 {
            json.put("-");
        }
        let unit = 10_u32.pow(self.places);
        let digits = self.digits.unsigned_abs();
        json.digits((digits / unit).into());
        json.put(".");
        // Zeros behind the point stand too.
        let mut place = unit / 10;
        while place > 0 {
            json.digits((digits / place % 10).into());
            place /= 10;
        }
    }
}
