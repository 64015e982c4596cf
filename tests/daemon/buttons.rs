//! LoRaWAN buttons, played by `pendant-kit sim` through a simulated packet forwarder: real
//! daemon, mosquitto, a centre that keeps books.

use crate::clerk::{Books, Clerk};
use crate::end_to_end::World;
use crate::ledger::Acknowledged;
use crate::load::is_long;
use crate::mosquitto::free_port;
use pendant_kit::sim::{self, Progress, Report, Scenario, StepReport};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const SCENARIO: &str = include_str!("../../kit/scenarios/lorawan.toml");

/// Where the scenario's forwarder calls.
const SERVER: &str = "127.0.0.1:1700";

/// A LoRaWAN pendant as it is enrolled.
struct Button {
    name: String,
    number: u32,
    /// What names it on the command line.
    named: [String; 2],
    keys: String,
}

impl Button {
    fn joining(name: &str, number: u32) -> Self {
        let dev_eui = format!("24e124abcdef{number:04x}");
        let keys = format!("{number:032x}\n");
        let named = ["--dev-eui".to_owned(), dev_eui];
        Self { name: name.to_owned(), number, named, keys }
    }

    fn given(name: &str, number: u32, dev_addr: &str) -> Self {
        let keys = format!("{number:032x}\n{:032x}\n", number + 1);
        let named = ["--dev-addr".to_owned(), dev_addr.to_owned()];
        Self { name: name.to_owned(), number, named, keys }
    }

    fn pendant(&self) -> String {
        format!("{:06x}", self.number)
    }
}

/// A site with these buttons, their keys' files, and a centre.
async fn world(buttons: &[Button]) -> (World, SocketAddr, Books, Clerk) {
    let mut world = World::new(None).await;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut lines = format!(
        "[lorawan]\nregion = \"US915\"\nsub_band = 2\n\
         [[link]]\nname = \"roof\"\nkind = \"concentrator\"\nlisten = \"{server}\"\n\
         eui = \"aa555a0000000101\"\nregion = \"US915\"\n"
    );
    for button in buttons {
        let number = button.pendant();
        write!(lines, "[[pendant]]\nnumber = \"{number}\"\ndevice = \"milesight-ws101\"\n")
            .expect("a String takes everything");
    }
    world.site.configure(&lines);
    for button in buttons {
        enrol(&world, button);
    }
    let books = Books::default();
    let clerk = books.listen(world.site.broker.port, &world.authority);
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    (world, server, books, clerk)
}

/// As the scenario's head says.
fn enrol(world: &World, button: &Button) {
    let file: PathBuf = world.site.path(&format!("{}.keys", button.name));
    fs::write(&file, &button.keys).expect("written");
    let mut command = world.site.command(&["enroll", "--pendant", &button.pendant()]);
    command.args(["--wearer", &button.name]).args(&button.named).args(["--keys-fd", "0"]);
    if button.named[0] == "--dev-eui" {
        command.args(["--nonces", "rising"]);
    }
    let output = command.stdin(File::open(file).expect("just written")).output();
    let output = output.expect("enroll runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The press behind an acknowledged step.
fn press(report: &StepReport, buttons: &[Button]) -> Option<Acknowledged> {
    let counter = report.counter.filter(|_| report.seen.starts_with("acknowledged"))?;
    let button = buttons.iter().find(|button| button.name == report.pendant)?;
    Some(Acknowledged {
        pendant: button.pendant(),
        counter: counter.into(),
        modulus: 1 << 16,
        kinds: &["panic"],
    })
}

fn told(report: &Report) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let StepReport { number, pendant, label, took, seen, failure, .. } = step;
        let failed = failure.as_deref().map_or(String::new(), |why| format!(" FAILED: {why}"));
        writeln!(text, "[{number:>3}] {pendant:<8} {label:<12} {took:>8.1?} {seen}{failed}")
            .expect("a String takes everything");
    }
    for roof in &report.roofs {
        writeln!(text, "{roof}\n{:?}", roof.failure()).expect("a String takes everything");
    }
    text
}

#[tokio::test]
async fn buttons_at_the_edge_are_heard_once_each_over_a_crash() {
    let buttons = [
        Button::joining("gate", 0x201),
        Button::joining("yard", 0x202),
        Button::given("van", 0x203, "26010203"),
    ];
    let (mut world, server, books, _clerk) = world(&buttons).await;
    let mut acknowledged = BTreeSet::new();
    let mut crashed = false;
    let report = sim::run(scenario(&world, server, SCENARIO), |progress| {
        let Progress::Ended(report) = progress else { return };
        let Some(press) = press(report, &buttons) else { return };
        assert!(acknowledged.insert(press), "one counter, two presses: {report:?}");
        if report.pendant == "gate" && !crashed {
            crashed = true;
            world.site.kill_9();
            world.site.spawn();
        }
    });
    let first = report.await.expect("it can be played");
    // The simulator's next run goes on in the same sessions.
    let (head, _) = SCENARIO.split_once("[[step]]").expect("it has steps");
    let again = buttons.iter().fold(head.to_owned(), |text, Button { name, .. }| {
        text + "[[step]]\npendant = \""
            + name
            + "\"\ndo = \"confirmed\"\npayload = \"017510ff2e01\"\n"
    });
    let second = sim::run(scenario(&world, server, &again), |_| ());
    let second = second.await.expect("it can be played");
    for report in &second.steps {
        let press = press(report, &buttons).expect("acknowledged");
        assert!(acknowledged.insert(press), "one counter, two presses: {report:?}");
    }
    let told = told(&first) + &told(&second);
    println!("{told}");
    let wrong = books.judge(&acknowledged).await;
    assert_eq!(wrong, Vec::<String>::new(), "log:\n{}", world.site.log());
    assert_eq!(first.failures() + second.failures(), 0, "{told}");
    assert!(crashed, "{told}");
    // What was repeated, replayed or forged is no further press.
    assert_eq!((acknowledged.len(), books.count_of("panic")), (11, 11), "{told}");
    let roof = &first.roofs[0];
    assert!(roof.uplinks_lost > 0 && roof.downlinks_lost > 0 && roof.too_late > 0, "{told}");
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(world.site.terminate().success());
}

/// A scenario whose forwarder calls this gateway.
fn scenario(world: &World, server: SocketAddr, text: &str) -> Scenario {
    let path = world.site.path("lorawan.toml");
    fs::write(&path, text.replace(SERVER, &server.to_string())).expect("written");
    Scenario::read(&path).expect("the scenario is right")
}

/// Buttons in use below one forwarder.
struct Crowd {
    buttons: u32,
    lasts: Duration,
    /// Each is pressed once in every such time.
    pressed_every: Duration,
}

/// In the ordinary run few, for a press each. A forwarder sends one frame at a time: six
/// presses a second are more than it can answer, and two are not.
fn crowd() -> Crowd {
    let seconds = Duration::from_secs;
    if is_long() {
        Crowd { buttons: 50, lasts: seconds(120), pressed_every: seconds(24) }
    } else {
        Crowd { buttons: 12, lasts: seconds(10), pressed_every: seconds(8) }
    }
}

/// A scenario in which all join within a fifth of the time, and are pressed to its end.
fn crowded(buttons: &[Button], crowd: &Crowd, server: SocketAddr) -> String {
    let Crowd { lasts, pressed_every, .. } = *crowd;
    let joins_within = lasts / 5;
    let presses = ((lasts - joins_within).as_millis() / pressed_every.as_millis()) as u32;
    let mut text = format!(
        "name = \"crowd\"\n[[wire]]\nname = \"roof\"\nkind = \"forwarder\"\nserver = \"{server}\"\n\
         eui = \"aa555a0000000101\"\nregion = \"US915\"\nsub_band = 2\nuplinks_lost_percent = 5\n\
         downlinks_lost_percent = 5\nseed = 11\n"
    );
    for Button { name, named: [_, dev_eui], .. } in buttons {
        write!(
            text,
            "[[device]]\nname = \"{name}\"\nwire = \"roof\"\ndev_eui = \"{dev_eui}\"\n\
             keys_file = \"{name}.keys\"\n\
             [[step]]\npendant = \"{name}\"\ndo = \"join\"\nover_ms = {}\nwithin_ms = 120000\n",
            joins_within.as_millis()
        )
        .expect("a String takes everything");
        for press in 0..presses {
            let at = joins_within + pressed_every * press;
            write!(
                text,
                "[[step]]\npendant = \"{name}\"\ndo = \"confirmed\"\npayload = \"017510ff2e01\"\n\
                 at_ms = {}\nover_ms = {}\nwithin_ms = 120000\n",
                at.as_millis(),
                pressed_every.as_millis()
            )
            .expect("a String takes everything");
        }
    }
    text
}

/// `LONG=1` has fifty buttons for two minutes.
#[tokio::test]
async fn a_crowd_below_one_forwarder_is_heard_to_the_last_press() {
    let crowd = crowd();
    let buttons: Vec<Button> = (1..=crowd.buttons)
        .map(|number| Button::joining(&format!("b{number}"), 0x300 + number))
        .collect();
    let (mut world, server, books, _clerk) = world(&buttons).await;
    let scenario = scenario(&world, server, &crowded(&buttons, &crowd, server));
    let mut acknowledged = BTreeSet::new();
    let report = sim::run(scenario, |progress| {
        let Progress::Ended(report) = progress else { return };
        let Some(press) = press(report, &buttons) else { return };
        assert!(acknowledged.insert(press), "one counter, two presses: {report:?}");
    });
    let report = report.await.expect("it can be played");
    let told = figures(&report);
    println!("{told}");
    let wrong = books.judge(&acknowledged).await;
    assert_eq!(wrong, Vec::<String>::new(), "log:\n{}", world.site.log());
    assert_eq!(report.failures(), 0, "{}\n{told}", self::told(&report));
    let presses = report.steps.iter().filter(|step| step.label == "confirmed").count();
    assert_eq!((acknowledged.len(), books.count_of("panic")), (presses, presses), "{told}");
    // A join whose accept was lost is granted again.
    assert!(books.count_of("joined") >= buttons.len(), "{told}");
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(world.site.terminate().success());
}

/// How long joins and presses took, and what the forwarder saw.
fn figures(report: &Report) -> String {
    let mut text = String::new();
    for label in ["join", "confirmed"] {
        let mut took: Vec<Duration> =
            report.steps.iter().filter(|step| step.label == label).map(|step| step.took).collect();
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        let (half, most, longest) = (at(50), at(90), at(100));
        writeln!(text, "{} {label}: p50 {half:.1?}, p90 {most:.1?}, max {longest:.1?}", took.len())
            .expect("a String takes everything");
    }
    for roof in &report.roofs {
        writeln!(text, "{roof}").expect("a String takes everything");
    }
    text
}
