//! The schemas of receipts, the centre's messages and answers against the engine,
//! both ways; and the topics of `docs/asyncapi.yaml`. Events are held against theirs
//! where their payloads are made, in `src/engine/payload/schema_test.rs`.

#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
#[path = "support/schema.rs"]
mod schema;

use pendant_gateway::engine::command::{
    Answered, CENTRE_WIRE_BYTES, COMMANDS_MAX, CentreKeys, CentreMessage, Commands, First,
    Judgement, MessageRefusal, NUMBER_MAX, PublicKey, Reason, Standing, Verdict,
};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::payload::EVENT_WIRE_BYTES;
use pendant_gateway::engine::seam::BrokerId;
use pendant_gateway::engine::time::{Mono, Now, Wall};
use pendant_protocol::PendantId;
use proptest::prelude::*;
use schema::Schema;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

const BASE: &str = "lonework/v1/plant/gate-1";
const BOOT: u64 = 0xff;
const MESSAGE: &str = "0190a1b2-c3d4-7e5f-8a0b-1c2d3e4f5061";
const PING: &str = "0190a1b2-c3d4-7e5f-8a0b-000000000001";
const ASYNCAPI: &str = include_str!("../docs/asyncapi.yaml");

static ANSWER: LazyLock<Schema> = LazyLock::new(|| Schema::of("answer"));
static CENTRE_MESSAGE: LazyLock<Schema> = LazyLock::new(|| Schema::of("message"));

fn padded(message: &Value) -> Vec<u8> {
    let length = CENTRE_WIRE_BYTES - BASE.len() - "/command".len();
    let mut payload = message.to_string().into_bytes();
    assert!(payload.len() <= length, "{} bytes do not fit", payload.len());
    payload.resize(length, b' ');
    payload
}

/// A pendant that is enrolled, with an incident open.
fn standing(pendant: PendantId) -> Option<Standing> {
    let open = Standing { open_incident: Some(7), voice: true, ..Standing::default() };
    (pendant.get() == 0x12f).then_some(open)
}

/// What a gateway makes of a message: its judgements and its answer.
fn hear(commands: &mut Commands, payload: &[u8]) -> (Vec<Judgement>, Value) {
    let now = Now { mono: Mono::ZERO, wall: Wall::Unset };
    let heard = commands.hear(payload);
    let read = heard.commands.as_deref().unwrap_or_default();
    let judged: Vec<Judgement> =
        read.iter().map(|command| commands.judge(command, now, standing)).collect();
    let answer = commands.answer(BrokerId(0), &heard, &judged);
    (judged, serde_json::from_slice(&answer.payload).expect("JSON"))
}

fn commands() -> Commands {
    Commands::new(BASE, BOOT, CentreKeys::default(), Answered::default())
}

fn any_id() -> impl Strategy<Value = Value> {
    let id = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    prop_oneof![9 => id.prop_map(Value::from), 1 => "[0-9A-F-]{36}".prop_map(Value::from)]
}

fn any_time() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!("2026-01-02T03:04:05.678Z")),
        2 => Just(json!("2026-01-02T03:04:05Z")),
        1 => Just(json!("2026-13-02T03:04:05Z")),
        1 => Just(json!("2026-01-02T03:04:05+01:00")),
        1 => Just(json!("tomorrow")),
    ]
}

fn any_name() -> impl Strategy<Value = Value> {
    prop_oneof![6 => "[a-zA-Z0-9._-]{1,32}", 1 => "[a-z ]{0,8}", 1 => "[a-z]{33,40}"]
        .prop_map(Value::from)
}

fn any_pendant() -> impl Strategy<Value = Value> {
    let digits = prop_oneof![4 => "00012f", 4 => "[0-9a-f]{6}", 1 => "000000", 1 => "[0-9g]{5,7}"];
    digits.prop_map(Value::from)
}

/// A command as a centre may write it: the fields of its kind, at times one of them
/// missing, one too many, or one of another type.
fn any_command() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "close", "track", "listen", "vibrate", "led", "rebind", "revoke", "ping", "explode",
    ]);
    let fields = (
        any_id(),
        any_pendant(),
        prop_oneof![4 => 0..=u64::from(u32::MAX), 1 => any::<u64>()],
        any::<bool>(),
        any_name(),
        any_time(),
    );
    let slips = (0..8usize, prop::option::weighted(0.3, 0..8usize), any::<bool>());
    (kind, fields, slips).prop_map(|(kind, (id, pendant, incident, on, wearer, expires), slips)| {
        let all = [
            ("id", id),
            ("kind", kind.into()),
            ("pendant", pendant),
            ("incident", incident.into()),
            ("on", on.into()),
            ("wearer", wearer),
            ("expires", expires),
            ("more", json!(1)),
        ];
        let has = |name: &str| match name {
            "id" | "kind" => true,
            "pendant" => kind != "ping",
            "incident" => kind == "close",
            "on" => kind == "track",
            "wearer" => kind == "rebind",
            "expires" => slips.2,
            _ => false,
        };
        let fields = all.into_iter().enumerate().filter_map(|(place, (name, value))| {
            let slip = slips.1 == Some(place);
            let value = if slip && slips.0 > 5 { json!([]) } else { value };
            // A slip leaves out what belongs there, adds what does not, or garbles.
            (has(name) != (slip && slips.0 <= 5)).then(|| (name.to_owned(), value))
        });
        fields.collect::<Map<_, _>>().into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// The schema takes a command if and only if the gateway understands it.
    #[test]
    fn the_schema_and_the_gateway_understand_the_same_messages(
        list in prop::collection::vec(any_command(), 0..4),
        sent in prop::option::of(any_time()),
        number in prop_oneof![4 => 1..=NUMBER_MAX, 1 => any::<u64>()],
    ) {
        let mut message = json!({
            "message": MESSAGE, "boot": format!("{BOOT:016x}"), "number": number, "commands": list
        });
        if let Some(sent) = sent {
            message["sent"] = sent;
        }
        prop_assume!(number > 0);
        let (judged, answer) = hear(&mut commands(), &padded(&message));
        ANSWER.must_take(&answer);
        let garbled = |judgement: &Judgement| {
            let garbled = [Reason::Malformed, Reason::UnknownKind].map(Verdict::Refused);
            garbled.contains(&judgement.verdict)
        };
        let understood = answer.get("refused").is_none() && !judged.iter().any(garbled);
        let taken = CENTRE_MESSAGE.takes(&message);
        prop_assert_eq!(taken, understood, "{:#}\n{:#}", message, answer);
    }
}

#[test]
fn the_answers_words_are_the_engines() {
    let answer = Schema::of("answer").text;
    let refusals = MessageRefusal::ALL.map(MessageRefusal::as_str);
    assert_eq!(answer["properties"]["refused"]["enum"], json!(refusals));
    let result = &answer["$defs"]["result"]["properties"];
    let reasons = [
        Reason::UnknownKind,
        Reason::Malformed,
        Reason::Repeated(First::Done),
        Reason::Expired,
        Reason::UnknownPendant,
        Reason::NoSuchIncident,
        Reason::Unsupported,
    ];
    assert_eq!(result["reason"]["enum"], json!(reasons.map(Reason::as_str)));
    assert_eq!(result["first"]["enum"], json!([First::Done, First::Accepted].map(First::as_str)));
    assert_eq!(Schema::of("message").text["properties"]["commands"]["maxItems"], COMMANDS_MAX);
}

/// Each with a result or refusal of another form: what the gateway answered stands in
/// the documents.
#[test]
fn the_answers_in_the_documents_are_what_the_gateway_says() {
    let id = |n: u32| format!("0190a1b2-c3d4-7e5f-8a0b-{n:012x}");
    let message = |number: u32, list: Value| {
        let boot = format!("{BOOT:016x}");
        padded(&json!({"message": MESSAGE, "boot": boot, "number": number, "commands": list}))
    };
    let mut gateway = commands();
    let list = json!([
        {"id": PING, "kind": "ping"},
        {"id": id(2), "kind": "led", "pendant": "00012f"},
        {"id": id(3), "kind": "close", "pendant": "00012f", "incident": 8},
        {"id": PING, "kind": "ping"},
        {"kind": "ping"},
    ]);
    let answers = [
        hear(&mut gateway, &message(7, list)).1,
        hear(&mut gateway, &message(7, json!([]))).1,
        hear(&mut gateway, b"{}").1,
    ];
    let schema = Schema::of("answer");
    answers.iter().for_each(|answer| schema.must_take(answer));
    assert_eq!(schema.text["examples"], json!(answers), "{:#}", json!(answers));
}

#[test]
fn the_message_in_the_documents_is_signed_and_taken() {
    let schema = Schema::of("message");
    let examples = schema.text["examples"].as_array().expect("examples").clone();
    assert_eq!(examples.len(), 2);
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let key: PublicKey = key.parse().expect("a key");
    let keys = CentreKeys::new([(Name::new("night-desk").expect("a name"), key)]).expect("keys");
    for example in &examples {
        schema.must_take(example);
        let read = CentreMessage::parse(&format!("{BASE}/command"), &padded(example));
        let genuine = keys.verify(read.expect("readable"));
        assert_eq!(genuine.is_ok(), example.get("signature").is_some(), "{example:#}");
    }
}

/// Each member of a receipt, a state and a message taken out, misspelt, or garbled.
#[test]
fn what_is_no_receipt_state_or_message_is_refused() {
    for (name, optional) in
        [("receipt", &[][..]), ("state", &[]), ("message", &["sent"]), ("answer", &[])]
    {
        let schema = Schema::of(name);
        let example = schema.text["examples"][0].as_object().expect("an example").clone();
        schema.must_take(&example.clone().into());
        for field in example.keys() {
            let changed = |change: &dyn Fn(&mut Map<String, Value>)| {
                let mut changed = example.clone();
                change(&mut changed);
                schema.takes(&changed.into())
            };
            let without = changed(&|object| drop(object.remove(field)));
            assert_eq!(without, optional.contains(&&**field), "{name} without {field}");
            assert!(!changed(&|object| drop(object.insert(field.clone(), json!({})))), "{field}");
            assert!(!changed(&|object| drop(object.insert("more".into(), json!(1)))), "{name}");
        }
    }
}

/// The kit's centre reads the first event of the documents and writes this receipt.
#[test]
fn the_receipt_in_the_documents_is_the_kits() {
    let event = &Schema::of("event").text["examples"][0];
    let topic = "lonework/v1/ward-3/gw1/event/urgent";
    let event = pendant_kit::centre::Event::parse(topic, event.to_string().as_bytes());
    let receipt = event.expect("an event").receipt();
    assert_eq!(receipt.len(), 77, "as docs/mqtt.md says");
    let schema = Schema::of("receipt");
    let receipt: Value = serde_json::from_str(&receipt).expect("JSON");
    assert_eq!(schema.text["examples"], json!([receipt]));
}

#[test]
fn the_asyncapi_document_has_the_topics_and_the_schemas() {
    let addresses: Vec<&str> =
        ASYNCAPI.lines().filter_map(|line| line.trim().strip_prefix("address: ")).collect();
    let topics =
        ["event/urgent", "event/trouble", "event/routine", "state", "receipt", "command", "answer"];
    let topics = topics.map(|topic| format!("lonework/v1/{{site}}/{{gateway}}/{topic}"));
    assert_eq!(addresses, topics);
    for name in ["event", "state", "receipt", "message", "answer"] {
        assert!(ASYNCAPI.contains(&format!("$ref: ./schemas/{name}.json")), "{name}");
        assert_eq!(Schema::of(name).text["$id"], format!("urn:lonework:v1:{name}"));
    }
}

/// What waits in a file for the centre is as large as what is sent to it.
#[test]
fn the_document_of_exports_has_the_size_of_an_event() {
    let document = include_str!("../docs/export.md");
    let message = 2 + EVENT_WIRE_BYTES;
    let part = 48 * message + 16;
    assert!(document.contains(&format!("48 messages of {message} bytes")), "{message}");
    let told = format!("at most {},{:03} |", part / 1000, part % 1000);
    assert!(document.contains(&told), "{told}");
}
