//! The datagrams of the packet forwarder's protocol: version, token, kind, and
//! for those from the forwarder its EUI and a JSON text (PROTOCOL.TXT, sections 3
//! and 5).

use std::fmt;
use std::str::FromStr;

/// The only version that reports what became of a downlink.
const VERSION: u8 = 2;

const PUSH_DATA: u8 = 0x00;
const PUSH_ACK: u8 = 0x01;
const PULL_DATA: u8 = 0x02;
const PULL_RESP: u8 = 0x03;
const PULL_ACK: u8 = 0x04;
const TX_ACK: u8 = 0x05;

/// A forwarder's number, as a rule made of its machine's network address (EUI-64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Eui(pub [u8; 8]);

impl fmt::Display for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no EUI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEui;

impl FromStr for Eui {
    type Err = NoEui;

    /// Sixteen hexadecimal digits, in pairs separated by `:` or `-` or not at all.
    fn from_str(text: &str) -> Result<Self, NoEui> {
        let digits: Vec<u32> = (text.chars().filter(|c| !matches!(c, ':' | '-')))
            .map(|c| c.to_digit(16).ok_or(NoEui))
            .collect::<Result<_, _>>()?;
        if digits.len() != 16 {
            return Err(NoEui);
        }
        let mut bytes = [0; 8];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (pair[0] << 4 | pair[1]) as u8;
        }
        Ok(Self(bytes))
    }
}

/// Chosen by the sender of a datagram; comes back in its answer.
pub(super) type Token = [u8; 2];

/// What a forwarder sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FromForwarder<'d> {
    pub(super) token: Token,
    pub(super) eui: Eui,
    pub(super) body: Body<'d>,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'d> {
    /// Frames that were heard, or how the forwarder is: a JSON text.
    Push(&'d [u8]),
    /// Keeps the way for downlinks open.
    Pull,
    /// What became of a downlink: a JSON text, or nothing for success.
    TxAck(&'d [u8]),
}

impl<'d> FromForwarder<'d> {
    /// `None` for what no forwarder of this version sends.
    pub(super) fn parse(datagram: &'d [u8]) -> Option<Self> {
        let (&[version, a, b, kind], rest) = datagram.split_first_chunk()?;
        let (eui, json) = rest.split_first_chunk()?;
        let body = match kind {
            PUSH_DATA => Body::Push(json),
            PULL_DATA => Body::Pull,
            TX_ACK => Body::TxAck(json),
            _ => return None,
        };
        (version == VERSION).then_some(Self { token: [a, b], eui: Eui(*eui), body })
    }

    /// The answer that the forwarder waits for, if it does.
    pub(super) fn acknowledgement(&self) -> Option<[u8; 4]> {
        let kind = match self.body {
            Body::Push(_) => PUSH_ACK,
            Body::Pull => PULL_ACK,
            Body::TxAck(_) => return None,
        };
        Some([VERSION, self.token[0], self.token[1], kind])
    }
}

/// A downlink for the forwarder.
pub(super) fn pull_resp(token: Token, json: &[u8]) -> Vec<u8> {
    [&[VERSION, token[0], token[1], PULL_RESP], json].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EUI: [u8; 8] = [0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1];

    #[test]
    fn an_eui_is_read_as_people_write_it() {
        for text in ["aa555a0000000101", "AA:55:5A:00:00:00:01:01", "aa-55-5a-00-00-00-01-01"] {
            assert_eq!(text.parse(), Ok(Eui(EUI)), "{text}");
        }
        for text in ["", "aa555a000000010", "aa555a00000001011", "aa555a000000010g"] {
            assert_eq!(text.parse::<Eui>(), Err(NoEui), "{text}");
        }
        assert_eq!(Eui(EUI).to_string(), "aa555a0000000101");
    }

    #[test]
    fn each_kind_is_read_and_answered_as_the_protocol_says() {
        let datagram = |kind: u8, json: &[u8]| [&[2, 0x12, 0x34, kind][..], &EUI, json].concat();
        let push = datagram(0, b"{}");
        let push = FromForwarder::parse(&push).expect("a PUSH_DATA");
        assert_eq!((push.token, push.eui, push.body), ([0x12, 0x34], Eui(EUI), Body::Push(b"{}")));
        assert_eq!(push.acknowledgement(), Some([2, 0x12, 0x34, 1]));
        let pull = datagram(2, b"");
        let pull = FromForwarder::parse(&pull).expect("a PULL_DATA");
        assert_eq!((pull.body, pull.acknowledgement()), (Body::Pull, Some([2, 0x12, 0x34, 4])));
        let ack = datagram(5, b"");
        let ack = FromForwarder::parse(&ack).expect("a TX_ACK");
        assert_eq!((ack.body, ack.acknowledgement()), (Body::TxAck(b""), None));
        assert_eq!(pull_resp([7, 8], b"{}"), [2, 7, 8, 3, b'{', b'}']);
    }

    #[test]
    fn what_no_forwarder_sends_is_refused() {
        let whole = [&[2, 0, 0, 0][..], &EUI].concat();
        for cut in 0..whole.len() {
            assert_eq!(FromForwarder::parse(&whole[..cut]), None, "{cut} bytes");
        }
        for (place, byte) in [(0, 1), (0, 3), (3, 1), (3, 3), (3, 4), (3, 6)] {
            let mut odd = whole.clone();
            odd[place] = byte;
            assert_eq!(FromForwarder::parse(&odd), None, "{place}: {byte}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = FromForwarder::parse(&bytes);
        }
    }
}
