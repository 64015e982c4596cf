//! Holds `docs/behaviour.md` to the code: its tables are read, and every state
//! with every message must give what exactly one row of them says.

use super::actual::{self, Shown};
use super::{Moment, answer, apparent, request, timers};
use crate::engine::age::Age;
use crate::engine::event::{Detail, Kind};
use crate::engine::keyring::EnrolmentId;
use crate::engine::pendant::{Actual, Apparent, PendantState, PreAlarm, Session, Supervision};
use crate::engine::pin::Entered;
use crate::engine::policy::Policy;
use crate::engine::said::Saying;
use crate::engine::time::{Mono, Now, Wall, WallSource};
use pendant_protocol::{Instruction, Outcome, PendantId};
use std::collections::BTreeSet;

const TEXT: &str = include_str!("../../../docs/behaviour.md");
const STATES: [&str; 5] = ["idle", "session", "overdue", "alert", "pre_alarm"];
const COVERTS: [&str; 3] = ["no", "tracked", "open"];
const ENROLMENT: EnrolmentId = 7;
const COUNTER: u32 = 9;
const MINUTES: u16 = 30;
const HOUR_MS: u64 = 3_600_000;

/// The rows of the first table under a heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let section = TEXT.split_once(&format!("\n### {heading}\n")).expect("the heading").1;
    let rows: Vec<Vec<&str>> = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .skip(2)
        .collect();
    assert!(rows.len() > 3, "{heading} has rows");
    rows
}

/// Whether a cell (`any`, a name, or names with commas) means this.
fn means(cell: &str, name: &str) -> bool {
    cell == "any" || cell.split(", ").any(|one| one == name)
}

/// The row that alone fits; `used` takes note of it.
fn only<'t>(
    rows: &'t [Vec<&'static str>],
    used: &mut BTreeSet<usize>,
    fits: impl Fn(&[&str]) -> bool,
    what: &str,
) -> &'t [&'static str] {
    let found: Vec<usize> = (0..rows.len()).filter(|row| fits(&rows[*row])).collect();
    assert_eq!(found.len(), 1, "one row for {what}");
    used.insert(found[0]);
    &rows[found[0]]
}

struct Case {
    site: &'static str,
    centre: &'static str,
    saying: Saying,
    policy: Policy,
    wrong_before: u8,
}

impl Case {
    fn of(name: &'static str, saying: Saying) -> Self {
        let policy = Policy::default();
        Self { site: name, centre: name, saying, policy, wrong_before: 0 }
    }

    fn pin(site: &'static str, centre: &'static str, entered: Entered, wrong_before: u8) -> Self {
        Self { centre, wrong_before, ..Self::of(site, Saying::Pin(entered)) }
    }
}

/// The name in the tables. A new kind of message does not compile without one.
fn name(saying: Saying) -> &'static str {
    match saying {
        Saying::Heartbeat => "Heartbeat",
        Saying::SessionStart { minutes: 0 } => "SessionStart 0",
        Saying::SessionStart { .. } => "SessionStart",
        Saying::SessionExtend { minutes: 0 } => "SessionExtend 0",
        Saying::SessionExtend { .. } => "SessionExtend",
        Saying::CheckIn => "CheckIn",
        Saying::Pin(_) => "Pin",
        Saying::DiscreetPanic => "DiscreetPanic",
        Saying::Panic => "Panic",
        Saying::ManDown => "ManDown",
        Saying::Fall => "Fall",
        Saying::Tamper => "Tamper",
        Saying::TamperRestored => "TamperRestored",
        Saying::CancelAlert => "CancelAlert",
        Saying::Test => "Test",
        Saying::LowBattery => "LowBattery",
        Saying::BatteryRestored => "BatteryRestored",
        Saying::Unknown => "Unknown",
    }
}

fn cases() -> Vec<Case> {
    let sayings = [
        Saying::Heartbeat,
        Saying::SessionStart { minutes: MINUTES },
        Saying::SessionStart { minutes: 0 },
        Saying::SessionExtend { minutes: MINUTES },
        Saying::SessionExtend { minutes: 0 },
        Saying::CheckIn,
        Saying::DiscreetPanic,
        Saying::Panic,
        Saying::ManDown,
        Saying::Fall,
        Saying::Tamper,
        Saying::TamperRestored,
        Saying::CancelAlert,
        Saying::Test,
        Saying::LowBattery,
        Saying::BatteryRestored,
        Saying::Unknown,
    ];
    let hidden = Policy { panic_is_covert: true, ..Policy::default() };
    let at_once = Policy { pre_alarm_ms: 0, ..Policy::default() };
    let mut cases: Vec<Case> = sayings.map(|saying| Case::of(name(saying), saying)).into();
    cases.extend([
        Case { policy: hidden, ..Case::of("Panic hidden", Saying::Panic) },
        Case { policy: at_once.clone(), ..Case::of("ManDown at once", Saying::ManDown) },
        Case { policy: at_once, ..Case::of("Fall at once", Saying::Fall) },
        Case::pin("Pin accepted", "Pin safe", Entered::Safe, 0),
        Case::pin("Pin accepted", "Pin duress", Entered::Duress, 0),
        Case::pin("Pin wrong", "Pin wrong", Entered::Wrong, 0),
        Case::pin("Pin wrong", "Pin wrong", Entered::Wrong, 1),
        Case::pin("Pin wrong", "Pin wrong 3rd", Entered::Wrong, 2),
        Case::pin("Pin wrong", "Pin wrong 3rd", Entered::Wrong, 3),
    ]);
    cases
}

fn moment() -> Moment {
    let now = Now { mono: Mono::from_us(HOUR_MS * 1000), wall: Wall::Unset };
    Moment { now, age: Age::default().plus_ms(HOUR_MS) }
}

/// A session that falls due at an age.
fn session(due_ms: u64, overdue: bool) -> Session {
    let due = Age::default().plus_ms(due_ms);
    Session { started: 1, set_by: 2, minutes: MINUTES, due, due_unix_ms: None, overdue }
}

fn site(state: &str) -> Apparent {
    let nothing = Apparent::default();
    match state {
        "idle" => nothing,
        "session" => Apparent { session: Some(session(HOUR_MS + 60_000, false)), ..nothing },
        "overdue" => Apparent { session: Some(session(HOUR_MS - 60_000, true)), ..nothing },
        "alert" => Apparent { alert: Some(3), ..nothing },
        "pre_alarm" => {
            let fires = moment().age.plus_ms(10_000);
            let pre_alarm = Some(PreAlarm { counter: 4, fall: false, fires });
            Apparent { pre_alarm, ..nothing }
        }
        other => panic!("no state {other}"),
    }
}

fn site_name(site: &Apparent, age: Age) -> BTreeSet<&'static str> {
    let session = site.session.map(|at| if at.due <= age { "overdue" } else { "session" });
    let alert = site.alert.map(|_| "alert");
    let pre_alarm = site.pre_alarm.map(|_| "pre_alarm");
    [session, alert, pre_alarm].into_iter().flatten().collect()
}

/// What a cell of the column "next state" makes of a state.
fn next_name<'t>(before: &'t str, cell: &'t str) -> BTreeSet<&'t str> {
    let mut names = BTreeSet::from([before]);
    if let Some(more) = cell.strip_prefix('+') {
        names.insert(more);
    } else if let Some(less) = cell.strip_prefix('-') {
        names.remove(less);
    } else if cell != "same" {
        names = BTreeSet::from([cell]);
    }
    names.remove("idle");
    names
}

fn covert(state: &str) -> Actual {
    Actual { covert_incident: (state == "open").then_some(5), tracked: state == "tracked" }
}

fn covert_name(actual: Actual) -> &'static str {
    match actual {
        Actual { covert_incident: Some(_), .. } => "open",
        Actual { tracked: true, .. } => "tracked",
        _ => "no",
    }
}

fn pendant(apparent: Apparent) -> PendantState {
    let id = PendantId::new(1).expect("a pendant");
    PendantState { apparent, ..PendantState::new(id, ENROLMENT) }
}

#[test]
fn every_state_and_message_gives_what_the_document_says() {
    let (site_rows, centre_rows) = (table("Table: site"), table("Table: centre"));
    let (mut site_used, mut centre_used) = (BTreeSet::new(), BTreeSet::new());
    for case in cases() {
        for (state, allowed) in STATES.into_iter().flat_map(|s| [(s, true), (s, false)]) {
            let may = if allowed { "yes" } else { "no" };
            let what = format!("{state}, may change {may}, {}", case.centre);
            let before = Apparent { wrong_pins: case.wrong_before, ..site(state) };
            let request = request(case.saying, &case.policy);
            let (after, outcome) = apparent::step(before, request, allowed, COUNTER, moment());

            let fits = |row: &[&str]| {
                means(row[0], state) && means(row[1], may) && means(row[2], case.site)
            };
            let row = only(&site_rows, &mut site_used, fits, &what);
            assert_eq!(site_name(&after, moment().age), next_name(state, row[3]), "{what}");
            assert_eq!(format!("{outcome:?}"), row[4], "{what}");
            let wrong_pins = match outcome {
                Outcome::Ended | Outcome::NothingToEnd => 0,
                Outcome::WrongPin => case.wrong_before + 1,
                _ => case.wrong_before,
            };
            assert_eq!(after.wrong_pins, wrong_pins, "{what}");

            let (pins, pre_alarm) = (after.wrong_pins, after.pre_alarm.is_some());
            // A man-down that alarms at once beside one that waits is no case of the tables.
            let pre_alarm = pre_alarm && case.policy.pre_alarm_ms > 0;
            let shown = Shown { outcome, wrong_pins: pins, pre_alarm };
            for before in COVERTS {
                let what = format!("{what}, covert {before}");
                let (after, kind) =
                    actual::step(covert(before), case.saying, shown, COUNTER, &case.policy);
                let answer = format!("{outcome:?}");
                let fits = |row: &[&str]| {
                    means(row[0], before) && means(row[1], case.centre) && means(row[2], &answer)
                };
                let row = only(&centre_rows, &mut centre_used, fits, &what);
                let next = if row[3] == "same" { before } else { row[3] };
                assert_eq!(covert_name(after), next, "{what}");
                assert_eq!(kind.as_str(), row[4], "{what}");
                if before == "open" {
                    let newest = if row[3] == "open" { COUNTER } else { 5 };
                    assert_eq!(after.covert_incident, Some(newest), "its counter: {what}");
                }
            }
        }
    }
    assert_eq!(site_used.len(), site_rows.len(), "every row of the site's table is a case");
    assert_eq!(centre_used.len(), centre_rows.len(), "every row of the centre's is a case");
}

#[test]
fn the_reminder_goes_before_the_centre_s_instruction() {
    let (rows, mut used) = (table("The instruction"), BTreeSet::new());
    let asked = [
        ("nothing", Instruction::None),
        ("vibrate", Instruction::Vibrate),
        ("led", Instruction::Led),
    ];
    for state in STATES {
        for (asked, instruction) in asked {
            let what = format!("{state}, {asked}");
            let fits = |row: &[&str]| means(row[0], state) && means(row[1], asked);
            let row = only(&rows, &mut used, fits, &what);
            let given = answer(Outcome::Noted, &pendant(site(state)), instruction, moment().age);
            assert_eq!(format!("{:?}", given.instruction), row[2], "{what}");
        }
    }
    assert_eq!(used.len(), rows.len(), "every row is a case");
}

#[test]
fn timers_fire_when_the_document_says() {
    let policy = Policy::default();
    let mut kinds = BTreeSet::new();
    for row in table("Table: timers") {
        let (from, rest) = row[1].split_once(" + ").expect("a moment and a time");
        let seconds: u64 = rest.split_once(" s").expect("seconds").0.parse().expect("a number");
        let before = Age::default().plus_ms(seconds * 1000 - 1);
        let at = Age::default().plus_ms(seconds * 1000);
        kinds.insert(row[3]);
        if from == "the last new frame" {
            let state = PendantState { highest: Some(1), ..pendant(Apparent::default()) };
            assert!(!timers::is_silent(&state, &policy, before), "{row:?}");
            assert!(timers::is_silent(&state, &policy, at), "{row:?}");
            assert_eq!((row[2], row[3]), ("same", Kind::SupervisionLost.as_str()));
            continue;
        }
        let mut state = pendant(Apparent::default());
        match row[0] {
            "session" => state.apparent.session = Some(session(0, false)),
            "pre_alarm" => {
                let fall = row[1].ends_with("a fall");
                let fires = Age::default().plus_ms(policy.pre_alarm_ms);
                state.apparent.pre_alarm = Some(PreAlarm { counter: 4, fall, fires });
            }
            other => panic!("no timer in {other}"),
        }
        assert!(timers::fire(&state, &policy, before).is_none(), "{row:?}");
        assert_eq!(timers::next_due(&state, &policy), Some(at), "{row:?}");
        let fired = timers::fire(&state, &policy, at).expect("it is due");
        assert_eq!(site_name(&fired.state.apparent, at), next_name("idle", row[2]), "{row:?}");
        assert_eq!(fired.kind.as_str(), row[3]);
        assert!(timers::fire(&fired.state, &policy, at).is_none(), "once: {row:?}");
    }
    assert_eq!(kinds, BTreeSet::from(["fall", "man_down", "overdue", "supervision_lost"]));
}

/// A minute is within what a busy gateway or a restart takes; more is told.
#[test]
fn an_alarm_that_a_timer_gives_late_says_how_late() {
    let policy = Policy::default();
    let fires = Age::default().plus_ms(policy.pre_alarm_ms);
    let pre_alarm = Some(PreAlarm { counter: 4, fall: true, fires });
    let waiting = pendant(Apparent { pre_alarm, ..Apparent::default() });
    let running = pendant(Apparent { session: Some(session(0, false)), ..Apparent::default() });
    let due = Age::default().plus_ms(policy.grace_ms);
    for (ms, late_ms) in [(0, None), (60_000, None), (60_001, Some(60_001))] {
        let fired = timers::fire(&waiting, &policy, fires.plus_ms(ms)).expect("it is due");
        let detail = late_ms.map_or(Detail::None, |late_ms| Detail::Late { late_ms });
        assert_eq!(fired.detail, detail, "{ms} ms late");
        let fired = timers::fire(&running, &policy, due.plus_ms(ms)).expect("it is due");
        let detail = Detail::Overdue { minutes: MINUTES, due_unix_ms: None, late_ms };
        assert_eq!(fired.detail, detail, "{ms} ms late");
    }
}

/// An alarm of which only memory holds the event must be told again by whoever reads
/// the journal: at the age at which it was.
#[test]
fn what_a_timer_said_and_is_taken_back_is_said_again() {
    let policy = Policy::default();
    let at = Age::default().plus_ms(policy.pre_alarm_ms);
    for fall in [false, true] {
        let pre_alarm = PreAlarm { counter: 4, fall, fires: at };
        let before = pendant(Apparent { pre_alarm: Some(pre_alarm), ..Apparent::default() });
        let fired = timers::fire(&before, &policy, at).expect("it is due");
        let mut state = fired.state;
        timers::unfire(&mut state, fired.kind, fired.counter, at);
        assert_eq!(state.apparent.pre_alarm, Some(pre_alarm));
        // One that waits already is not put off.
        timers::unfire(&mut state, fired.kind, fired.counter, at.plus_ms(1));
        assert_eq!(state.apparent.pre_alarm, Some(pre_alarm));
    }
    let before = pendant(Apparent { session: Some(session(0, false)), ..Apparent::default() });
    let due = Age::default().plus_ms(policy.grace_ms);
    let fired = timers::fire(&before, &policy, due).expect("it is due");
    let mut state = fired.state.clone();
    timers::unfire(&mut state, fired.kind, fired.counter, due);
    assert_eq!(state.apparent, before.apparent);
    // A session that was extended since is another: its own alarm has been given.
    let mut state = fired.state.clone();
    timers::unfire(&mut state, fired.kind, fired.counter + 1, due);
    assert_eq!(state.apparent, fired.state.apparent);
    let mut state = pendant(Apparent::default());
    state.supervision = Supervision::Lost;
    timers::unfire(&mut state, Kind::SupervisionLost, 0, due);
    assert_eq!(state.supervision, Supervision::Heard);
    timers::unfire(&mut state, Kind::SupervisionRestored, 0, due);
    assert_eq!(state.supervision, Supervision::Lost);
}

#[test]
fn silence_is_news_of_a_supervised_pendant_only() {
    let policy = Policy::default();
    let for_ever = Age::default().plus_ms(u64::MAX);
    let heard = PendantState { highest: Some(1), ..pendant(Apparent::default()) };
    assert!(timers::is_silent(&heard, &policy, for_ever));
    let never_heard = PendantState { highest: None, ..heard.clone() };
    let told = PendantState { supervision: Supervision::Lost, ..heard.clone() };
    for state in [&never_heard, &told] {
        assert!(!timers::is_silent(state, &policy, for_ever));
    }
    let unsupervised = Policy { heartbeat_interval_ms: 0, ..policy };
    for state in [&heard, &never_heard, &told] {
        assert!(!timers::is_silent(state, &unsupervised, for_ever));
    }
}

/// On both clocks by the minutes that were asked for.
#[test]
fn an_extension_moves_the_due_time_on_both_clocks() {
    let wall = Wall::Set { unix_ms: 1_000_000, uncertainty_ms: 50, source: WallSource::Ntp };
    let moment = Moment { now: Now { mono: Mono::ZERO, wall }, ..moment() };
    let started = apparent::step(
        Apparent::default(),
        apparent::Request::Start { minutes: 30 },
        true,
        1,
        moment,
    );
    let (after, outcome) =
        apparent::step(started.0, apparent::Request::Extend { minutes: 15 }, true, 2, moment);
    let session = after.session.expect("it runs");
    assert_eq!(outcome, Outcome::SessionExtended);
    assert_eq!((session.started, session.set_by, session.minutes), (1, 2, 45));
    assert_eq!(session.due, moment.age.plus_ms(45 * 60_000));
    assert_eq!(session.due_unix_ms, Some(1_000_000 + 45 * 60_000));
}
