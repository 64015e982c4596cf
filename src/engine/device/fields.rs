//! Takes fields off a payload, front to back, and never beyond its end.

use super::decoders::Unreadable;

/// What is left of a payload.
pub(super) struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    pub(super) fn new(payload: &'p [u8]) -> Self {
        Self(payload)
    }

    /// A payload of just this many bytes.
    pub(super) fn exactly(payload: &'p [u8], bytes: usize) -> Result<Self, Unreadable> {
        if payload.len() == bytes { Ok(Self(payload)) } else { Err(Unreadable::Length) }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unreadable::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), Unreadable> {
        self.slice(bytes).map(|_| ())
    }

    pub(super) fn slice(&mut self, bytes: usize) -> Result<&'p [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Unreadable::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Unreadable> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn be_i16(&mut self) -> Result<i16, Unreadable> {
        self.take().map(i16::from_be_bytes)
    }

    pub(super) fn le_i16(&mut self) -> Result<i16, Unreadable> {
        self.take().map(i16::from_le_bytes)
    }

    pub(super) fn be_i32(&mut self) -> Result<i32, Unreadable> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn le_i32(&mut self) -> Result<i32, Unreadable> {
        self.take().map(i32::from_le_bytes)
    }
}
