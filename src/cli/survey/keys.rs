//! What is typed during a walk test: a line of text, from the bytes of a raw terminal. Pure.

/// Longest label, bytes.
const LINE_BYTES_MAX: usize = 80;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: u8 = 0x08;
const ESCAPE: u8 = 0x1B;
const DELETE: u8 = 0x7F;

/// A line that is being typed.
#[derive(Debug, Default)]
pub(super) struct Typing {
    line: Vec<u8>,
    sequence: Sequence,
}

/// Arrow keys and the like send several bytes, which are no text (ECMA-48, 5.4).
#[derive(Debug, Default, PartialEq)]
enum Sequence {
    #[default]
    None,
    Escape,
    Control,
}

/// What a byte completed.
#[derive(Debug, PartialEq)]
pub(super) enum Typed {
    /// A line, without spaces around it.
    Line(String),
    /// Ctrl-C, or Ctrl-D on an empty line.
    End,
}

impl Typing {
    /// What stands there so far.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    pub(super) fn byte(&mut self, byte: u8) -> Option<Typed> {
        match (&self.sequence, byte) {
            (_, CTRL_C) => return Some(Typed::End),
            (_, ESCAPE) => self.sequence = Sequence::Escape,
            (Sequence::Escape, b'[' | b'O') => self.sequence = Sequence::Control,
            (Sequence::Control, 0x20..=0x3F) => {}
            (Sequence::Escape | Sequence::Control, _) => self.sequence = Sequence::None,
            (Sequence::None, CTRL_D) if self.line.is_empty() => return Some(Typed::End),
            (Sequence::None, b'\r' | b'\n') => return Some(Typed::Line(self.take())),
            (Sequence::None, DELETE | BACKSPACE) => self.take_last(),
            (Sequence::None, CTRL_U) => self.line.clear(),
            (Sequence::None, 0..0x20) => {}
            (Sequence::None, _) if self.line.len() < LINE_BYTES_MAX => self.line.push(byte),
            (Sequence::None, _) => {}
        }
        None
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
    }

    /// A character is a first byte and what continues it (RFC 3629).
    fn take_last(&mut self) {
        while self.line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<Typed> {
        let mut typing = Typing::default();
        bytes.iter().filter_map(|byte| typing.byte(*byte)).collect()
    }

    fn lines(bytes: &[u8]) -> Vec<String> {
        let line = |typed| match typed {
            Typed::Line(line) => line,
            Typed::End => "END".to_owned(),
        };
        typed(bytes).into_iter().map(line).collect()
    }

    #[test]
    fn lines_end_with_enter_and_are_corrected_with_backspace() {
        assert_eq!(lines(b"cellar staits\x7f\x7frs\r\r"), ["cellar stairs", ""]);
        assert_eq!(lines("Küche\x7f\x7f\x7f\x7füche 2 \r".as_bytes()), ["Küche 2"]);
        assert_eq!(lines(b"\x7f\x7fwrong\x15right\n"), ["right"]);
    }

    #[test]
    fn keys_that_are_no_text_leave_none() {
        assert_eq!(lines(b"a\x1b[Ab\x1b[1;5Cc\x1bOP\x1bxd\x00\x07\t\r"), ["abcd"]);
        assert_eq!(lines("a\u{9b}2Jb\r".as_bytes()), ["a2Jb"], "no control sequence gets in");
        assert_eq!(lines(b"\xff\xfe\r"), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn it_ends_by_ctrl_c_at_any_time_and_by_ctrl_d_on_an_empty_line() {
        assert_eq!(lines(b"half\x03"), ["END"]);
        assert_eq!(lines(b"\x1b[\x03"), ["END"], "also within a sequence");
        assert_eq!(lines(b"\x04"), ["END"]);
        assert_eq!(lines(b"a\x04\r"), ["a"]);
    }

    #[test]
    fn a_line_has_an_end() {
        let line = &lines(&[[b'x'; 500].as_slice(), b"\r"].concat())[0];
        assert_eq!(line.len(), LINE_BYTES_MAX);
    }
}
