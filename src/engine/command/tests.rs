use super::*;
use crate::engine::name::{NAME_BYTES_MAX, Name};
use crate::engine::seam::BrokerId;
use crate::engine::time::{Mono, Wall, WallSource};
use proptest::prelude::*;
use serde_json::{Value, json};

const BASE: &str = "lonework/v1/plant/gate-1";
const BOOT: Boot = 0xff;
const MESSAGE: &str = "0190a1b2-c3d4-7e5f-8a0b-1c2d3e4f5061";
const COMMANDS_MD: &str = include_str!("../../../docs/commands.md");

/// Test 1 of RFC 8032, section 7.1, and what OpenSSL signs with it.
const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const SIGNATURE: &str = "b99cd92e65706cfdd98bf9c0c813b074bff65c84e486609bbf6767eafe3a3897\
                         074bd318150c6d15846e0374fac1e8b4fa506bd76b08afc125c29ef4666d6c0a";
const SIGNED_COMMANDS: &str = r#"[{"id":"0190a1b2-c3d4-7e5f-8a0b-000000000001","kind":"ping"}]"#;

fn name(text: &str) -> Name {
    Name::new(text).expect("a fine name")
}

fn id(n: u64) -> String {
    format!("0190a1b2-c3d4-7e5f-8a0b-{n:012x}")
}

fn pad(topic: &str, mut text: String) -> Vec<u8> {
    let length = CENTRE_WIRE_BYTES - topic.len();
    assert!(text.len() <= length, "{} bytes do not fit", text.len());
    text.extend(std::iter::repeat_n(' ', length - text.len()));
    text.into_bytes()
}

fn payload(value: &Value) -> Vec<u8> {
    pad(&format!("{BASE}/command"), value.to_string())
}

fn message(number: u64, commands: Value) -> Value {
    json!({
        "message": MESSAGE, "boot": format!("{BOOT:016x}"), "number": number, "commands": commands
    })
}

fn commands() -> Commands {
    Commands::new(BASE, BOOT, CentreKeys::default(), Answered::default())
}

fn now(wall: Wall) -> Now {
    Now { mono: Mono::ZERO, wall }
}

const UNSET: Wall = Wall::Unset;

fn set(unix_ms: i64, uncertainty_ms: u32) -> Wall {
    Wall::Set { unix_ms, uncertainty_ms, source: WallSource::Ntp }
}

/// Pendant 00012f stands so; no other is enrolled.
fn one(standing: Standing) -> impl Fn(PendantId) -> Option<Standing> {
    move |pendant| (pendant.get() == 0x12f).then_some(standing)
}

/// What becomes of one command in a message of its own.
fn verdict(commands: &mut Commands, command: Value, standing: Standing, wall: Wall) -> Verdict {
    let number = commands.number + 1;
    let heard = commands.hear(&payload(&message(number, json!([command]))));
    let list = heard.commands.expect("a good message");
    assert_eq!(list.len(), 1);
    commands.judge(&list[0], now(wall), one(standing)).verdict
}

fn fresh(command: Value) -> Verdict {
    verdict(&mut commands(), command, Standing::default(), UNSET)
}

fn refusal(commands: &mut Commands, payload: &[u8]) -> MessageRefusal {
    let before = commands.clone();
    let heard = commands.hear(payload);
    let why = heard.commands.clone().expect_err("it is refused");
    assert_eq!(commands.number, before.number, "a refused message changes nothing");
    assert_eq!(commands.answered, before.answered, "a refused message changes nothing");
    let answer = answer_json(&commands.answer(BrokerId(0), &heard, &[]));
    assert_eq!(answer["refused"], why.as_str());
    assert_eq!(answer["results"], json!([]));
    why
}

fn answer_json(answer: &Answer) -> Value {
    assert_eq!(answer.topic, format!("{BASE}/answer"));
    assert_eq!(answer.topic.len() + answer.payload.len(), ANSWER_WIRE_BYTES);
    serde_json::from_slice(&answer.payload).expect("JSON")
}

#[test]
fn each_kind_becomes_its_order() {
    let pendant = PendantId::new(0x12f).expect("a number");
    let standing = Standing { open_incident: Some(7), voice: true, ..Standing::default() };
    let of = |kind: &str, more: Value| {
        let mut command = json!({"id": id(1), "kind": kind, "pendant": "00012f"});
        let fields = more.as_object().expect("an object").clone();
        command.as_object_mut().expect("an object").extend(fields);
        verdict(&mut commands(), command, standing, UNSET)
    };
    let carry = |order| Verdict::Carry(order);
    let wearer = name("k.ito");
    assert_eq!(of("close", json!({"incident": 7})), carry(Ask::Close { pendant, incident: 7 }));
    assert_eq!(of("track", json!({"on": true})), carry(Ask::Track { pendant, on: true }));
    assert_eq!(of("listen", json!({})), carry(Ask::Listen(pendant)));
    assert_eq!(of("vibrate", json!({})), carry(Ask::Vibrate(pendant)));
    assert_eq!(of("led", json!({})), carry(Ask::Led(pendant)));
    assert_eq!(of("rebind", json!({"wearer": "k.ito"})), carry(Ask::Rebind { pendant, wearer }));
    assert_eq!(of("revoke", json!({})), carry(Ask::Revoke(pendant)));
    assert_eq!(fresh(json!({"id": id(1), "kind": "ping"})), carry(Ask::Ping));
}

/// A pendant that was bought has no instruction that the gateway knows.
#[test]
fn one_that_was_bought_neither_vibrates_nor_lights_up_on_command() {
    let deaf = Standing { deaf: true, ..Standing::default() };
    for kind in ["vibrate", "led"] {
        let command = json!({"id": id(1), "kind": kind, "pendant": "00012f"});
        let verdict = verdict(&mut commands(), command, deaf, UNSET);
        assert_eq!(verdict, Verdict::Refused(Reason::Unsupported), "{kind}");
    }
}

#[test]
fn what_a_commander_gets_wrong_has_its_reason_and_changes_nothing() {
    let cases = [
        (json!({"id": id(1), "kind": "explode", "pendant": "00012f"}), Reason::UnknownKind),
        (json!({"id": id(1), "kind": "led", "pendant": "00012e"}), Reason::UnknownPendant),
        (json!({"id": id(1), "kind": "listen", "pendant": "00012f"}), Reason::Unsupported),
        (
            json!({"id": id(1), "kind": "close", "pendant": "00012f", "incident": 8}),
            Reason::NoSuchIncident,
        ),
        (json!({"id": id(1), "kind": "close", "pendant": "00012f"}), Reason::Malformed),
        (json!({"id": id(1), "kind": "led", "pendant": "12f"}), Reason::Malformed),
        (json!({"id": id(1), "kind": "led", "pendant": 303}), Reason::Malformed),
        (json!({"id": id(1), "kind": "ping", "pendant": "00012f"}), Reason::Malformed),
        (json!({"id": id(1), "kind": "ping", "expire": "2026-01-02T03:04:05Z"}), Reason::Malformed),
        (json!({"id": id(1), "kind": "ping", "expires": "tomorrow"}), Reason::Malformed),
        (json!({"id": "ping-1", "kind": "ping"}), Reason::Malformed),
        (json!({"kind": "ping"}), Reason::Malformed),
        (
            json!({"id": id(1), "kind": "rebind", "pendant": "00012f", "wearer": "k ito"}),
            Reason::Malformed,
        ),
        (json!("ping"), Reason::Malformed),
        (Value::Null, Reason::Malformed),
    ];
    for (command, reason) in cases {
        let mut commands = commands();
        let verdict = verdict(&mut commands, command.clone(), Standing::default(), UNSET);
        assert_eq!(verdict, Verdict::Refused(reason), "{command}");
        assert_eq!(commands.answered, Answered::default(), "{command}");
    }
}

#[test]
fn vibrate_and_led_say_the_same_with_and_without_a_covert_incident() {
    let covert = Standing { covert_incident: Some(9), ..Standing::default() };
    for kind in ["vibrate", "led"] {
        let answer = |standing| {
            let mut commands = commands();
            let list = json!([{"id": id(1), "kind": kind, "pendant": "00012f"}]);
            let heard = commands.hear(&payload(&message(1, list)));
            let list = heard.commands.as_ref().expect("a good message");
            let judgement = commands.judge(&list[0], now(UNSET), one(standing));
            let answer = commands.answer(BrokerId(0), &heard, std::slice::from_ref(&judgement));
            (judgement.verdict, answer, commands.answered)
        };
        let (carried, open_answer, open_memory) = answer(Standing::default());
        let (withheld, covert_answer, covert_memory) = answer(covert);
        assert!(matches!(carried, Verdict::Carry(_)), "{carried:?}");
        assert_eq!(withheld, Verdict::Refused(Reason::CovertIncidentOpen));
        assert_eq!((open_answer.clone(), open_memory), (covert_answer, covert_memory));
        assert_eq!(answer_json(&open_answer)["results"][0]["result"], "accepted");
    }
}

#[test]
fn a_covert_incident_can_be_closed_by_its_number_alone() {
    let covert =
        Standing { covert_incident: Some(9), open_incident: Some(4), ..Standing::default() };
    for (incident, closes) in [(9, true), (4, true), (5, false)] {
        let command =
            json!({"id": id(1), "kind": "close", "pendant": "00012f", "incident": incident});
        let verdict = verdict(&mut commands(), command, covert, UNSET);
        assert_eq!(matches!(verdict, Verdict::Carry(_)), closes, "{incident}");
    }
}

#[test]
fn a_repeated_command_is_answered_by_its_first_answer_and_not_carried_out_again() {
    let mut commands = commands();
    let ping = json!({"id": id(1), "kind": "ping"});
    let led = json!({"id": id(2), "kind": "led", "pendant": "00012f"});
    let standing = Standing::default();
    for (command, first) in [(&ping, First::Done), (&led, First::Accepted)] {
        let carried = verdict(&mut commands, command.clone(), standing, UNSET);
        assert!(matches!(carried, Verdict::Carry(_)));
        // Also after a restart, with what the journal kept.
        let kept = postcard::to_stdvec(commands.answered()).expect("it fits");
        let kept = postcard::from_bytes(&kept).expect("it was just written");
        let mut later = Commands::new(BASE, BOOT, CentreKeys::default(), kept);
        for commands in [&mut commands, &mut later] {
            let again = verdict(commands, command.clone(), standing, UNSET);
            assert_eq!(again, Verdict::Refused(Reason::Repeated(first)));
        }
    }
    // A refused one is judged anew: it changed nothing.
    let unknown = json!({"id": id(3), "kind": "led", "pendant": "000001"});
    for _ in 0..2 {
        let verdict = verdict(&mut commands, unknown.clone(), standing, UNSET);
        assert_eq!(verdict, Verdict::Refused(Reason::UnknownPendant));
    }
}

#[test]
fn what_is_remembered_is_bounded_and_fits_a_frame_of_the_journal() {
    let mut commands = commands();
    for n in 0..100 {
        let ping = json!({"id": id(n), "kind": "ping"});
        assert!(matches!(
            verdict(&mut commands, ping, Standing::default(), UNSET),
            Verdict::Carry(_)
        ));
    }
    let kept = postcard::to_stdvec(commands.answered()).expect("it fits");
    assert_eq!(kept.len(), 1 + ANSWERED_MAX * 17);
    assert!(kept.len() < 440, "a frame of the journal has 448 bytes for a record");
    let mut again = |n| {
        let ping = json!({"id": id(n), "kind": "ping"});
        matches!(verdict(&mut commands, ping, Standing::default(), UNSET), Verdict::Refused(_))
    };
    assert!(again(99) && again(76) && !again(75));
}

#[test]
fn a_command_expires_when_it_is_certainly_too_late() {
    const EXPIRES_UNIX_MS: i64 = 1_767_323_045_678;
    let command = json!({"id": id(1), "kind": "ping", "expires": "2026-01-02T03:04:05.678Z"});
    for (wall, expired) in [
        (UNSET, false),
        (set(EXPIRES_UNIX_MS, 0), false),
        (set(EXPIRES_UNIX_MS + 1, 0), true),
        (set(EXPIRES_UNIX_MS + 1000, 1000), false),
        (set(EXPIRES_UNIX_MS + 1001, 1000), true),
        (set(i64::MIN, u32::MAX), false),
        (set(i64::MAX, u32::MAX), true),
    ] {
        let verdict = verdict(&mut commands(), command.clone(), Standing::default(), wall);
        assert_eq!(verdict == Verdict::Refused(Reason::Expired), expired, "{wall:?}");
    }
}

/// It was refused beside a covert incident; repeated when that is closed and the clock is
/// lost, it would move the pendant.
#[test]
fn a_command_that_came_too_late_stays_too_late_without_a_clock() {
    let command = |n: u64| json!({"id": id(n), "kind": "ping", "expires": "2026-01-02T03:04:05Z"});
    let mut commands = commands();
    let mut judge = |n: u64, wall| verdict(&mut commands, command(n), Standing::default(), wall);
    let late = set(1_767_323_046_000, 0);
    let expired = Verdict::Refused(Reason::Expired);
    assert_eq!(judge(1, late), expired);
    assert_eq!(judge(1, UNSET), expired);
    assert_eq!(judge(2, UNSET), Verdict::Carry(Ask::Ping), "another one");
    // As many are remembered as of those that were let through.
    for n in 3..3 + ANSWERED_MAX as u64 {
        assert_eq!(judge(n, late), expired);
    }
    assert_eq!(judge(3, UNSET), expired);
    assert_eq!(judge(1, UNSET), Verdict::Carry(Ask::Ping), "given up for room");
}

#[test]
fn a_message_that_is_not_as_it_must_be_is_refused_whole() {
    let good = message(1, json!([{"id": id(1), "kind": "ping"}]));
    let with = |field: &str, value: Value| {
        let mut message = good.clone();
        message[field] = value;
        refusal(&mut commands(), &payload(&message))
    };
    assert!(commands().hear(&payload(&good)).commands.is_ok());
    let many: Vec<Value> = (0..9).map(|n| json!({"id": id(n), "kind": "ping"})).collect();
    assert_eq!(with("commands", many.into()), MessageRefusal::TooMany);
    for (field, value) in [
        ("message", json!("0190A1B2-C3D4-7E5F-8A0B-1C2D3E4F5061")),
        ("boot", json!("ff")),
        ("number", json!(-1)),
        ("number", json!(NUMBER_MAX + 1)),
        ("sent", json!("now\nor later")),
        ("commands", json!({})),
        ("commands", Value::Null),
        ("key", json!("no name")),
        ("signature", json!("00")),
    ] {
        assert_eq!(with(field, value), MessageRefusal::Unreadable, "{field}");
    }
    assert_eq!(with("boot", json!("00000000000000fe")), MessageRefusal::OtherBoot);
    assert_eq!(with("number", json!(0)), MessageRefusal::Outdated);
    let mut short = payload(&good);
    short.pop();
    assert_eq!(refusal(&mut commands(), &short), MessageRefusal::Size);
    assert_eq!(refusal(&mut commands(), &[]), MessageRefusal::Size);
}

#[test]
fn a_message_counts_once_and_older_ones_not_at_all() {
    let mut commands = commands();
    let of = |number| payload(&message(number, json!([])));
    assert!(commands.hear(&of(5)).commands.is_ok());
    for number in [5, 4, 1] {
        assert_eq!(refusal(&mut commands, &of(number)), MessageRefusal::Outdated);
    }
    let heard = commands.hear(&of(9));
    let answer = answer_json(&commands.answer(BrokerId(0), &heard, &[]));
    assert_eq!(
        answer,
        json!({"message": MESSAGE, "boot": "00000000000000ff", "number": 9, "results": []})
    );
}

fn signed(change: impl FnOnce(&mut Value)) -> Value {
    let commands = serde_json::from_str(SIGNED_COMMANDS).expect("JSON");
    let mut message = message(7, commands);
    message["sent"] = json!("2026-01-02T03:04:05.678Z");
    message["key"] = json!("night-desk");
    message["signature"] = json!(SIGNATURE);
    change(&mut message);
    message
}

fn keyed() -> Commands {
    let key = PUBLIC_KEY.parse().expect("a key");
    let keys = CentreKeys::new([(name("night-desk"), key)]).expect("one key");
    Commands::new(BASE, BOOT, keys, Answered::default())
}

#[test]
fn a_signature_by_a_configured_key_is_required_and_covers_everything() {
    assert!(keyed().hear(&payload(&signed(|_| {}))).commands.is_ok());
    for field in ["signature", "key"] {
        let unsigned = signed(|message| message[field] = Value::Null);
        assert_eq!(refusal(&mut keyed(), &payload(&unsigned)), MessageRefusal::Unsigned);
    }
    let flipped = SIGNATURE.replacen('b', "c", 1);
    let bad: [(&str, Value); 7] = [
        ("signature", json!(flipped)),
        ("key", json!("day-desk")),
        ("message", json!(id(1))),
        ("boot", json!("00000000000000fe")),
        ("number", json!(8)),
        ("sent", json!("2026-01-02T03:04:05.679Z")),
        ("commands", json!([])),
    ];
    for (field, value) in bad {
        let message = signed(|message| message[field] = value);
        assert_eq!(refusal(&mut keyed(), &payload(&message)), MessageRefusal::BadSignature);
    }
    let elsewhere = "lonework/v1/plant/gate-2";
    let payload = pad(&format!("{elsewhere}/command"), signed(|_| {}).to_string());
    let mut other = Commands { command_topic: format!("{elsewhere}/command"), ..keyed() };
    let heard = other.hear(&payload);
    assert_eq!(heard.commands, Err(MessageRefusal::BadSignature), "each gateway has its own");
    // Without keys nobody looks at signatures.
    let nonsense = signed(|message| message["signature"] = json!("00".repeat(64)));
    assert!(commands().hear(&self::payload(&nonsense)).commands.is_ok());
}

#[test]
fn keys_have_one_form_and_names_of_their_own() {
    for text in ["", "00", &PUBLIC_KEY.to_uppercase(), &format!("{PUBLIC_KEY}00"), "é"] {
        assert_eq!(text.parse::<PublicKey>(), Err(PublicKeyError), "{text}");
    }
    let key: PublicKey = PUBLIC_KEY.parse().expect("a key");
    let twice = CentreKeys::new([(name("a"), key), (name("a"), key)]);
    assert_eq!(twice, Err(KeysError::Twice(name("a"))));
    let many = CentreKeys::new((0..=KEYS_MAX).map(|n| (name(&format!("k{n}")), key)));
    assert_eq!(many, Err(KeysError::TooMany));
}

#[test]
fn the_longest_message_and_the_longest_answer_fit() {
    let longest = "m".repeat(NAME_BYTES_MAX);
    let base = format!("lonework/v1/{longest}/{longest}");
    let list: Vec<Value> = (0..COMMANDS_MAX as u64)
        .map(|n| {
            json!({
                "id": id(n), "kind": "rebind", "pendant": "00012f", "wearer": longest,
                "expires": "2026-01-02T03:04:05.678Z",
            })
        })
        .collect();
    let message = json!({
        "message": MESSAGE, "boot": "ffffffffffffffff", "number": NUMBER_MAX,
        "sent": "2026-01-02T03:04:05.678Z", "commands": list,
        "key": longest, "signature": SIGNATURE,
    });
    let payload = pad(&format!("{base}/command"), message.to_string());
    let mut commands = Commands::new(&base, u64::MAX, CentreKeys::default(), Answered::default());
    let heard = commands.hear(&payload);
    assert!(heard.commands.is_ok(), "{heard:?}");
    let reasons = [Reason::NoSuchIncident, Reason::Repeated(First::Accepted)];
    for reason in reasons {
        let judgement = Judgement { id: heard.message, verdict: Verdict::Refused(reason) };
        let answer = commands.answer(BrokerId(0), &heard, &vec![judgement; COMMANDS_MAX]);
        assert_eq!(answer.topic.len() + answer.payload.len(), ANSWER_WIRE_BYTES);
    }
}

#[test]
fn silence_is_told_once_and_only_while_the_broker_is_there() {
    let at = |s: u64| Mono::from_us(s * 1_000_000);
    let mut silence = CentreSilence::new(60_000);
    assert_eq!((silence.next_deadline(), silence.handle_time(at(999))), (None, None));
    silence.broker(true, at(1000));
    assert_eq!(silence.next_deadline(), Some(at(1060)));
    assert_eq!(silence.heard(at(1020)), None);
    assert_eq!((silence.handle_time(at(1079)), silence.is_lost()), (None, false));
    assert_eq!((silence.handle_time(at(1080)), silence.is_lost()), (Some(SilenceNews::Lost), true));
    assert_eq!((silence.next_deadline(), silence.handle_time(at(1081))), (None, None));
    silence.broker(false, at(1090));
    silence.broker(true, at(1100));
    assert_eq!(silence.next_deadline(), None, "it is still lost: nothing new");
    assert!(silence.is_lost());
    assert_eq!((silence.heard(at(1110)), silence.is_lost()), (Some(SilenceNews::Back), false));
    silence.broker(false, at(1111));
    assert_eq!(silence.handle_time(at(9999)), None);
}

#[test]
fn the_document_has_every_word_and_the_vector() {
    let orders = ["close", "track", "listen", "vibrate", "led", "rebind", "revoke", "ping"];
    let reasons = [
        Reason::UnknownKind,
        Reason::Malformed,
        Reason::Repeated(First::Done),
        Reason::Expired,
        Reason::UnknownPendant,
        Reason::NoSuchIncident,
        Reason::Unsupported,
    ];
    let words = (orders.into_iter())
        .chain(reasons.into_iter().filter_map(Reason::as_str))
        .chain(MessageRefusal::ALL.map(MessageRefusal::as_str));
    for word in words {
        assert!(COMMANDS_MD.contains(&format!("| `{word}` |")), "{word}");
    }
    let sizes = [CENTRE_WIRE_BYTES, ANSWER_WIRE_BYTES].map(|size| format!("**{size} bytes**"));
    for text in [PUBLIC_KEY, SIGNATURE, SIGNED_COMMANDS, MESSAGE, &sizes[0], &sizes[1]] {
        assert!(COMMANDS_MD.contains(text), "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9-]{0,40}".prop_map(Value::from),
        Just(json!("00012f")),
        Just(json!(MESSAGE)),
        "(close|track|listen|vibrate|led|rebind|revoke|ping)".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 9, |inner| {
        let field = "(id|kind|pendant|incident|on|wearer|expires|more)";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..9).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..7)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut text = bytes.clone();
        text.resize(CENTRE_WIRE_BYTES - BASE.len() - "/command".len(), b' ');
        for payload in [bytes, text] {
            let mut commands = commands();
            let heard = commands.hear(&payload);
            answer_json(&commands.answer(BrokerId(0), &heard, &[]));
        }
    }

    #[test]
    fn any_commands_are_judged_and_answered(list in prop::collection::vec(any_json(), 0..9)) {
        let mut commands = commands();
        let message = message(1, list.clone().into()).to_string();
        prop_assume!(message.len() < 1900);
        let heard = commands.hear(&pad(&format!("{BASE}/command"), message));
        let read = heard.commands.clone().unwrap_or_default();
        prop_assert_eq!(read.len(), if list.len() > COMMANDS_MAX { 0 } else { list.len() });
        let standing = one(Standing { voice: true, ..Standing::default() });
        let judged: Vec<Judgement> =
            read.iter().map(|command| commands.judge(command, now(UNSET), &standing)).collect();
        let answer = answer_json(&commands.answer(BrokerId(0), &heard, &judged));
        prop_assert_eq!(answer["results"].as_array().map(Vec::len), Some(judged.len()));
    }

    #[test]
    fn ids_keep_their_text(bytes in any::<[u8; 16]>(), text in "[0-9a-f-]{30,40}") {
        let id = Uuid(bytes);
        prop_assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        prop_assert!(Uuid::parse(&text).is_none_or(|id| id.to_string() == text));
    }
}
