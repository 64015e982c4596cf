//! What the terminal shows during a walk test. Pure: facts and a size in, lines out.
//!
//! On a wide screen each pendant and receiver has one line, on a narrow one (a phone)
//! three of at most 40 columns.

use super::answer::{Answer, Row};
use super::places::{Place, Verdict};
use super::terminal::Size;
use super::{ago, margin_text, number};
use crate::margin::SPREADING_FACTORS;

/// From here on one line holds a row.
const WIDE_COLUMNS: usize = 78;

/// What there is to show.
pub(super) struct View<'v> {
    pub(super) title: String,
    /// `None` before the first answer.
    pub(super) answer: Option<&'v Answer>,
    /// Why there is no newer answer.
    pub(super) fault: Option<&'v str>,
    pub(super) places: &'v [Place],
    /// Where the installer is.
    pub(super) place: Option<&'v str>,
    /// That pendants use, where receivers do not say.
    pub(super) spreading_factor: Option<u8>,
    pub(super) help: &'v str,
    pub(super) prompt: &'v str,
    /// Typed so far.
    pub(super) typed: &'v str,
}

/// As many lines as fit; the last is where somebody types.
pub(super) fn screen(view: &View, size: Size) -> Vec<String> {
    let wide = size.columns >= WIDE_COLUMNS;
    let mut top = vec![view.title.clone()];
    top.extend(view.fault.map(|fault| wrapped(fault, size.columns)).unwrap_or_default());
    let mut bottom = wrapped(view.help, size.columns);
    bottom.push(prompt_line(view, size.columns));

    let room = size.rows.saturating_sub(top.len() + bottom.len());
    let mut table = table(view, wide);
    let mut places = place_lines(view, wide);
    // The latest places; they leave the table at least two thirds.
    let for_places = places.len().min(room.saturating_sub(table.len()).max(room / 3));
    places.drain(..places.len() - for_places);
    let for_table = room - for_places;
    if table.len() > for_table {
        table.truncate(for_table.saturating_sub(1));
        table.push("... more than fits; --pendant shows one alone".to_owned());
        table.truncate(for_table);
    }
    let lines = top.into_iter().chain(table).chain(places).chain(bottom);
    let mut lines: Vec<String> = lines.map(|line| fitting(&line, size.columns)).collect();
    lines.drain(..lines.len().saturating_sub(size.rows));
    lines
}

/// Who was heard last comes first.
fn table(view: &View, wide: bool) -> Vec<String> {
    let Some(answer) = view.answer else { return vec!["Asking the gateway ...".to_owned()] };
    if answer.rows.is_empty() {
        return vec!["Nothing was heard yet: press the pendant.".to_owned()];
    }
    let mut rows: Vec<&Row> = answer.rows.iter().collect();
    rows.sort_by_key(|row| row.last_heard_s);
    let mut lines = Vec::new();
    if wide {
        lines.push(wide_line(
            ["pendant", "heard", "receiver", "RSSI", "SNR", "SF", "margin", "lost"],
            SPREADING_FACTORS.map(|factor| format!("SF{factor}").replace("SF1", "S1")),
        ));
    }
    for row in rows {
        lines.extend(row_lines(row, view.spreading_factor, wide));
    }
    lines
}

fn row_lines(row: &Row, otherwise: Option<u8>, wide: bool) -> Vec<String> {
    let margin = margin_text(row.heard.margin(otherwise));
    let lost = row.lost_percent.map_or("-".to_owned(), |lost| format!("{lost}%"));
    // Below the limit it would not have been heard at all.
    let margins = SPREADING_FACTORS.map(|factor| {
        row.heard
            .margin_at(factor)
            .map_or("-".to_owned(), |margin| format!("{:.0}", margin.db.floor()))
    });
    let heard = ago(Some(row.last_heard_s));
    let link = row.link.as_deref().unwrap_or("removed");
    let (rssi, snr) = (number(row.heard.rssi_dbm), number(row.heard.snr_db));
    let factor = number(row.heard.spreading_factor.or(otherwise));
    if wide {
        let cells = [&row.pendant, &heard, link, &rssi, &snr, &factor, &margin, &lost];
        return vec![wide_line(cells, margins)];
    }
    let each: Vec<String> = SPREADING_FACTORS
        .zip(margins)
        .map(|(factor, margin)| format!("{factor}:{margin}"))
        .collect();
    vec![
        format!("{} {heard}, lost {lost}, {link}", row.pendant),
        format!("  {rssi} dBm SNR {snr} SF{factor} margin {margin}"),
        format!("  SF{}", each.join(" ")),
    ]
}

fn wide_line(cells: [&str; 8], margins: impl Iterator<Item = String>) -> String {
    let [pendant, heard, link, rssi, snr, factor, margin, lost] = cells;
    let mut line = format!(
        "{pendant:7} {heard:>6} {link:11.11} {rssi:>5} {snr:>5} {factor:>3} {margin:>6} {lost:>4} "
    );
    margins.for_each(|margin| line += &format!(" {margin:>3}"));
    line
}

fn place_lines(view: &View, wide: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for place in view.places {
        let mark = if view.place == Some(place.label.as_str()) { '>' } else { ' ' };
        let verdict = place.verdict.text();
        let (label, heard, lost) = (&place.label, place.heard, place.lost);
        let pendant = place.pendant.as_deref().unwrap_or("-");
        let margin = margin_text(place.signal.margin);
        if wide {
            lines.push(format!(
                "{mark} {label:24.24} {pendant:6} {verdict:9} {heard:>4} heard {lost:>3} lost  \
                 {margin:>6} dB"
            ));
            continue;
        }
        lines.push(format!("{mark} {label}: {verdict}"));
        if place.verdict != Verdict::NotHeard {
            lines.push(format!("  {pendant} {heard} heard {lost} lost, {margin} dB"));
        }
    }
    lines
}

/// The end of what is typed is what somebody looks at.
fn prompt_line(view: &View, columns: usize) -> String {
    let typed: Vec<char> = view.typed.chars().filter(|c| !c.is_control()).collect();
    // One column for the cursor.
    let room = columns.saturating_sub(view.prompt.chars().count() + 1);
    let shown: String = typed[typed.len().saturating_sub(room)..].iter().collect();
    format!("{}{shown}", view.prompt)
}

/// Between words, as far as they are shorter than a line.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A terminal obeys some bytes and goes on in the next line by itself: neither happens.
fn fitting(line: &str, columns: usize) -> String {
    line.chars().map(|c| if c.is_control() { '?' } else { c }).take(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::super::places::places;
    use super::super::places::tests::example;
    use super::*;
    use crate::margin::Heard;

    fn row(pendant: &str, last_heard_s: u64) -> Row {
        Row {
            pendant: pendant.into(),
            link: Some("roof-of-the-north-building".into()),
            last_heard_s,
            frames: 12,
            lost_percent: Some(8),
            frequency_error_hz: None,
            heard: Heard {
                rssi_dbm: Some(-101),
                snr_db: Some(-3.25),
                spreading_factor: Some(9),
                bandwidth_hz: Some(125_000),
            },
        }
    }

    fn shown(rows: usize, columns: usize, pendants: usize) -> Vec<String> {
        let walk = example();
        let rows_of = |n| row(&format!("{n:06x}"), n as u64);
        let answer =
            Answer { rows: (0..pendants).rev().map(rows_of).collect(), ..Answer::default() };
        let view = View {
            title: "Walk test ward-3 / gw1  12:03:11 UTC".into(),
            answer: Some(&answer),
            fault: None,
            places: &places(&walk),
            place: walk.place(),
            spreading_factor: None,
            help: "Type where you are, Enter. Enter alone: on the way. q, Enter: end.",
            prompt: "Place: ",
            typed: "cellar\u{1b}[2J sta",
        };
        screen(&view, Size { columns, rows })
    }

    #[test]
    fn a_wide_screen_has_a_line_a_pendant_and_receiver() {
        let lines = shown(24, 80, 1);
        assert_eq!(
            lines[1..3],
            [
                "pendant  heard receiver     RSSI   SNR  SF margin lost  SF7 SF8 SF9 S10 S11 S12",
                "000000     0 s roof-of-the  -101 -3.25   9    9.3   8%    4   6   9  11  14  16",
            ]
        );
        assert_eq!(
            lines[3],
            "> lobby                    00012f good         3 heard   0 lost   >20.5 dB"
        );
        assert!(lines[5].starts_with("  boiler room              -      not heard"), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("Place: cellar[2J sta"));
    }

    #[test]
    fn a_phone_shows_the_same_in_forty_columns() {
        let lines = shown(30, 40, 1);
        for line in [
            "000000 0 s, lost 8%, roof-of-the-north-b",
            "  -101 dBm SNR -3.25 SF9 margin 9.3",
            "  SF7:4 8:6 9:9 10:11 11:14 12:16",
            "> lobby: good",
            "  00012f 3 heard 0 lost, >20.5 dB",
            "  boiler room: not heard",
            "on the way. q, Enter: end.",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line}\n{lines:#?}");
        }
    }

    #[test]
    fn whatever_the_size_nothing_runs_over_and_the_prompt_stays() {
        for columns in [1, 10, 40, 77, 78, 80, 200] {
            for rows in [1, 2, 3, 5, 8, 24, 60] {
                for pendants in [0, 1, 3, 100] {
                    let lines = shown(rows, columns, pendants);
                    assert!(lines.len() <= rows, "{columns} x {rows}: {lines:#?}");
                    assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:#?}");
                    assert!(lines.last().is_some_and(|line| line.starts_with('P')), "{lines:#?}");
                }
            }
        }
        let lines = shown(24, 80, 100);
        assert!(lines.iter().any(|line| line.starts_with("... more than fits")), "{lines:#?}");
        assert!(lines[2].starts_with("000000"), "heard last comes first: {lines:#?}");
        assert!(lines.iter().any(|line| line.contains("boiler room")), "{lines:#?}");
    }
}
