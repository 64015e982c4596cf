//! A fleet through a mosquitto that is killed meanwhile, with a tenth of its gateways cut
//! off for a while: 5 gateways with 4 pendants each, in the long mode 500 with 20.

use pendant_kit::fleet::{Pace, Progress, Report, Settings, run};
use std::time::Duration;

fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}

fn settings() -> Settings {
    let often = |seconds| Pace {
        heartbeat: Duration::from_secs(seconds),
        press: Duration::from_secs(seconds),
    };
    let short = Settings {
        gateways: 5,
        pendants: 4,
        pace: often(2),
        lasts: Duration::from_secs(6),
        idle: Duration::ZERO,
        disturbed: true,
        patience: Duration::from_secs(120),
        // What the broker forgot when it was killed is offered again the sooner.
        more: "[delivery]\nreceipt_wait_s = 5\nescalate_after_s = 5\n".to_owned(),
        broker: None,
        folder: None,
        seed: 8,
    };
    if !is_long() {
        return short;
    }
    Settings {
        gateways: 500,
        pendants: 20,
        pace: often(60),
        lasts: Duration::from_secs(240),
        idle: Duration::from_secs(120),
        patience: Duration::from_secs(600),
        more: String::new(),
        ..short
    }
}

#[tokio::test]
async fn a_killed_broker_and_cut_lines_cost_a_fleet_no_press_and_double_none() {
    let settings = settings();
    let (gateways, lines) = (settings.gateways, settings.gateways.div_ceil(10));
    let mut seen = Vec::new();
    let report = run(settings, |progress| match progress {
        Progress::Started(_) | Progress::Working(..) => {}
        other => seen.push(other),
    });
    let report: Report = report.await.expect("it can be run");
    println!("{report}\n{}", report.json());
    assert_eq!(report.verdict.faults, Vec::<String>::new());
    assert!(report.is_whole(), "{report}");
    let expected = [
        Progress::Connected,
        Progress::BrokerKilled,
        Progress::Cut(lines),
        Progress::Whole,
        Progress::Settling,
        Progress::Settled,
    ];
    assert_eq!(seen, expected);
    let least = if is_long() { 50_000 } else { 40 };
    assert!(report.acknowledged >= least, "{report}");
    // Each gateway's own start is an event as well.
    assert!(report.verdict.events >= report.acknowledged + u64::from(gateways), "{report}");
    assert!(report.calm.count > 0 && report.all.count > report.calm.count, "{report}");
    assert_eq!(report.idle.is_some(), is_long(), "{report}");
    let json = report.json();
    assert_eq!((&json["whole"], &json["gateways"]), (&true.into(), &gateways.into()), "{json}");
}
