//! A walk test: the real command at a terminal of its own, the real daemon, a pendant
//! that two receivers hear.

use crate::end_to_end::World;
use crate::pendant::*;
use crate::site::Site;
use crate::terminal::Terminal;
use pendant_hal::serial::envelope::{Envelope, Rx};
use pendant_kit::wire::Wire;
use serde_json::{Value, json};

const RECEIVERS: [&str; 2] = ["roof", "hall"];

/// A walk test under way.
struct Walk {
    world: World,
    pendant: Pendant,
    wires: Vec<Wire>,
    _bare: Wire,
}

impl Walk {
    async fn new() -> Self {
        let mut world = World::new(None).await;
        let link = |name: &str| {
            format!(
                "[[link]]\nname = \"{name}\"\nkind = \"serial\"\npath = \"{}\"\nbaud = 115200\n\
                 codec = \"cobs\"\nenvelope = true\n",
                world.site.path(name).display()
            )
        };
        world.site.configure(&RECEIVERS.map(link).concat());
        let port = |name: &str| Wire::pty(Some(&world.site.path(name))).expect("a terminal").0;
        let wires = RECEIVERS.iter().map(|name| port(name)).collect();
        let bare = world.site.wire();
        let pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
        world.site.start().await;
        let up =
            |s: &Value| s["links"].as_array().is_some_and(|l| l.iter().all(|l| l["up"] == true));
        world.site.until("all ports are up", up).await;
        Self { world, pendant, wires, _bare: bare }
    }

    fn site(&self) -> &Site {
        &self.world.site
    }

    /// The command at a terminal of this size; then what the terminal is like.
    fn at_terminal(&self, (columns, rows): (u32, u32), words: &str) -> Terminal {
        let file = self.site().path("walk.jsonl").display().to_string();
        Terminal::new(&format!(
            "stty cols {columns} rows {rows}; {:?} --config {:?} survey {}; code=$?; stty -a; exit $code",
            env!("CARGO_BIN_EXE_pendant-gateway"),
            self.site().path("gateway.toml"),
            words.replace("FILE", &file)
        ))
    }

    /// A frame of the pendant, as these receivers have it: name, RSSI, SNR. With none of
    /// them it is lost.
    async fn press(&mut self, heard: &[(&str, i16, i8)]) {
        let frame = self.pendant.say(HEARTBEAT).to_vec();
        for (name, rssi_dbm, snr_db) in heard {
            let place = RECEIVERS.iter().position(|receiver| receiver == name).expect("known");
            let (rssi_dbm, snr_quarter_db) = (*rssi_dbm, snr_db * 4);
            let rx = Rx { age_us: 0, rssi_dbm, snr_quarter_db, frame: frame.clone() };
            self.wires[place].send(&Envelope::Rx(rx).to_bytes()).await.expect("the wire holds");
        }
    }

    /// What the report has of each place.
    fn places(&self) -> Value {
        let file = self.site().path("walk.jsonl").display().to_string();
        let report = self.site().command(&["survey", "report", &file, "--json"]).output();
        let report = report.expect("it runs");
        assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
        serde_json::from_slice(&report.stdout).expect("JSON")
    }
}

#[tokio::test]
async fn places_are_marked_as_one_walks_and_the_report_tells_them_apart() {
    let mut walk = Walk::new().await;
    // Heard before the walk: of no place.
    walk.press(&[("roof", -60, 10)]).await;
    let mut terminal =
        walk.at_terminal((80, 24), "--pendant 00012f --spreading-factor 9 --out FILE");
    terminal.wait_for("00012f ");
    terminal.types("lobby\r");
    terminal.wait_for("> lobby");
    for _ in 0..3 {
        walk.press(&[("roof", -80, 9), ("hall", -118, -8)]).await;
    }
    terminal.wait_for("good         3 heard   0 lost   >21.5 dB");
    terminal.types("celler\x7f\x7far stairs\r");
    terminal.wait_for("> cellar stairs");
    walk.press(&[("hall", -117, -5)]).await;
    walk.press(&[]).await;
    walk.press(&[("hall", -118, -6)]).await;
    walk.press(&[("hall", -118, -4)]).await;
    terminal.wait_for("weak         3 heard   1 lost     7.5 dB");
    terminal.types("boiler room\r");
    terminal.wait_for("> boiler room");
    terminal.types("q\r");
    terminal.wait_for("Tested by: ");
    terminal.types("M. Okafor\r");
    let (rest, well) = terminal.ends();
    assert!(well, "{rest}");
    assert!(rest.contains("\u{1b}[?1049l"), "the first screen is back: {rest:?}");
    assert!(rest.contains(" icanon") && rest.contains(" echo "), "and its modes: {rest}");
    assert!(rest.contains("not heard  00012f  boiler room"), "{rest}");

    let report = walk.places();
    assert_eq!((&report["by"], &report["missed_receptions"]), (&json!("M. Okafor"), &json!(0)));
    let figures = |place: &Value| {
        let signal = &place["signal"];
        json!([
            place["place"],
            place["verdict"],
            place["heard"],
            place["lost"],
            signal["rssi_median_dbm"],
            signal["snr_min_db"],
            signal["margin_db"],
            signal["margins_db"]["sf12"],
            place["receivers"][0]["link"],
        ])
    };
    let places: Vec<Value> =
        report["places"].as_array().expect("a list").iter().map(figures).collect();
    assert_eq!(
        places,
        [
            json!(["lobby", "good", 3, 0, -80.0, 9.0, 21.5, 29.0, "roof"]),
            json!(["cellar stairs", "weak", 3, 1, -118.0, -6.0, 7.5, 15.0, "hall"]),
            json!(["boiler room", "not_heard", 0, 0, null, null, null, null, null]),
        ]
    );
    let html = std::fs::read_to_string(walk.site().path("walk.html")).expect("the report");
    for words in ["cellar stairs", "M. Okafor", "ward-3", "<svg"] {
        assert!(html.contains(words), "{words}\n{html}");
    }
}

#[tokio::test]
async fn a_session_that_is_cut_off_loses_nothing_and_goes_on() {
    let mut walk = Walk::new().await;
    let mut terminal = walk.at_terminal((40, 30), "--by nurse-7 --spreading-factor 9 --out FILE");
    terminal.wait_for("Place: ");
    terminal.types("lobby\r");
    terminal.wait_for("> lobby");
    walk.press(&[("roof", -80, 9)]).await;
    terminal.wait_for("1 heard 0 lost, >21.5 dB");
    // The line is cut: everything at the terminal is hung up.
    drop(terminal);
    walk.press(&[("roof", -82, 9)]).await;
    walk.press(&[("roof", -84, 9)]).await;
    let mut terminal = walk.at_terminal((40, 30), "--resume FILE");
    terminal.wait_for("3 heard 0 lost, >21.5 dB");
    terminal.types("half a lab\x03");
    let (rest, well) = terminal.ends();
    assert!(well && rest.contains(" icanon") && rest.contains("good"), "{rest}");
    let report = walk.places();
    assert_eq!((&report["by"], &report["places"][0]["heard"]), (&json!("nurse-7"), &json!(3)));
    assert_eq!(report["places"][0]["signal"]["rssi_min_dbm"], -84.0);
    assert_eq!(report["missed_receptions"], 0);

    let mut terminal = walk.at_terminal((80, 24), "--out FILE");
    let (said, well) = terminal.ends();
    assert!(!well && said.contains("go on with it by --resume"), "{said}");
}
