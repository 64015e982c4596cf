//! A tap on the wire between gateway and broker: a TCP proxy that writes down
//! the length of every TLS record, as anyone on the same network could.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Type, version and length before each record (RFC 8446, section 5.1).
const HEADER: usize = 5;

/// One TLS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub from_gateway: bool,
    /// The record's content type; all that is encrypted says 23.
    pub kind: u8,
    /// Length of what follows the header.
    pub bytes: u16,
}

/// Records in the order in which they passed.
pub type Records = Arc<Mutex<Vec<(Instant, Record)>>>;

pub struct Tap {
    pub port: u16,
    records: Records,
}

impl Tap {
    /// Listens on a free port and carries every connection to `broker`.
    pub fn start(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let records = Records::default();
        let log = Arc::clone(&records);
        // The threads end with the connections that they carry, or the test.
        std::thread::spawn(move || {
            for gateway in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                carry(&gateway, &broker, true, &log);
                carry(&broker, &gateway, false, &log);
            }
        });
        Self { port, records }
    }

    /// What has passed so far.
    pub fn records(&self) -> Vec<(Instant, Record)> {
        self.records.lock().expect("no thread has failed").clone()
    }
}

fn carry(from: &TcpStream, to: &TcpStream, from_gateway: bool, log: &Records) {
    let (from, to) = (from.try_clone(), to.try_clone());
    let (mut from, mut to) = (from.expect("a handle"), to.expect("a handle"));
    let log = Arc::clone(log);
    to.set_nodelay(true).expect("a TCP socket");
    std::thread::spawn(move || {
        let mut finder = Finder { from_gateway, rest: Vec::new() };
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            // Noted before it goes on, so that what it causes stands after it.
            let at = Instant::now();
            let found = finder.take(&buffer[..read]);
            log.lock()
                .expect("no thread has failed")
                .extend(found.into_iter().map(|record| (at, record)));
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Finds records in a stream that is cut anywhere.
struct Finder {
    from_gateway: bool,
    rest: Vec<u8>,
}

impl Finder {
    fn take(&mut self, bytes: &[u8]) -> Vec<Record> {
        self.rest.extend(bytes);
        let mut found = Vec::new();
        while let [kind, _, _, high, low, ..] = self.rest[..] {
            let bytes = u16::from_be_bytes([high, low]);
            let end = HEADER + usize::from(bytes);
            if self.rest.len() < end {
                break;
            }
            self.rest.drain(..end);
            found.push(Record { from_gateway: self.from_gateway, kind, bytes });
        }
        found
    }
}

#[test]
fn records_are_found_however_the_stream_is_cut() {
    let stream = [23, 3, 3, 0, 2, 1, 1, 22, 3, 3, 0, 0, 21, 3, 3, 0, 1, 9];
    for piece in 1..=stream.len() {
        let mut finder = Finder { from_gateway: true, rest: Vec::new() };
        let found: Vec<(u8, u16)> = stream
            .chunks(piece)
            .flat_map(|bytes| finder.take(bytes))
            .map(|record| (record.kind, record.bytes))
            .collect();
        assert_eq!(found, [(23, 2), (22, 0), (21, 1)]);
    }
}
