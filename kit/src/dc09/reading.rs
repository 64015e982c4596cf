//! What a receiver's bytes say, without a line: for whoever checks the reading of what
//! anybody between may send.

use super::cipher::Cipher;
use super::frame::{Frames, wrap};
use super::message::{Address, Message, NoReply, Reply};

/// What the bytes of a line say to a message of ours with this account and number, frame
/// by frame, if they come in pieces of so many bytes (at least one).
#[must_use]
pub fn answers(
    line: &[u8],
    piece_bytes: usize,
    (account, sequence): (&str, u16),
    cipher: Option<Cipher>,
) -> Vec<Result<Reply, NoReply>> {
    let address = Address { receiver: "1".to_owned(), line: "1".to_owned(), cipher };
    let message = Message::null(account);
    let mut frames = Frames::default();
    let mut answers = Vec::new();
    for piece in line.chunks(piece_bytes.max(1)) {
        frames.push(piece);
        while let Some(frame) = frames.next() {
            answers.push(address.judge(&frame, &message, sequence));
        }
    }
    answers
}

/// The frame around a body.
#[must_use]
pub fn framed(body: &str) -> Vec<u8> {
    wrap(body)
}
