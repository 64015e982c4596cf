//! The report's tables: places, margins, receivers.

use super::super::margin_text;
use super::super::places::{Place, Summary, Verdict};
use crate::margin::{Margin, SPREADING_FACTORS};
use crate::plot::escaped;
use std::fmt::Write;

/// How a column is set.
#[derive(Clone, Copy, PartialEq)]
enum Set {
    Words,
    Figures,
}

/// Places in the rows; pendants too, if there are several.
struct Table<'p> {
    several: bool,
    columns: Vec<(String, Set)>,
    rows: Vec<(&'p Place, Vec<String>)>,
}

impl<'p> Table<'p> {
    fn new<'c>(several: bool, columns: impl IntoIterator<Item = (&'c str, Set)>) -> Self {
        let columns = columns.into_iter().map(|(name, set)| (name.to_owned(), set)).collect();
        Self { several, columns, rows: Vec::new() }
    }

    fn html(&self) -> String {
        let class = |set: Set| if set == Set::Figures { " class=\"n\"" } else { "" };
        let mut text = "<div class=\"wide\"><table>\n<tr><th scope=\"col\">Place</th>".to_owned();
        if self.several {
            text += "<th scope=\"col\">Pendant</th>";
        }
        for (name, set) in &self.columns {
            let _ = write!(text, "<th scope=\"col\"{}>{name}</th>", class(*set));
        }
        text += "</tr>\n";
        for (place, cells) in &self.rows {
            let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(&place.label));
            if self.several {
                let pendant = place.pendant.as_deref().unwrap_or("-");
                let _ = write!(text, "<td>{}</td>", escaped(pendant));
            }
            for ((_, set), cell) in self.columns.iter().zip(cells) {
                let _ = write!(text, "<td{}>{cell}</td>", class(*set));
            }
            text += "</tr>\n";
        }
        text + "</table></div>\n"
    }
}

const SIGNAL_COLUMNS: [(&str, Set); 3] = [
    ("Margin dB", Set::Figures),
    ("RSSI dBm (lowest)", Set::Figures),
    ("SNR dB (lowest)", Set::Figures),
];

fn signal_cells(signal: &Summary) -> [String; 3] {
    let both = |median: Option<f64>, lowest: Option<f64>| match (median, lowest) {
        (Some(median), Some(lowest)) => format!("{median} ({lowest})"),
        _ => "-".to_owned(),
    };
    [
        escaped(&margin_text(signal.margin)),
        both(signal.rssi_median_dbm, signal.rssi_min_dbm),
        both(signal.snr_median_db, signal.snr_min_db),
    ]
}

pub(super) fn of_places(places: &[Place], several: bool) -> String {
    let columns = [("Verdict", Set::Words), ("Heard", Set::Figures), ("Lost", Set::Figures)];
    let last = [("Best receiver", Set::Words), ("Remarks", Set::Words)];
    let mut table = Table::new(several, columns.into_iter().chain(SIGNAL_COLUMNS).chain(last));
    for place in places {
        let class = match place.verdict {
            Verdict::Good => "good",
            Verdict::Weak => "weak",
            Verdict::Poor => "poor",
            Verdict::NotHeard => "not_heard",
        };
        let mut remarks = place.reasons.clone();
        if place.perhaps_lost > 0 {
            remarks.push(format!(
                "up to {} more were lost on the way here or from here",
                place.perhaps_lost
            ));
        }
        let mut cells = vec![
            format!("<span class=\"v {class}\">{}</span>", place.verdict.text()),
            place.heard.to_string(),
            place.lost.to_string(),
        ];
        cells.extend(signal_cells(&place.signal));
        cells.push(escaped(place.receivers.first().map_or("-", |receiver| &receiver.link)));
        cells.push(escaped(&remarks.join("; ")));
        table.rows.push((place, cells));
    }
    format!("<h2>Places</h2>\n{}", table.html())
}

pub(super) fn of_margins(places: &[Place], several: bool) -> String {
    let names: Vec<String> = SPREADING_FACTORS.map(|factor| format!("SF{factor}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), Set::Figures));
    let mut table = Table::new(several, columns);
    for place in places.iter().filter(|place| place.heard > 0) {
        let cell = |(factor, margin): (u8, &Option<Margin>)| {
            let margin = escaped(&margin_text(*margin));
            match place.signal.spreading_factors.contains(&factor) {
                true => format!("<span class=\"use\">{margin} *</span>"),
                false => margin,
            }
        };
        let cells = SPREADING_FACTORS.zip(&place.signal.margins).map(cell).collect();
        table.rows.push((place, cells));
    }
    format!(
        "<h2>Margin at each spreading factor, dB</h2>\n{}<p>* in use. The others are computed from \
         the same signal. A higher spreading factor reaches farther and keeps the channel busy for \
         longer.</p>\n",
        table.html()
    )
}

pub(super) fn of_receivers(places: &[Place], several: bool) -> String {
    let columns = [("Receiver", Set::Words), ("Heard", Set::Figures)];
    let mut table = Table::new(several, columns.into_iter().chain(SIGNAL_COLUMNS));
    for place in places {
        for receiver in &place.receivers {
            let heard = format!("{} of {}", receiver.heard, place.heard);
            let mut cells = vec![escaped(&receiver.link), heard];
            cells.extend(signal_cells(&receiver.signal));
            table.rows.push((place, cells));
        }
    }
    format!("<h2>Receivers</h2>\n{}", table.html())
}
