//! Messages to a receiver, and what its answers mean.

use super::cipher::Cipher;
use super::frame::{parse_time, time_text, unwrap, wrap};
use std::fmt;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An event with a code of the SIA format (DC-03).
    Sia,
    /// An event with a code of Contact ID (DC-05).
    ContactId,
    /// No event: the line is there.
    Null,
}

impl Token {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sia => "SIA-DCS",
            Self::ContactId => "ADM-CID",
            Self::Null => "NULL",
        }
    }
}

/// A message without its number and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) token: Token,
    /// 3 to 16 hexadecimal digits.
    pub(super) account: String,
    /// What stands in the first brackets.
    pub(super) data: String,
    /// Further brackets.
    pub(super) extended: String,
}

impl Message {
    /// That the line is there.
    pub(super) fn null(account: &str) -> Self {
        let (data, extended) = (String::new(), String::new());
        Self { token: Token::Null, account: account.to_owned(), data, extended }
    }
}

/// How we stand to the receiver.
#[derive(Debug)]
pub(super) struct Address {
    /// `R`, 1 to 6 hexadecimal digits.
    pub(super) receiver: String,
    /// `L`, 1 to 6 hexadecimal digits.
    pub(super) line: String,
    pub(super) cipher: Option<Cipher>,
}

/// What a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has the message.
    Ack,
    /// It does not take the message's time; by its own clock it is this, seconds since 1970.
    Nak(i64),
    /// It does not understand the message.
    Duh,
}

/// Why bytes are no answer to our message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// No whole frame.
    Frame,
    /// No answer of the protocol.
    Form,
    /// To another message.
    Other,
    /// Not encrypted with our key: anybody could have sent it.
    Plain,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frame => "what comes is no whole frame",
            Self::Form => "what comes is no answer of DC-09",
            Self::Other => "it answers to another message",
            Self::Plain => "its answer is not encrypted with our key",
        })
    }
}

impl Address {
    /// The frame of a message, sent at this time of the receiver's clock.
    pub(super) fn frame(&self, message: &Message, sequence: u16, unix_s: i64) -> Vec<u8> {
        let Message { token, account, data, extended } = message;
        let time = time_text(unix_s).map(|time| format!("_{time}")).unwrap_or_default();
        let rest = format!("{data}]{extended}{time}");
        let (star, rest) = match (&self.cipher, token) {
            (None, _) => ("", rest),
            // Without data there is nothing that a bar would part from the padding.
            (Some(cipher), Token::Null) => ("*", cipher.encrypt(&rest)),
            (Some(cipher), _) => ("*", cipher.encrypt(&format!("|{rest}"))),
        };
        let (token, receiver, line) = (token.as_str(), &self.receiver, &self.line);
        wrap(&format!(r#""{star}{token}"{sequence:04}R{receiver}L{line}#{account}[{rest}"#))
    }

    /// What bytes say about a message of ours.
    pub(super) fn judge(
        &self,
        frame: &[u8],
        message: &Message,
        sequence: u16,
    ) -> Result<Reply, NoReply> {
        let body = unwrap(frame).ok_or(NoReply::Frame)?;
        let (token, rest) =
            body.strip_prefix('"').and_then(|body| body.split_once('"')).ok_or(NoReply::Form)?;
        let (number, rest) = rest.split_at_checked(4).ok_or(NoReply::Form)?;
        let (head, content) = rest.split_once('[').ok_or(NoReply::Form)?;
        if token == "NAK" {
            // It bears no number, and is never encrypted.
            return time_behind(content).map(Reply::Nak).ok_or(NoReply::Form);
        }
        let account = head.split_once('#').map(|(_, account)| account);
        let is_ours = number == format!("{sequence:04}")
            && account.is_none_or(|account| account.eq_ignore_ascii_case(&message.account));
        match token {
            "ACK" | "*ACK" | "DUH" | "*DUH" if !is_ours => Err(NoReply::Other),
            "DUH" | "*DUH" => Ok(Reply::Duh),
            "ACK" if self.cipher.is_none() => Ok(Reply::Ack),
            "ACK" | "*ACK" => match &self.cipher {
                Some(cipher) if token == "*ACK" => {
                    let text = cipher.decrypt(content).ok_or(NoReply::Plain)?;
                    time_behind(&text).map(|_| Reply::Ack).ok_or(NoReply::Plain)
                }
                _ => Err(NoReply::Plain),
            },
            _ => Err(NoReply::Form),
        }
    }
}

/// The time behind the last bracket.
fn time_behind(content: &str) -> Option<i64> {
    parse_time(content.rsplit_once("]_")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "41414141414141414141414141414141";
    /// 14:12:04 on 25 September 2026.
    const NOW: i64 = 1_790_345_524;

    fn address(key: Option<&str>) -> Address {
        let cipher = key.map(|key| Cipher::parse(key).expect("a key"));
        Address { receiver: "1".into(), line: "232".into(), cipher }
    }

    fn burglary() -> Message {
        Message {
            token: Token::Sia,
            account: "78919".into(),
            data: "#78919|Nri1/BA012".into(),
            extended: "[X012W34.1][Y045N12.2]".into(),
        }
    }

    #[test]
    fn a_message_is_framed_as_others_frame_it() {
        // The same message as in `frame.rs`, made by others.
        let expected = "\n73580056\"SIA-DCS\"0002R1L232#78919[#78919|Nri1/BA012][X012W34.1][Y045N12.2]_14:12:04,09-25-2026\r";
        assert_eq!(address(None).frame(&burglary(), 2, NOW), expected.as_bytes());
    }

    #[test]
    fn an_encrypted_message_shows_only_where_it_goes() {
        let address = address(Some(KEY));
        let cipher = Cipher::parse(KEY).expect("a key");
        for (message, end) in [
            (burglary(), "|#78919|Nri1/BA012][X012W34.1][Y045N12.2]_14:12:04,09-25-2026"),
            (Message::null("78919"), "]_14:12:04,09-25-2026"),
        ] {
            let frame = address.frame(&message, 2, NOW);
            let body = unwrap(&frame).expect("a frame");
            let (head, digits) = body.split_once('[').expect("a bracket");
            assert_eq!(head, format!("\"*{}\"0002R1L232#78919", message.token.as_str()));
            let text = cipher.decrypt(digits).expect("encrypted with the key");
            let padding = text.strip_suffix(end).expect(end);
            assert!(padding.len() <= 16 && padding.bytes().all(|c| c.is_ascii_uppercase()));
        }
    }

    fn judge(address: &Address, body: &str) -> Result<Reply, NoReply> {
        address.judge(&wrap(body), &burglary(), 2)
    }

    #[test]
    fn answers_are_taken_only_to_the_message_that_waits() {
        let plain = address(None);
        assert_eq!(judge(&plain, r#""ACK"0002R1L232#78919[]"#), Ok(Reply::Ack));
        assert_eq!(judge(&plain, r#""DUH"0002R1L232#78919[]"#), Ok(Reply::Duh));
        let nak = r#""NAK"0000R0L0A0[]_14:12:04,09-25-2026"#;
        assert_eq!(judge(&plain, nak), Ok(Reply::Nak(NOW)));
        for (body, why) in [
            (r#""ACK"0003R1L232#78919[]"#, NoReply::Other),
            (r#""ACK"0002R1L232#78918[]"#, NoReply::Other),
            (r#""DUH"0003R1L232#78919[]"#, NoReply::Other),
            (r#""*ACK"0002R1L232#78919[00]"#, NoReply::Plain),
            (r#""NAK"0000R0L0A0[]"#, NoReply::Form),
            (r#""SIA-DCS"0002R1L232#78919[]"#, NoReply::Form),
            ("", NoReply::Form),
        ] {
            assert_eq!(judge(&plain, body), Err(why), "{body}");
        }
        assert_eq!(plain.judge(b"\"ACK\"", &burglary(), 2), Err(NoReply::Frame));
    }

    #[test]
    fn with_a_key_only_an_answer_of_who_has_it_acknowledges() {
        let (ours, cipher) = (address(Some(KEY)), Cipher::parse(KEY).expect("a key"));
        let sealed = |cipher: &Cipher, text: &str| {
            format!(r#""*ACK"0002R1L232#78919[{}"#, cipher.encrypt(text))
        };
        let text = "]_14:12:04,09-25-2026";
        assert_eq!(judge(&ours, &sealed(&cipher, text)), Ok(Reply::Ack));
        let other = Cipher::parse(&KEY.replace('4', "5")).expect("a key");
        for body in [
            r#""ACK"0002R1L232#78919[]"#.to_owned(),
            sealed(&other, text),
            sealed(&cipher, "]"),
            r#""*ACK"0002R1L232#78919["#.to_owned(),
        ] {
            assert_eq!(judge(&ours, &body), Err(NoReply::Plain), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for address in [address(None), address(Some(KEY))] {
                prop_assert!(address.judge(&bytes, &burglary(), 2).is_err());
            }
        }

        #[test]
        fn any_body_in_a_whole_frame_is_judged(
            token in "\\*?(ACK|NAK|DUH|.{0,4})", rest in ".{0,80}", digits in "[0-9A-F]{0,64}",
        ) {
            for address in [address(None), address(Some(KEY))] {
                for body in [
                    format!("\"{token}\"{rest}"),
                    format!("\"{token}\"0002#78919[{digits}"),
                ] {
                    let ours = body.contains("\"0002") && body.contains("ACK");
                    let reply = judge(&address, &body);
                    prop_assert!(reply != Ok(Reply::Ack) || ours, "{}", body);
                }
            }
        }
    }
}
