//! An alarm receiver over TCP that answers as the test wants, with its own code for
//! frames.

use crate::rig::PATIENCE;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

type Policy = Arc<Mutex<fn(&Frame) -> Option<String>>>;

/// A message without what every message has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) token: String,
    pub(crate) sequence: String,
    /// From `R` to before the bracket.
    pub(crate) address: String,
    /// From behind the bracket.
    pub(crate) rest: String,
}

/// Dropped, it is gone with its connections.
pub(crate) struct Station {
    pub(crate) port: u16,
    policy: Policy,
    frames: mpsc::UnboundedReceiver<Frame>,
    _tasks: JoinSet<()>,
}

pub(crate) fn ack(frame: &Frame) -> Option<String> {
    Some(format!("\"ACK\"{}{}[]", frame.sequence, frame.address))
}

pub(crate) fn silent(_: &Frame) -> Option<String> {
    None
}

/// A receiver that is not there yet: whoever calls is turned away, and no other program
/// can get the port meanwhile.
pub(crate) struct Absent {
    socket: TcpSocket,
    pub(crate) port: u16,
}

impl Absent {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let port = socket.local_addr().expect("an address").port();
        Self { socket, port }
    }

    /// It comes.
    pub(crate) fn start(self, policy: fn(&Frame) -> Option<String>) -> Station {
        Station::on(self.socket.listen(16).expect("it listens"), policy)
    }
}

impl Station {
    pub(crate) fn start(policy: fn(&Frame) -> Option<String>) -> Self {
        Absent::new().start(policy)
    }

    fn on(listener: TcpListener, policy: fn(&Frame) -> Option<String>) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let policy = Arc::new(Mutex::new(policy));
        let (send, frames) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let for_task = Arc::clone(&policy);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&for_task), send.clone()));
            }
        });
        Self { port, policy, frames, _tasks: tasks }
    }

    pub(crate) fn answer(&self, policy: fn(&Frame) -> Option<String>) {
        *self.policy.lock().expect("no panic") = policy;
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Frame {
        timeout(PATIENCE, self.frames.recv()).await.expect("a frame in time").expect("it is there")
    }

    /// The next message that is an event.
    pub(crate) async fn next_event(&mut self) -> Frame {
        loop {
            let frame = self.next().await;
            if frame.token != "NULL" {
                return frame;
            }
        }
    }

    /// Events that came and were not looked at.
    pub(crate) fn more_events(&mut self) -> Vec<Frame> {
        let frames = std::iter::from_fn(|| self.frames.try_recv().ok());
        frames.filter(|frame| frame.token != "NULL").collect()
    }
}

async fn serve(mut stream: TcpStream, policy: Policy, send: mpsc::UnboundedSender<Frame>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|length| length > 0) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\r') {
            let frame: Vec<u8> = bytes.drain(..=end).collect();
            let frame = parse(&String::from_utf8(frame).expect("text"));
            let answer = policy.lock().expect("no panic")(&frame);
            // The test may have ended.
            let _ = send.send(frame);
            if let Some(body) = answer {
                let answer = format!("\n{:04X}{:04X}{body}\r", crc(&body), body.len());
                // The bridge may have gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    }
}

fn parse(frame: &str) -> Frame {
    let text = frame.strip_prefix('\n').and_then(|it| it.strip_suffix('\r')).expect("LF, CR");
    let (head, body) = text.split_at(8);
    assert_eq!(head, format!("{:04X}{:04X}", crc(body), body.len()), "{frame:?}");
    let mut parts = body.splitn(3, '"');
    let (_, token, rest) = (parts.next(), parts.next(), parts.next());
    let (sequence, rest) = rest.expect("a token in quotes").split_at(4);
    let (address, rest) = rest.split_once('[').expect("a bracket");
    let [token, sequence, address, rest] =
        [token.expect("a token"), sequence, address, rest].map(str::to_owned);
    Frame { token, sequence, address, rest }
}

/// CRC-16/ARC, bit after bit of the text as one long number.
pub(crate) fn crc(text: &str) -> u16 {
    let bits = text.bytes().flat_map(|byte| (0..8).map(move |bit| u16::from(byte >> bit & 1)));
    bits.fold(0, |crc, bit| if (crc ^ bit) & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
}
