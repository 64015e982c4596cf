//! The page, without a terminal.

use super::*;
use crate::centre::Since;
use serde_json::json;

const T0: UnixMs = 1_767_323_045_000;

fn hear(desk: &mut Desk, gateway: &str, kind: &str, number: u64) -> Vec<Told> {
    let payload = json!({
        "specversion": "1.0", "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
        "source": format!("/lonework/s/{gateway}"), "type": format!("lonework.v1.{kind}"),
        "data": { "lane": "urgent", "kind": kind, "covert": false, "boot": "00000000000000ff",
            "number": number, "pendant": format!("{number:06x}"), "counter": number,
            "wearer": "\u{1b}[2Jalice", "link": "lora" },
    });
    let topic = format!("lonework/v1/s/{gateway}/event/urgent");
    desk.hear(T0, &topic, payload.to_string().as_bytes(), false).told
}

fn screen() -> Screen {
    Screen::on(Box::new(io::sink()), || (80, 24), "nora")
}

#[test]
fn one_gateway_with_many_incidents_hides_no_other_s_and_commands_no_terminal() {
    let (mut desk, mut screen) = (Desk::new(Since::Start), screen());
    for number in 1..300 {
        for told in hear(&mut desk, "rogue", "duress", number) {
            screen.tell(&told, &desk, T0);
        }
    }
    for told in hear(&mut desk, "g", "overdue", 301) {
        screen.tell(&told, &desk, T0);
    }
    let (page, _) = screen.page(&desk, T0);
    assert_eq!(page.len(), 24);
    assert!(page.iter().all(|line| line.chars().count() <= 80 && !line.contains('\u{1b}')));
    let text = page.join("\n");
    assert!(text.contains("OVERDUE - ?[2Jalice (00012d), s/g"), "{text}");
    assert!(text.contains("and 252 more of s/rogue"), "{text}");
}

#[test]
fn what_is_shown_the_first_time_counts_as_displayed() {
    let (mut desk, mut screen) = (Desk::new(Since::Start), screen());
    for told in hear(&mut desk, "g", "panic", 1) {
        screen.tell(&told, &desk, T0);
    }
    assert_eq!(screen.flush(&desk, T0).expect("drawn"), [1]);
    // Drawn a moment ago.
    screen.is_changed = true;
    assert_eq!(screen.flush(&desk, T0 + 1).expect("not drawn"), [0_u64; 0]);
    let stage = crate::watch::Stage {
        step: crate::watch::Step::Displayed,
        operator: "nora".into(),
        at_ms: T0,
        note: None,
    };
    desk.stage(1, stage);
    screen.is_changed = true;
    assert_eq!(screen.flush(&desk, T0 + 60).expect("drawn"), [0_u64; 0]);
}

#[test]
fn what_is_typed_is_meant_for_the_incident_that_was_selected() {
    let (mut desk, mut screen) = (Desk::new(Since::Start), screen());
    hear(&mut desk, "g", "overdue", 1);
    screen.page(&desk, T0);
    let selected = |screen: &Screen| lock(&screen.edit).number;
    assert_eq!(selected(&screen), Some(1));
    // Graver ones come above it while an operator types `closed`: and push it off the page.
    for number in 2..12 {
        hear(&mut desk, &format!("h{number}"), "panic", number);
        screen.page(&desk, T0);
        assert_eq!(selected(&screen), Some(1), "{number}");
    }
    let close = |desk: &mut Desk, number: u64| {
        let step = crate::watch::Step::Closed;
        let stage = crate::watch::Stage { step, operator: "nora".into(), at_ms: T0, note: None };
        assert!(desk.stage(number, stage));
    };
    (2..12).for_each(|number| close(&mut desk, number));
    // Keys go from where it stands now.
    hear(&mut desk, "h2", "panic", 12);
    screen.page(&desk, T0);
    lock(&screen.edit).selected -= 1;
    screen.page(&desk, T0);
    assert_eq!(selected(&screen), Some(12), "the panic above it");
    // One that is over is selected no more.
    close(&mut desk, 12);
    screen.page(&desk, T0);
    assert_eq!(selected(&screen), Some(1));
    close(&mut desk, 1);
    screen.page(&desk, T0);
    assert_eq!(selected(&screen), None);
}

#[test]
fn keys_become_lines() {
    let (mut keys, mut edit) = (Keys::default(), Edit { number: Some(7), ..Edit::default() });
    let mut typed = |text: &str| -> Vec<String> {
        text.bytes().filter_map(|byte| keys.take(byte, &mut edit)).collect()
    };
    assert_eq!(typed("accepted\r"), ["accepted 7 "]);
    assert_eq!(typed("closed 3 gut\u{7f}\u{7f}\u{7f}ok ä\r"), ["closed 3 ok ä"]);
    assert_eq!(typed("nonsense\u{15}show\r"), ["show 7 "]);
    assert_eq!(typed("\u{1b}[B\u{1b}[B\u{1b}[A\u{1}help\r"), ["help"]);
    assert_eq!(typed("\u{3}"), ["quit"]);
    assert_eq!(edit.selected, 1);
}
