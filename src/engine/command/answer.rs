//! The gateway's answer: JSON followed by spaces.

use super::Uuid;
use super::judge::{Judgement, Reason, Verdict};
use super::message::MessageRefusal;
use crate::engine::event::Boot;
use serde::Serialize;

/// Topic and payload of every answer, bytes. The longest has room in it (by
/// test), and like an event it fits one Ethernet frame.
pub const ANSWER_WIRE_BYTES: usize = 1344;

#[derive(Serialize)]
pub(super) struct Text {
    message: Option<String>,
    boot: String,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    results: Vec<OneResult>,
}

#[derive(Serialize)]
struct OneResult {
    id: Option<String>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<&'static str>,
}

impl Text {
    pub(super) fn new(
        message: Option<Uuid>,
        (boot, number): (Boot, u64),
        refused: Option<MessageRefusal>,
    ) -> Self {
        Self {
            message: message.as_ref().map(Uuid::to_string),
            boot: format!("{boot:016x}"),
            number,
            refused: refused.map(MessageRefusal::as_str),
            results: Vec::new(),
        }
    }

    pub(super) fn render(mut self, judgements: &[Judgement], length: usize) -> Vec<u8> {
        self.results = judgements.iter().map(OneResult::of).collect();
        let mut payload = Vec::with_capacity(length);
        serde_json::to_writer(&mut payload, &self).expect("writing JSON to memory does not fail");
        assert!(payload.len() <= length, "an answer outgrew the constant size");
        payload.resize(length, b' ');
        payload
    }
}

impl OneResult {
    fn of(judgement: &Judgement) -> Self {
        let (reason, first) = match judgement.verdict {
            Verdict::Carry(_) => (None, None),
            Verdict::Refused(Reason::Repeated(first)) => {
                (Reason::Repeated(first).as_str(), Some(first.as_str()))
            }
            Verdict::Refused(reason) => (reason.as_str(), None),
        };
        Self {
            id: judgement.id.as_ref().map(Uuid::to_string),
            result: judgement.verdict.first().map_or("refused", super::First::as_str),
            reason,
            first,
        }
    }
}
