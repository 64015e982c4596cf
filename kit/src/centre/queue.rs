//! What is to go out, in its order, within the window of publishes that may be open.

use super::mqtt::Outgoing;
use bytes::Bytes;
use std::collections::VecDeque;

/// What waits.
#[derive(Debug)]
enum Request {
    Publish { topic: String, payload: Bytes, expiry_s: Option<u32> },
    PubAck(u16),
}

/// More waits than the window lets come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// All that waits.
#[derive(Debug)]
pub(super) struct Queue {
    requests: VecDeque<Request>,
    requests_max: usize,
    /// Numbers for our publishes that none has.
    free: Vec<u16>,
    is_open: Vec<bool>,
}

impl Queue {
    pub(super) fn new(window: u16, requests_max: usize) -> Self {
        Self {
            requests: VecDeque::new(),
            requests_max,
            free: (1..=window).rev().collect(),
            is_open: vec![false; usize::from(window) + 1],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn publish(
        &mut self,
        topic: String,
        payload: Bytes,
        expiry_s: Option<u32>,
    ) -> Result<(), Overflow> {
        self.push(Request::Publish { topic, payload, expiry_s })
    }

    pub(super) fn acknowledge(&mut self, pkid: u16) -> Result<(), Overflow> {
        self.push(Request::PubAck(pkid))
    }

    fn push(&mut self, request: Request) -> Result<(), Overflow> {
        if self.requests.len() >= self.requests_max {
            return Err(Overflow);
        }
        self.requests.push_back(request);
        Ok(())
    }

    /// The next that may go now. An acknowledgement waits for the receipts before it.
    pub(super) fn next(&mut self) -> Option<Outgoing> {
        if matches!(self.requests.front(), Some(Request::Publish { .. })) && self.free.is_empty() {
            return None;
        }
        Some(match self.requests.pop_front()? {
            Request::PubAck(pkid) => Outgoing::PubAck(pkid),
            Request::Publish { topic, payload, expiry_s } => {
                let pkid = self.free.pop()?;
                self.is_open[usize::from(pkid)] = true;
                Outgoing::Publish { pkid, topic, payload, expiry_s }
            }
        })
    }

    /// The broker has answered a publish. Of what was not open it has answered nothing.
    pub(super) fn answered(&mut self, pkid: u16) {
        if let Some(is_open @ true) = self.is_open.get_mut(usize::from(pkid)) {
            *is_open = false;
            self.free.push(pkid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(queue: &mut Queue) -> String {
        match queue.next() {
            Some(Outgoing::Publish { pkid, topic, .. }) => format!("{topic} as {pkid}"),
            Some(Outgoing::PubAck(pkid)) => format!("acknowledges {pkid}"),
            None => "waits".into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_overtakes_and_no_more_is_open_than_may_be() {
        let mut queue = Queue::new(2, 6);
        for event in [7, 8, 9] {
            queue.publish(format!("receipt {event}"), Bytes::new(), None).expect("room");
            queue.acknowledge(event).expect("room");
        }
        assert_eq!(queue.acknowledge(10), Err(Overflow));
        let said = [(); 5].map(|()| next(&mut queue));
        let expected =
            ["receipt 7 as 1", "acknowledges 7", "receipt 8 as 2", "acknowledges 8", "waits"];
        assert_eq!(said, expected);
        // Neither twice, nor what never was.
        for pkid in [3, 0, u16::MAX, 2, 2] {
            queue.answered(pkid);
        }
        queue.publish("message".into(), Bytes::new(), Some(60)).expect("room");
        let said = [(); 3].map(|()| next(&mut queue));
        assert_eq!(said, ["receipt 9 as 2", "acknowledges 9", "waits"]);
        queue.answered(1);
        assert_eq!(next(&mut queue), "message as 1");
        assert!(queue.is_empty());
    }
}
