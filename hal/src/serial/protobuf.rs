//! The part of protocol buffers' wire format that is needed to find a few fields in a
//! message (protobuf.dev, "Encoding"). What is asked for is known, so there is no
//! schema: a message is a run of numbered fields, and the unknown ones are skipped.

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'m> {
    Varint(u64),
    Fixed64,
    Bytes(&'m [u8]),
    Fixed32(u32),
}

/// The fields of a message in the order in which they stand.
pub(super) struct Fields<'m> {
    rest: &'m [u8],
}

/// What is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'m> Fields<'m> {
    fn take(&mut self, bytes: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first; ten bytes at most.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u64, Value<'m>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(bytes)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            // Groups are not used any more.
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u64, Value<'m>), Malformed>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(message: &[u8]) -> Vec<Result<(u64, Value<'_>), Malformed>> {
        fields(message).collect()
    }

    /// The examples of the encoding's description: 150 in field 1, "testing" in field 2.
    #[test]
    fn the_published_examples_are_read() {
        assert_eq!(all(&[0x08, 0x96, 0x01]), [Ok((1, Value::Varint(150)))]);
        assert_eq!(all(b"\x12\x07testing"), [Ok((2, Value::Bytes(b"testing")))]);
        let both = all(b"\x0D\x01\0\0\x80\x11\0\0\0\0\0\0\0\0");
        assert_eq!(both, [Ok((1, Value::Fixed32(0x8000_0001))), Ok((2, Value::Fixed64))]);
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        for message in [
            &b"\x08"[..],
            b"\x08\x96",
            b"\x12\x07test",
            b"\x0D\0\0",
            b"\x11\0",
            b"\x0B",
            b"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
            b"\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
        ] {
            assert_eq!(all(message), [Err(Malformed)], "{message:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(message in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(all(&message).len() <= message.len());
        }
    }
}
