//! What comes from brokers and from alarm receivers.

use super::first;
use pendant_gateway::engine::command::{
    ANSWER_WIRE_BYTES, Answered, CENTRE_WIRE_BYTES, COMMANDS_MAX, CentreKeys, Commands,
    MessageRefusal, PublicKey, Standing,
};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::payload::parse_receipt;
use pendant_gateway::engine::seam::BrokerId;
use pendant_gateway::engine::time::{Mono, Now, Wall, WallSource};
use pendant_kit::centre::Event;
use pendant_kit::dc09::{Cipher, Reply, reading};

const BASE: &str = "lonework/v1/hill/east";

/// The boot that the corpora's messages name.
const BOOT: u64 = 0x0123_4567_89ab_cdef;

/// Receipts: what is read of one, written again, reads the same.
pub(crate) fn receipts(data: &[u8]) {
    let Some(telling) = parse_receipt(data) else { return };
    let again = format!(r#"{{"received":"{}","boot":"{:016x}"}}"#, telling.id, telling.boot);
    assert_eq!(parse_receipt(again.as_bytes()), Some(telling));
}

/// The centre's messages. What is given is filled up with spaces, as a message has one size.
pub(crate) fn commands(data: &[u8]) {
    let mut payload = data.to_vec();
    payload.resize(CENTRE_WIRE_BYTES - BASE.len() - "/command".len(), b' ');
    let listener = |keys| Commands::new(BASE, BOOT, keys, Answered::default());

    // A key whose other half nobody has: nothing is ever let through.
    let nobody = (Name::new("centre").expect("a name"), PublicKey([0x5A; 32]));
    let mut locked = listener(CentreKeys::new([nobody]).expect("one key"));
    let heard = locked.hear(&payload);
    assert!(heard.commands.is_err(), "taken without a signature");
    assert_eq!(locked.answer(BrokerId(0), &heard, &[]).wire_bytes(), ANSWER_WIRE_BYTES);

    let mut open = listener(CentreKeys::default());
    let heard = open.hear(&payload);
    let mut judgements = Vec::new();
    if let Ok(commands) = &heard.commands {
        assert!(commands.len() <= COMMANDS_MAX);
        let wall =
            Wall::Set { unix_ms: 1_790_000_000_000, uncertainty_ms: 10, source: WallSource::Ntp };
        let now = Now { mono: Mono::from_us(1_000_000), wall };
        let standing = Standing {
            covert_incident: Some(7),
            alarm_under_way: false,
            open_incident: Some(7),
            voice: true,
            deaf: false,
        };
        for command in commands {
            judgements.push(open.judge(command, now, |_| Some(standing)));
        }
        let again = open.hear(&payload);
        assert_eq!(again.commands, Err(MessageRefusal::Outdated), "taken twice");
    }
    let answer = open.answer(BrokerId(0), &heard, &judgements);
    assert_eq!(answer.wire_bytes(), ANSWER_WIRE_BYTES, "an answer of another size");
    // The file of keys, which whoever sets the gateway up writes.
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = CentreKeys::parse(text);
    }
}

trait OnTheWire {
    fn wire_bytes(&self) -> usize;
}

impl OnTheWire for pendant_gateway::engine::seam::Answer {
    fn wire_bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// What a gateway publishes, as a centre reads it: the first line is the topic.
pub(crate) fn gateway_events(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Ok(topic) = std::str::from_utf8(&data[..end]) else { return };
    let payload = data.get(end + 1..).unwrap_or_default();
    let Ok(event) = Event::parse(topic, payload) else { return };
    let named = format!("lonework/v1/{}/{}/event/", event.site, event.gateway);
    assert!(topic.starts_with(&named), "{topic} is of another gateway");
    assert!(parse_receipt(event.receipt().as_bytes()).is_some(), "its receipt is none");
}

/// Answers of alarm receivers. First byte: length of pieces; second: whether a frame stands
/// around the rest already, and whether the line is encrypted.
pub(crate) fn dc09_answers(data: &[u8]) {
    const KNOWN: &str = "41414141414141414141414141414141";
    const NOBODYS: &str = "6f66206e6f626f647920617420616c6c";
    let (piece, rest) = first(data);
    let (mode, rest) = first(rest);
    let line = match std::str::from_utf8(rest) {
        Ok(body) if mode & 1 == 1 => reading::framed(body),
        _ => rest.to_vec(),
    };
    let ours = ("78919", 2);
    let key = |text: &str| Some(Cipher::parse(text).expect("a key"));
    let piece = usize::from(piece).max(1);
    let ends = line.iter().filter(|byte| **byte == b'\r').count();
    let plain = reading::answers(&line, piece, ours, None);
    assert!(plain.len() <= ends, "more answers than ends");
    if line.len() <= 1024 {
        assert_eq!(reading::answers(&line, line.len().max(1), ours, None), plain, "by pieces");
    }
    let text = String::from_utf8_lossy(&line);
    for answer in plain.iter().chain(&reading::answers(&line, piece, ours, key(KNOWN))) {
        assert!(*answer != Ok(Reply::Ack) || text.contains("ACK\"0002"), "of another message");
    }
    let nobodys = reading::answers(&line, piece, ours, key(NOBODYS));
    assert!(!nobodys.contains(&Ok(Reply::Ack)), "acknowledged without the key");
}
