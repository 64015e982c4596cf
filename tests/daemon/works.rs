//! A works of 200 pendants among walls, played by `pendant-kit sim` from the
//! example scenario: real daemon, mosquitto, the virtual radio over its socket.

use crate::clerk::Books;
use crate::end_to_end::World;
use crate::ledger::Acknowledged;
use crate::load::is_long;
use crate::pendant::{DURESS, SAFE};
use pendant_kit::sim::{self, Progress, Report, Scenario};
use pendant_kit::site::{Loss, Said};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const SCENARIO: &str = include_str!("../../kit/scenarios/works.toml");

/// The crews of the scenario, and how many pendants each has.
const CREWS: [(&str, u32); 4] = [("yard", 90), ("halls", 90), ("guards", 10), ("office", 10)];

/// The site's time in the ordinary run; the scenario's own is ten minutes.
const SHORT: Duration = Duration::from_secs(16);

#[tokio::test]
async fn two_hundred_pendants_in_one_air_and_each_acknowledged_press_arrives_once() {
    let mut world = World::new(None).await;
    let path = world.site.path("works.toml");
    fs::write(&path, SCENARIO).expect("written");
    enrol_all(&world);
    world.site.configure(&format!(
        "[[link]]\nname = \"air\"\nkind = \"virtual-radio\"\nsocket = \"{}\"\n\
         frequency_hz = 868300000\ndownlink_frequency_hz = 869525000\nspreading_factor = 7\n\
         bandwidth_hz = 250000\n",
        world.site.path("air").display()
    ));
    let books = Books::default();
    let _clerk = books.listen(world.site.broker.port, &world.authority);
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;

    let mut scenario = Scenario::read(&path).expect("the example is right");
    assert_eq!(scenario.pendants.len(), 200);
    if !is_long() {
        scenario.site.as_mut().expect("a site").lasts = SHORT;
    }
    let mut acknowledged = BTreeSet::new();
    let mut labels: BTreeMap<&str, u32> = BTreeMap::new();
    let report = sim::run(scenario, |progress| {
        if let Progress::Said(said @ Said { answered: true, .. }) = progress {
            *labels.entry(said.label).or_default() += 1;
            assert!(acknowledged.insert(press(said)), "one counter, two presses: {said:?}");
        }
    });
    let report = report.await.expect("it can be played");
    let wrong = books.judge(&acknowledged).await;
    println!("{}\n{labels:?} acknowledged, {:?}", told(&report), books.counts());
    assert_eq!(wrong, Vec::<String>::new(), "log:\n{}", world.site.log());
    check(&report, acknowledged.len());
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(world.site.terminate().success());
}

/// A file a pendant, as the scenario wants them.
fn enrol_all(world: &World) {
    let crews = CREWS.iter().flat_map(|(crew, count)| std::iter::repeat_n(*crew, *count as usize));
    let files: Vec<(String, PathBuf)> = (1..)
        .map(|number: u32| format!("{number:06x}"))
        .zip(crews)
        .map(|(pendant, crew)| {
            let folder = world.site.path("enrolments").join(crew);
            fs::create_dir_all(&folder).expect("a folder");
            let file = folder.join(format!("{pendant}.json"));
            (pendant, file)
        })
        .collect();
    let enrol = |(pendant, file): &(String, PathBuf)| {
        fs::write(file, world.site.enroll_as_json(pendant, SAFE, DURESS)).expect("written");
    };
    // The first makes the store's key; the others wait for disks and processors
    // together.
    let (first, others) = files.split_first().expect("200 of them");
    enrol(first);
    std::thread::scope(|scope| {
        for some in others.chunks(25) {
            scope.spawn(move || some.iter().for_each(enrol));
        }
    });
}

fn press(said: &Said) -> Acknowledged {
    let kinds: &[&str] = match said.label {
        "heartbeat" => &["heartbeat"],
        "test" => &["test"],
        "panic" => &["panic"],
        // Whoever was never answered before may not start a session yet.
        "session_start" => &["session_started", "late_request"],
        other => panic!("the scenario has no {other}"),
    };
    let (pendant, counter) = (format!("{:06x}", said.pendant.get()), said.counter.into());
    Acknowledged { pendant, counter, modulus: 1 << 32, kinds }
}

fn told(report: &Report) -> String {
    let air = report.air.as_ref().expect("a site has an air");
    let failed: Vec<_> = report.steps.iter().filter(|step| step.failure.is_some()).collect();
    format!("{air}\n{} steps in {:?}, failed: {failed:?}", report.steps.len(), report.took)
}

fn check(report: &Report, acknowledged: usize) {
    let told = told(report);
    assert_eq!(report.failures(), 0, "{told}");
    assert_eq!(report.steps.len(), 30);
    let account = &report.air.as_ref().expect("a site has an air").account;
    assert_eq!(account.answered, acknowledged as u64, "{told}");
    let lost: u64 = account.losses.values().sum();
    assert_eq!(account.transmissions, account.answered + lost, "{told}");
    // What the neighbour of the gateway's radio could hear, the radio heard and
    // the gateway answered, but for a few on a busy machine.
    let loss = |loss| account.losses.get(&loss).copied().unwrap_or(0);
    assert!(loss(Loss::NotAnswered) * 10 < account.transmissions, "{told}");
    assert!(loss(Loss::Collision) + loss(Loss::GatewayDeaf) > 0, "{told}");
    let junit = report.to_junit();
    for property in ["pendants\" value=\"200\"", "answered_permille", "lost_out_of_range"] {
        assert!(junit.contains(&format!("<property name=\"{property}")), "{junit}");
    }
    if is_long() {
        let reasons = [Loss::OutOfRange, Loss::Collision, Loss::Noise, Loss::GatewayDeaf];
        assert!(reasons.into_iter().all(|reason| loss(reason) > 0), "{told}");
        assert!(account.said > 500, "{told}");
    }
}
