//! The program at a terminal of its own, which `script` of util-linux gives it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

pub struct Terminal {
    pub child: Child,
    pub shown: String,
}

impl Terminal {
    pub fn new(line: &str) -> Self {
        let child = Command::new("script")
            .args(["-q", "-e", "-c", line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux is there");
        Self { child, shown: String::new() }
    }

    pub fn wait_for(&mut self, words: &str) {
        let output = self.child.stdout.as_mut().expect("piped");
        let from = self.shown.len();
        while !self.shown[from..].ends_with(words) {
            let mut byte = [0];
            let read = output.read(&mut byte).expect("readable");
            assert_eq!(read, 1, "ended before {words:?}: {}", self.shown);
            self.shown.push(char::from(byte[0]));
        }
    }

    pub fn types(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    /// What it shows until it ends, and whether it ended well.
    pub fn ends(&mut self) -> (String, bool) {
        let mut rest = Vec::new();
        self.child.stdout.as_mut().expect("piped").read_to_end(&mut rest).expect("readable");
        let ended = self.child.wait().expect("it ends");
        (String::from_utf8_lossy(&rest).into_owned(), ended.success())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
