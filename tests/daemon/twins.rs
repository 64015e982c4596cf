//! P5 on the real daemon: one history is lived through twice, and everything
//! that leaves a mark on site is compared: TLS records in both directions, system
//! calls on files and on the serial port, log lines, what `status`, `survey`,
//! `pendants`, `queue` and `support` say, what the page and metrics show, and what the
//! pendant shows.
//!
//! Sizes, places and order are compared exactly, times with [`SLACK`]: the
//! machine's own jitter. The engine's times are compared to the microsecond
//! in `tests/promises/p5_non_interference.rs`.

use crate::browser::Browser;
use crate::end_to_end::{World, next_of};
use crate::mosquitto::free_port;
use crate::pendant::*;
use crate::site::{SOON, hear};
use crate::tap::{Record, Tap};
use pendant_kit::centre::Centre;
use pendant_kit::wire::Wire;
use pendant_protocol::{Body, DownlinkMessage, FrameBytes};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// How far the same thing may lie apart in two lives: strace and a busy machine.
const SLACK: Duration = Duration::from_secs(1);
/// A fresh frame costs four records: the event, the broker's word, the centre's
/// receipt, our word.
const RECORDS_A_FRAME: usize = 4;
const WATCHED: &str = "trace=write,writev,pwrite64,fdatasync,fsync,openat,ftruncate,fallocate";

#[derive(Clone, Copy)]
enum Step {
    Say(Body),
    /// What the two lives differ in.
    Twin,
    /// The last frame again.
    Repeat,
}

/// A system call: its name, the kind of file, and all sizes and places in it.
type Call = (String, &'static str, String);

/// A life, as it can be seen on site. Times count from the frame before.
#[derive(Default)]
struct Life {
    records: Vec<(Duration, Record)>,
    shown: Vec<(Duration, DownlinkMessage)>,
    /// What commands, page and metrics say.
    said: Vec<Value>,
    log: Vec<String>,
    calls: Vec<Call>,
}

struct Player {
    world: World,
    centre: Centre,
    wire: Wire,
    pendant: Pendant,
    last: FrameBytes,
    tap: Tap,
    page: Browser,
    metrics: Browser,
    life: Life,
    /// Events that waited in the journal when the life began.
    waiting: u64,
}

impl Player {
    /// A site under watch, in which nothing happens by the clock: pings and
    /// releases would fall anywhere in the history.
    async fn watched() -> Self {
        let mut world = World::new(None).await;
        // The tap is at the gateway's end of the network. Without a centre that has
        // subscribed, the broker would refuse what the start tells.
        let centre = world.centre();
        let broker = world.mosquitto.as_mut().expect("it runs");
        broker.logged("Sending SUBACK to centre").await;
        let tap = Tap::start(world.site.broker.port);
        world.site.broker.port = tap.port;
        let (page, metrics) = (Browser::new(free_port()), Browser::new(free_port()));
        world.site.configure(&format!(
            "[page]\nlisten = \"127.0.0.1:{}\"\n[metrics]\nlisten = \"127.0.0.1:{}\"\n",
            page.port, metrics.port
        ));
        let path = world.site.path("gateway.toml");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        let calm = text
            .replace("keep_alive_s = 5", "keep_alive_s = 3600")
            .replace("release_interval_s = 5", "release_interval_s = 3600");
        std::fs::write(&path, calm).expect("the configuration");
        let trace = world.site.path("trace").display().to_string();
        let words = ["strace", "-f", "-y", "-s", "0", "-e", WATCHED, "-o", &trace];
        world.site.wrapper = words.map(str::to_owned).to_vec();
        let wire = world.site.wire();
        let pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
        let last = FrameBytes::default();
        let life = Life::default();
        Self { world, centre, wire, pendant, last, tap, page, metrics, life, waiting: 0 }
    }

    async fn play(mut self, steps: &[Step], twin: Body) -> Life {
        self.world.site.start().await;
        self.world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
        next_of(&mut self.centre, "gateway_started").await;
        // Its answer comes a second later: by then all that a start causes is over.
        self.say(HEARTBEAT).await;
        self.life = Life::default();
        self.waiting = self.ask(&["queue", "list"])["waiting"].as_u64().expect("a number");
        let (log, calls) = (self.log().len(), self.calls().len());
        for step in steps {
            match step {
                Step::Say(body) => self.say(*body).await,
                Step::Twin => self.say(twin).await,
                Step::Repeat => self.hear(0).await,
            }
        }
        self.life.log = self.log().split_off(log);
        self.life.calls = self.calls().split_off(calls);
        self.life.said.push(self.report());
        self.life
    }

    async fn say(&mut self, body: Body) {
        self.last = self.pendant.say(body);
        self.hear(RECORDS_A_FRAME).await;
    }

    /// The last frame is heard; waits until all that follows from it is over.
    async fn hear(&mut self, records: usize) {
        let before = self.tap.records().len();
        let sent = self.wire.send(&self.last).await.expect("the wire holds");
        let (answer, at) = hear(&mut self.wire).await;
        let message = self.pendant.hear(&answer, self.pendant.counter).expect("genuine");
        self.life.shown.push((at - sent, message));
        let give_up = Instant::now() + SOON;
        while self.tap.records().len() < before + records {
            assert!(Instant::now() < give_up, "no receipt:\n{}", self.world.site.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let new = self.tap.records().split_off(before);
        self.life.records.extend(new.into_iter().map(|(at, record)| (at - sent, record)));
        let said = [self.said(), self.shown().await];
        self.life.said.extend(said);
    }

    /// What a command prints for programs.
    fn ask(&self, words: &[&str]) -> Value {
        let output = self.world.site.command(words).arg("--json").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What somebody on site is told who asks by every command.
    fn said(&self) -> Value {
        let mut survey = self.ask(&["survey"]);
        for row in survey["rows"].as_array_mut().expect("rows") {
            row["last_heard_s"].take();
        }
        for reception in survey["recent"].as_array_mut().expect("receptions") {
            reception["age_ms"].take();
        }
        survey["boot"].take();
        let mut pendants = self.ask(&["pendants"]);
        // Made at random by each life's enrolment.
        pendants["pendants"][0]["enrolment"].take();
        let queue = self.ask(&["queue", "list"]);
        // Its other figures grow by the clock: a tick a minute, and reserved files.
        let waiting = queue["waiting"].as_u64().map(|now| now - self.waiting);
        let queue = json!([waiting, queue["damaged_frames"], queue["lost"]]);
        json!({ "status": self.status(), "survey": survey, "pendants": pendants, "queue": queue })
    }

    /// The status but for what no two runs share.
    fn status(&self) -> Value {
        let mut status = self.world.site.status().expect("it answers");
        // What the gateway has to say of itself (that nobody subscribes yet) joins the
        // backlog when the broker happens to answer; the engine's twins compare it exactly.
        for chance in ["boot", "uptime_s", "clock", "backlog"] {
            status[chance].take();
        }
        // Each life has a certificate of its own, made at its start.
        status["brokers"][0]["certificate_ends_unix_s"].take();
        // Ports are each life's own.
        status["served"].take();
        status
    }

    /// What a browser and a collector are shown. The page takes a look a second at
    /// most, and every step lasts longer.
    async fn shown(&self) -> Value {
        let mut shown = Vec::new();
        for path in ["/", "/walk", "/walk/00012f"] {
            let answer = self.page.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            shown.push(without_chance(&answer.body));
        }
        assert!(shown.iter().skip(1).all(|page| page.contains("00012f")), "{shown:?}");
        let metrics = self.metrics.get("/metrics").await.body;
        assert!(metrics.contains("pendant_gateway_frames_heard_total"), "{metrics}");
        let chance = ["uptime", "clock", "waiting", "broker_certificate_end"];
        let is_same_in_all = |line: &&str| !chance.iter().any(|word| line.contains(word));
        let metrics: Vec<&str> = metrics.lines().filter(is_same_in_all).collect();
        json!({ "page": shown, "metrics": metrics })
    }

    /// What the report for support says of the gateway. Its numbers are those of the
    /// other commands; what it says of files and of the machine differs by chance.
    fn report(&self) -> Value {
        let output = self.world.site.command(&["support", "--out", "-"]).output();
        let text = String::from_utf8(output.expect("it runs").stdout).expect("text");
        let own = |part: &&str| {
            ["Status", "All of", "How", "Configuration"].iter().any(|title| part.starts_with(title))
        };
        let by_chance = |line: &str| {
            [
                "waiting",
                "running",
                "backlog",
                "uptime",
                "boot",
                "clock",
                "  source",
                "  uncertainty",
            ]
            .iter()
            .any(|word| line.starts_with(word))
        };
        let authority = self.world.authority.file();
        let folders = [Some(self.world.site.folder.path()), authority.parent()];
        let line = |line: &str| {
            let at_home = |line: String, folder: &std::path::Path| {
                line.replace(&folder.display().to_string(), "DIR")
            };
            let line = folders.into_iter().flatten().fold(line.to_owned(), at_home);
            let line = line.replace(|c: char| c.is_ascii_digit(), "#");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let parts: Vec<&str> = text.split("\n== ").filter(own).collect();
        assert_eq!(parts.len(), 4, "{text}");
        let lines = parts.into_iter().flat_map(str::lines).filter(|line| !by_chance(line));
        json!(lines.map(line).collect::<Vec<_>>())
    }

    /// The log's lines without their times.
    fn log(&self) -> Vec<String> {
        let text = self.world.site.log();
        text.lines().map(|line| line.split_once(' ').map_or("", |(_, said)| said).into()).collect()
    }

    fn calls(&self) -> Vec<Call> {
        let trace = std::fs::read_to_string(self.world.site.path("trace")).expect("the trace");
        trace.lines().filter_map(call).collect()
    }
}

/// Reads a line such as `7 pwrite64(9</s/journal/00000000.seg>, ""..., 512, 1024) = 512`.
/// Sockets are the tap's; the history (sled) is written by the clock, and
/// holds no more than who was heard when.
fn call(line: &str) -> Option<Call> {
    let (_, line) = line.split_once(' ')?;
    let (name, rest) = line.trim_start().split_once('(')?;
    let (path, sizes) = match name {
        "openat" => (rest.split('"').nth(1).unwrap_or(rest), ""),
        _ => rest.split_once('<')?.1.split_once('>')?,
    };
    let class = match path {
        _ if path.ends_with(".seg") => "journal",
        _ if path.starts_with("/dev/pts/") || path.ends_with("/port") => "serial",
        _ if path.ends_with("/log") => "log",
        _ if !path.starts_with('/') || path.contains("/store/history") => return None,
        _ => "other file",
    };
    // A call that was interrupted by another thread's line ends later.
    let sizes = sizes.split(")").next()?.replace(" <unfinished ...>", "");
    Some((name.into(), class, sizes))
}

/// A page but for its nonce, what it marks as volatile, and plots: the history behind
/// them is written by the clock.
fn without_chance(page: &str) -> String {
    const NOTHING: &str = "<p class=\"soft\">Nothing was heard in this time.</p>";
    let mut page = page.replace(NOTHING, "");
    for (begin, end) in [("<span class=\"v\">", "</span>"), ("<svg", "</svg>"), (" nonce=\"", "\"")]
    {
        while let Some(from) = page.find(begin) {
            let behind = from + begin.len();
            let length = page[behind..].find(end).expect("it is closed");
            page.replace_range(from..behind + length + end.len(), "");
        }
    }
    page
}

/// In what two lives differ, and how.
type Difference = (&'static str, String);

fn differ<T: PartialEq + Debug>(
    what: &'static str,
    plain: &[T],
    covert: &[T],
) -> Option<Difference> {
    let mut all = 0..plain.len().max(covert.len());
    let n = all.find(|n| plain.get(*n) != covert.get(*n))?;
    Some((what, format!("number {n}: {:?} and {:?}", plain.get(n), covert.get(n))))
}

fn difference(plain: &Life, covert: &Life) -> Option<Difference> {
    let records = |life: &Life| life.records.iter().map(|(_, record)| *record).collect::<Vec<_>>();
    let shown = |life: &Life| life.shown.iter().map(|(_, message)| *message).collect::<Vec<_>>();
    // Threads of their own write each kind of file: their order among each other is chance.
    let calls = |class: &str| {
        let of = |life: &Life| {
            life.calls.iter().filter(|(_, c, _)| *c == class).cloned().collect::<Vec<_>>()
        };
        differ("system calls", &of(plain), &of(covert))
    };
    let times = |life: &Life| {
        let records = life.records.iter().map(|(at, _)| *at);
        records.chain(life.shown.iter().map(|(at, _)| *at)).collect::<Vec<_>>()
    };
    let late = || {
        let pairs = times(plain).into_iter().zip(times(covert));
        let far = pairs.into_iter().find(|(a, b)| a.abs_diff(*b) >= SLACK)?;
        Some(("times", format!("{far:?}")))
    };
    differ("TLS records", &records(plain), &records(covert))
        .or_else(|| differ("what the pendant shows", &shown(plain), &shown(covert)))
        .or_else(|| differ("log lines", &plain.log, &covert.log))
        .or_else(|| ["journal", "serial", "log", "other file"].into_iter().find_map(calls))
        .or_else(|| differ("what commands say", &plain.said, &covert.said))
        .or_else(late)
}

/// Lives both lives on one day (UTC): what is said of a certificate counts days.
async fn lives(steps: &[Step], plain: Body, covert: Body) -> (Life, Life) {
    const DAY_S: u64 = 24 * 60 * 60;
    let today = || UNIX_EPOCH.elapsed().expect("after 1970").as_secs() / DAY_S;
    loop {
        let day = today();
        let lives = (
            Player::watched().await.play(steps, plain).await,
            Player::watched().await.play(steps, covert).await,
        );
        if today() == day {
            return lives;
        }
    }
}

/// Lives both lives, and shows that there was something to compare.
async fn assert_twins(steps: &[Step], plain: Body, covert: Body) {
    let (plain, covert) = lives(steps, plain, covert).await;
    assert_eq!(difference(&plain, &covert), None);
    let fresh = steps.iter().filter(|step| !matches!(step, Step::Repeat)).count();
    assert_eq!(plain.records.len(), fresh * RECORDS_A_FRAME);
    let count = |class| plain.calls.iter().filter(|(_, c, _)| *c == class).count();
    assert_eq!(count("journal"), 2 * fresh, "a write and a sync a frame");
    assert_eq!(count("serial"), steps.len());
    assert_eq!(plain.log.len(), steps.len());
}

#[tokio::test]
async fn nothing_that_leaves_the_daemon_tells_which_pin_it_was() {
    let steps = [
        Step::Say(start(30)),
        Step::Say(pin(WRONG)),
        Step::Twin,
        Step::Repeat,
        Step::Say(HEARTBEAT),
        Step::Say(start(15)),
        Step::Twin,
        Step::Say(PANIC),
    ];
    assert_twins(&steps, pin(SAFE), pin(DURESS)).await;
}

#[tokio::test]
async fn nothing_that_leaves_the_daemon_tells_a_discreet_panic_from_a_heartbeat() {
    let steps = [
        Step::Twin,
        Step::Say(HEARTBEAT),
        Step::Say(start(30)),
        Step::Twin,
        Step::Repeat,
        Step::Say(HEARTBEAT),
    ];
    assert_twins(&steps, HEARTBEAT, DISCREET).await;
}

/// Leaks that are planted in this build alone, each where it must be seen.
#[cfg(feature = "leaks")]
#[tokio::test]
async fn planted_leaks_of_the_real_daemon_are_caught() {
    let steps = [Step::Say(start(30)), Step::Twin, Step::Repeat, Step::Say(HEARTBEAT)];
    let plain = Player::watched().await.play(&steps, pin(SAFE)).await;
    for (leak, seen) in [
        ("Notice", "log lines"),
        ("PayloadByte", "TLS records"),
        ("Commit", "system calls"),
        ("Lamp", "what commands say"),
    ] {
        let mut player = Player::watched().await;
        player.world.site.environment.push(("PENDANT_GATEWAY_LEAK".into(), leak.into()));
        let covert = player.play(&steps, pin(DURESS)).await;
        let found = difference(&plain, &covert);
        println!("{leak}: {found:?}");
        assert_eq!(found.map(|(what, _)| what), Some(seen), "{leak}");
    }
}

#[test]
fn a_line_of_strace_is_read() {
    let read = |line: &str| call(line).map(|(name, class, sizes)| format!("{name} {class}{sizes}"));
    let journal = "7 pwrite64(9</s/journal/00000000.seg>, \"\"..., 512, 1024";
    for end in [") = 512", " <unfinished ...>"] {
        let read = read(&format!("{journal}{end}"));
        assert_eq!(read.as_deref(), Some("pwrite64 journal, \"\"..., 512, 1024"));
    }
    assert_eq!(
        read("7 fdatasync(9</s/journal/00000000.seg>) = 0").as_deref(),
        Some("fdatasync journal")
    );
    assert_eq!(read("7 write(5<socket:[71]>, \"\"..., 9) = 9"), None);
    assert_eq!(read("7 <... fdatasync resumed>) = 0"), None);
}
