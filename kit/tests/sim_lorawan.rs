//! `pendant-kit sim` with LoRaWAN pendants against a network played by the test: the real
//! concentrator link, and behind it a network server that can be made to do what none may.

use lorawan::creator::{DataPayloadCreator, JoinAcceptCreator};
use lorawan::default_crypto::DefaultFactory;
use lorawan::keys::{AES128, AppSKey, NewSKey};
use lorawan::maccommands::DLSettings;
use lorawan::parser::{DataHeader, EncryptedDataPayload, FCtrl};
use pendant_hal::concentrator::{self, ConcentratorSettings, Eui};
use pendant_hal::radio::account::Account;
use pendant_hal::{Later, LinkEvent, LinkHandle, Reception, Transmission, Wave};
use pendant_kit::lorawan::{DeviceSession, LoRaWanDevice};
use pendant_kit::sim::{self, Report, Scenario};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const EUI: Eui = Eui([0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1]);
const DEV_EUI: u64 = 0x24E1_24AB_CDEF_0001;
const APP_KEY: [u8; 16] = [0x5C; 16];
const DEV_ADDR: u32 = 0x2601_1234;

/// What this network does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Answers leave two seconds late.
    Late,
    /// On the channel beside the right one.
    Elsewhere,
    /// As native downlinks are sent.
    NotInverted,
    /// FCntDown stands still.
    CounterStands,
    /// Old frames are acknowledged.
    AnswersReplays,
    /// Frames are acknowledged that were not made with the key.
    AnswersForgeries,
    /// What was not asked for is acknowledged.
    AcknowledgesAll,
    /// Answers are not acknowledgements.
    AcknowledgesNothing,
    /// Under another key.
    OtherKey,
    /// Twice: in both windows.
    Twice,
    /// The join accept says 2 s.
    MovesWindows,
    /// JoinNonce stands still.
    NonceStands,
    /// A request to join is answered whenever it comes.
    AnswersOldJoins,
}

/// The network server.
struct Network {
    link: LinkHandle,
    bug: Bug,
    ticket: u64,
    join_nonce: u32,
    nonces: Vec<u16>,
    session: DeviceSession,
    /// FCntUp of the last frame, and the FCntDown of its answer.
    last: Option<(u16, u32)>,
    down: u32,
}

fn abp() -> DeviceSession {
    DeviceSession {
        dev_addr: DEV_ADDR,
        nwk_s_key: [0x4E; 16],
        app_s_key: [0x41; 16],
        up: 0,
        down: None,
        owes_ack: false,
    }
}

impl Network {
    async fn hear(&mut self, reception: &Reception) {
        if reception.bytes[0] == 0 {
            return self.join(reception).await;
        }
        let bytes = reception.bytes.clone();
        let frame = EncryptedDataPayload::new_with_factory(bytes, DefaultFactory).expect("data");
        let counter = frame.fhdr().fcnt();
        let genuine = frame.validate_mic(&AES128(self.session.nwk_s_key), counter.into());
        let old = self.last.is_some_and(|(last, _)| counter < last);
        if !genuine && self.bug != Bug::AnswersForgeries || old && self.bug != Bug::AnswersReplays {
            return;
        }
        let confirmed = frame.is_confirmed();
        let again = self.last.filter(|(last, _)| *last == counter);
        if again.is_none() && self.bug != Bug::CounterStands {
            self.down += 1;
        }
        let down = again.map_or(self.down, |(_, down)| down);
        if genuine && !old {
            self.last = Some((counter, down));
        }
        if confirmed || self.bug == Bug::AcknowledgesAll {
            let answer = self.answer(down);
            self.send(reception, answer, 1_000).await;
        }
    }

    fn answer(&self, down: u32) -> Vec<u8> {
        let mut control = FCtrl::new(0, false);
        if self.bug != Bug::AcknowledgesNothing {
            control.set_ack();
        }
        let mut network = self.session.nwk_s_key;
        network[0] ^= u8::from(self.bug == Bug::OtherKey);
        let keys = (NewSKey::from(network), AppSKey::from(self.session.app_s_key));
        let mut frame = DataPayloadCreator::new();
        frame
            .set_uplink(false)
            .set_confirmed(false)
            .set_dev_addr(self.session.dev_addr.to_le_bytes())
            .set_fctrl(&control)
            .set_fcnt(down);
        frame.build(&[], &[], &keys.0, &keys.1).expect("a frame").to_vec()
    }

    async fn join(&mut self, reception: &Reception) {
        let nonce = u16::from_le_bytes([reception.bytes[17], reception.bytes[18]]);
        if self.nonces.contains(&nonce) && self.bug != Bug::AnswersOldJoins {
            return;
        }
        self.nonces.push(nonce);
        self.join_nonce += u32::from(self.bug != Bug::NonceStands);
        let [a, b, c, _] = self.join_nonce.to_le_bytes();
        let mut accept = JoinAcceptCreator::with_options([0; 17], DefaultFactory).expect("room");
        accept
            .set_app_nonce([a, b, c])
            .set_net_id([0; 3])
            .set_dev_addr(DEV_ADDR.to_le_bytes())
            .set_dl_settings(DLSettings::new(8))
            .set_rx_delay(if self.bug == Bug::MovesWindows { 2 } else { 1 });
        let accept = accept.build(&AES128(APP_KEY)).expect("an accept").to_vec();
        let mut twin = LoRaWanDevice::new(DEV_EUI, APP_KEY);
        twin.dev_nonce = nonce;
        twin.accept(&accept).expect("its own");
        (self.session, self.last, self.down) = (twin.session.expect("joined"), None, 0);
        self.send(reception, accept, 5_000).await;
    }

    async fn send(&mut self, reception: &Reception, bytes: Vec<u8>, after_ms: u64) {
        let heard_hz = reception.signal.frequency_hz.expect("told");
        let factor = reception.signal.spreading_factor.expect("told");
        let channel = (heard_hz - 902_300_000) / 200_000 % 8;
        let aside_hz = if self.bug == Bug::Elsewhere { 200_000 } else { 0 };
        let wave = |frequency_hz, spreading_factor| Wave::LoRaWan {
            frequency_hz,
            spreading_factor,
            bandwidth_hz: 500_000,
        };
        let [first, second] =
            [wave(923_300_000 + 600_000 * channel + aside_hz, factor), wave(923_300_000, 12)];
        let first = if self.bug == Bug::NotInverted { Wave::Native } else { first };
        let late = Duration::from_secs(if self.bug == Bug::Late { 2 } else { 0 });
        let at = reception.ended + Duration::from_millis(after_ms) + late;
        let later = at + Duration::from_secs(1);
        self.transmit(at, first, Some(Later { at: later, wave: second }), &bytes).await;
        if self.bug == Bug::Twice {
            self.transmit(later, second, None, &bytes).await;
        }
    }

    async fn transmit(
        &mut self,
        at: tokio::time::Instant,
        wave: Wave,
        or: Option<Later>,
        bytes: &[u8],
    ) {
        self.ticket += 1;
        let transmission =
            Transmission { wave, or, ..Transmission::native(self.ticket, at, bytes.to_vec()) };
        self.link.transmit.send(transmission).await.expect("the link lives");
    }
}

/// An address of this machine that no other network of these tests has: a port that is free
/// for a moment may be another's in the next.
fn own_address() -> Ipv4Addr {
    static NETWORKS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NETWORKS.fetch_add(1, Ordering::Relaxed))
}

/// A network with this bug, and where forwarders call.
fn network(bug: Bug) -> (impl Future<Output = ()>, SocketAddr) {
    let socket = UdpSocket::bind((own_address(), 0)).expect("a port");
    let listen = socket.local_addr().expect("its address");
    drop(socket);
    let settings = ConcentratorSettings {
        listen,
        eui: EUI,
        downlink_frequency_hz: 923_300_000,
        bandwidth_hz: 500_000,
        coding_rate_denominator: 5,
        spreading_factor: 9,
        power_dbm: 14,
    };
    let (sender, mut events) = mpsc::channel(64);
    let link = concentrator::spawn(settings, Account::default(), 0, sender);
    let (session, last, nonces) = (abp(), None, Vec::new());
    let mut network =
        Network { link, bug, ticket: 0, join_nonce: 9, nonces, session, last, down: 0 };
    let running = async move {
        while let Some((_, event)) = events.recv().await {
            if let LinkEvent::Received(reception) = event {
                network.hear(&reception).await;
            }
        }
    };
    (running, listen)
}

const HEAD: &str = r#"name = "buttons"
[[wire]]
name = "roof"
kind = "forwarder"
server = "SERVER"
eui = "aa555a0000000101"
counter_us = 4294000000
region = "US915"
sub_band = 2
"#;

const GIVEN: &str = r#"
[[device]]
name = "given"
wire = "roof"
dev_addr = "26011234"
keys_file = "given.keys"
"#;

const JOINER: &str = r#"
[[device]]
name = "joiner"
wire = "roof"
dev_eui = "24e124abcdef0001"
keys_file = "joiner.keys"
"#;

fn step(device: &str, what: &str) -> String {
    format!("[[step]]\npendant = \"{device}\"\n{what}\n")
}

/// What a device that was given its session does in all of these tests.
fn presses() -> String {
    [
        "do = \"confirmed\"\npayload = \"01\"",
        "do = \"confirmed\"\npayload = \"02\"",
        "do = \"unconfirmed\"",
        "do = \"replay\"",
        "do = \"forge\"\npayload = \"03\"",
    ]
    .map(|what| step("given", what))
    .concat()
}

fn write_files(directory: &Path, server: SocketAddr, text: &str) -> std::path::PathBuf {
    let hex = |byte: u8| format!("{byte:02x}").repeat(16);
    let given = format!("{}\n{}\n", hex(0x4E), hex(0x41));
    std::fs::write(directory.join("given.keys"), given).expect("written");
    std::fs::write(directory.join("joiner.keys"), hex(0x5C)).expect("written");
    let path = directory.join("buttons.toml");
    std::fs::write(&path, text.replace("SERVER", &server.to_string())).expect("written");
    path
}

/// Plays a scenario in a directory against a network with this bug.
async fn play_in(directory: &Path, bug: Bug, text: &str) -> Report {
    let (network, server) = network(bug);
    let path = write_files(directory, server, text);
    let scenario = Scenario::read(&path).expect("a scenario");
    let network = tokio::spawn(network);
    let report = timeout(PATIENCE, sim::run(scenario, |_| ())).await.expect("in time");
    network.abort();
    report.expect("it can be played")
}

async fn play(bug: Bug, text: &str) -> Report {
    let directory = tempfile::tempdir().expect("a directory");
    play_in(directory.path(), bug, text).await
}

fn seen(report: &Report) -> Vec<&str> {
    report.steps.iter().map(|step| step.seen.as_str()).collect()
}

#[tokio::test]
async fn what_a_good_network_does_is_as_expected() {
    let text = [HEAD, GIVEN, &presses()].concat();
    let report = play(Bug::None, &text).await;
    let at_once = "acknowledged, 1000 ms after transmission 1";
    assert_eq!(seen(&report), [at_once, at_once, "no answer", "no answer", "no answer"]);
    assert_eq!(report.failures(), 0, "{report:?}");
    let counters: Vec<_> = report.steps.iter().map(|step| step.counter).collect();
    assert_eq!(counters, [Some(0), Some(1), Some(2), None, None]);
    let junit = report.to_junit();
    assert!(junit.contains("<testsuite name=\"buttons\" tests=\"6\" failures=\"0\""), "{junit}");
    assert!(junit.contains("name=\"forwarder roof\""), "{junit}");
}

#[tokio::test]
async fn a_join_whose_accept_is_lost_is_made_again_and_its_replay_is_not_answered() {
    let join = step("joiner", "do = \"join\"\nlose_downlinks = 1");
    let text = [HEAD, JOINER, &join, &step("joiner", "do = \"replay_join\"")].concat();
    let report = play(Bug::None, &text).await;
    assert_eq!(seen(&report), ["joined, 5000 ms after transmission 2", "no answer"]);
    assert_eq!(report.failures(), 0, "{report:?}");
    let roof = &report.roofs[0];
    assert_eq!((roof.uplinks, roof.asked, roof.downlinks_lost), (3, 2, 1));
}

#[tokio::test]
async fn what_goes_wrong_in_a_step_is_made_good() {
    let text = [
        HEAD,
        GIVEN,
        &step("given", "do = \"confirmed\"\nlose_uplinks = 1"),
        &step("given", "do = \"confirmed\"\nlose_downlinks = 1"),
        &step("given", "do = \"confirmed\"\ntoo_late = 1"),
    ]
    .concat();
    let report = play(Bug::None, &text).await;
    assert_eq!(
        seen(&report),
        [
            "acknowledged, 1000 ms after transmission 2",
            "acknowledged, 1000 ms after transmission 2",
            "acknowledged, 2000 ms after transmission 1",
        ]
    );
    assert_eq!(report.failures(), 0, "{report:?}");
    let roof = &report.roofs[0];
    assert_eq!((roof.uplinks, roof.uplinks_lost), (5, 1));
    assert_eq!((roof.asked, roof.too_late, roof.downlinks_lost), (5, 1, 1));
}

/// Every bug of a network is seen, and told as what it is.
#[tokio::test]
async fn what_no_network_may_do_is_found() {
    let given = [HEAD, GIVEN, &presses()].concat();
    let joins = [
        HEAD,
        JOINER,
        &step("joiner", "do = \"join\"\nwithin_ms = 14000"),
        &step("joiner", "do = \"replay_join\""),
        &step("joiner", "do = \"join\"\nwithin_ms = 14000"),
    ]
    .concat();
    let cases = [
        (Bug::Late, &given, "3000000 us after a frame of given"),
        (Bug::Elsewhere, &given, "a downlink that nobody hears: "),
        (Bug::NotInverted, &given, "with CRC, IQ not inverted"),
        (Bug::CounterStands, &given, "FCntDown 0 after 0"),
        (Bug::AnswersReplays, &given, "answered after 1000 ms, which nobody may"),
        (Bug::AnswersForgeries, &given, "answered after 1000 ms, which nobody may"),
        (Bug::AcknowledgesAll, &given, "an acknowledgement of an unconfirmed frame"),
        (Bug::AcknowledgesNothing, &given, "does not acknowledge a confirmed frame"),
        (Bug::OtherKey, &given, "is not made with its keys"),
        (Bug::Twice, &given, "two answers to one frame of given"),
        (Bug::MovesWindows, &joins, "the join accept moves its windows"),
        (Bug::NonceStands, &joins, "the JoinNonce does not rise"),
        (Bug::AnswersOldJoins, &joins, "answered after 5000 ms, which nobody may"),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (bug, text, expected) in cases {
        let text = text.replace("[[device]]", "[[device]]\nattempts_max = 2");
        running.spawn(async move { (bug, expected, play(bug, &text).await) });
    }
    while let Some(played) = running.join_next().await {
        let (bug, expected, report) = played.expect("played");
        assert!(report.failures() > 0, "{bug:?} is not found: {report:?}");
        let junit = report.to_junit();
        let told = |line: &str| line.contains("<failure") && line.contains(expected);
        assert!(junit.lines().any(told), "{bug:?}: no {expected:?} in\n{junit}");
    }
}

#[tokio::test]
async fn counters_go_on_when_the_simulator_is_run_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let joins = [HEAD, JOINER, &step("joiner", "do = \"join\""), &press_of_joiner()].concat();
    let report = play_in(directory.path(), Bug::None, &joins).await;
    assert_eq!((report.failures(), report.steps[1].counter), (0, Some(0)), "{report:?}");
    let again = [HEAD, JOINER, &press_of_joiner(), &press_of_joiner()].concat();
    // The network has forgotten the session: nothing is acknowledged, and no counter comes again.
    let again = again.replace("within_ms = 9000", "within_ms = 100\nexpect = \"nothing\"");
    let report = play_in(directory.path(), Bug::None, &again).await;
    assert_eq!(report.failures(), 0, "{report:?}");
    let memory = std::fs::read_to_string(directory.path().join("joiner.memory")).expect("kept");
    assert!(memory.contains("\"dev_nonce\":1") && memory.contains("\"up\":3"), "{memory}");
}

fn press_of_joiner() -> String {
    step("joiner", "do = \"confirmed\"\nwithin_ms = 9000")
}

/// The same seed spoils the same transmissions.
#[tokio::test]
async fn losses_are_chance_that_a_seed_repeats() {
    let losses = "seed = 7\nuplinks_lost_percent = 30\ndownlinks_lost_percent = 20\n";
    let head = HEAD.replace("region", &format!("{losses}region"));
    let press = step("given", "do = \"confirmed\"");
    let text = [&head, GIVEN, &press, &press, &press, &press].concat();
    let other = text.replace("seed = 7", "seed = 8");
    let (one, two, other) =
        tokio::join!(play(Bug::None, &text), play(Bug::None, &text), play(Bug::None, &other));
    assert_eq!(one.failures() + two.failures() + other.failures(), 0, "{one:?}\n{two:?}");
    assert_eq!((seen(&one), &one.roofs), (seen(&two), &two.roofs));
    assert_ne!((seen(&one), &one.roofs), (seen(&other), &other.roofs));
    assert!(one.roofs[0].uplinks_lost + one.roofs[0].downlinks_lost > 0, "{one:?}");
}

#[tokio::test]
async fn the_tool_says_what_was_not_as_expected() {
    let directory = tempfile::tempdir().expect("a directory");
    let (network, server) = network(Bug::CounterStands);
    let text = [HEAD, GIVEN, &presses()].concat();
    let path = write_files(directory.path(), server, &text);
    let tool = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .arg("sim")
        .arg(path)
        .kill_on_drop(true)
        .output();
    let output = tokio::select! {
        output = timeout(PATIENCE, tool) => output.expect("in time").expect("the tool runs"),
        () = network => panic!("the network ended"),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for part in [
        "the gateway is there: it begins\n",
        "[  1/5] given        confirmed        acknowledged, 1000 ms after transmission 1: ok",
        "confirmed        FCntDown 0 after 0: FAILED",
        "forwarder roof: 4 transmissions, 0 lost; 2 downlinks asked for, ",
        "buttons: 5 steps, 2 failed, ",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains("4e4e"), "a key is shown");
}

#[tokio::test(start_paused = true)]
async fn that_nobody_answers_is_told_with_what_to_write() {
    let directory = tempfile::tempdir().expect("a directory");
    // Nobody else has this address, so nobody listens there.
    let server = SocketAddr::from((own_address(), 1_700));
    let path = write_files(directory.path(), server, &[HEAD, GIVEN, &presses()].concat());
    let scenario = Scenario::read(&path).expect("a scenario");
    let error = sim::run(scenario, |_| ()).await.expect_err("nobody is there").to_string();
    let expected = format!(
        "wire \"roof\": nobody answered at {server} within 60 s; give the gateway a [[link]] of \
         kind \"concentrator\" with listen = \"{server}\" and eui = \"aa555a0000000101\""
    );
    assert_eq!(error, expected);
}
