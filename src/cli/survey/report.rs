//! The report of a walk test: one HTML file to hand over, without scripts and without
//! anything from elsewhere. It prints, and follows the reader's dark or light.

mod tables;

use super::super::{Exit, Failure, print, print_json};
use super::places::{
    GOOD_FRAMES_MIN, GOOD_LOST_PERCENT, GOOD_MARGIN_DB, Place, Receiver, Summary, Verdict,
    WEAK_LOST_PERCENT, WEAK_MARGIN_DB, places,
};
use super::walk::{Frame, Walk};
use super::{time_text, work_file};
use crate::margin::SPREADING_FACTORS;
use crate::plot::{self, Line, Plot, Shade, TimeLabels, escaped};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What `survey` kept
    file: PathBuf,
    /// Where the report goes; else beside it, ending in .html
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the places as JSON, and write a report only with --out
    #[arg(long)]
    json: bool,
}

pub(super) fn report(arguments: &Arguments) -> Result<Exit, Failure> {
    let (walk, _) = work_file::read(&arguments.file)?;
    let html = match (&arguments.out, arguments.json) {
        (None, true) => None,
        (None, false) => Some(beside(&arguments.file)?),
        (out, _) => out.clone(),
    };
    if html.as_ref() == Some(&arguments.file) {
        return Err(Failure::refused(
            "the report would overwrite the walk test that it is made of",
        ));
    }
    if let Some(html) = &html {
        write(&walk, html)?;
    }
    if arguments.json {
        print_json(&as_json(&walk))?;
    } else if let Some(html) = html {
        print(&format!("{}Report: {}\n", super::summary_text(&places(&walk)), html.display()))?;
    }
    Ok(Exit::Done)
}

/// Where the report of a work file goes.
///
/// # Errors
/// The work file is called as its report would be, which would take its place.
pub(super) fn beside(file: &Path) -> Result<PathBuf, Failure> {
    let html = file.with_extension("html");
    if html == file {
        return Err(Failure::refused(format!(
            "{} would be overwritten by its own report: give the work file a name that ends in \
             .jsonl; the report is written beside it",
            file.display()
        )));
    }
    Ok(html)
}

/// Writes it, in place of an older one.
pub(super) fn write(walk: &Walk, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, html(walk)).map_err(|error| Failure::of_file(path, &error))
}

fn as_json(walk: &Walk) -> Value {
    let summary = |signal: &Summary| {
        let margins = SPREADING_FACTORS.zip(&signal.margins).map(|(factor, margin)| {
            (format!("sf{factor}"), margin.map_or(Value::Null, |margin| margin.rounded_db().into()))
        });
        json!({
            "rssi_min_dbm": signal.rssi_min_dbm,
            "rssi_median_dbm": signal.rssi_median_dbm,
            "snr_min_db": signal.snr_min_db,
            "snr_median_db": signal.snr_median_db,
            "margin_db": signal.margin.map(|margin| margin.rounded_db()),
            "margin_is_at_least": signal.margin.is_some_and(|margin| margin.at_least),
            "margins_db": margins.collect::<serde_json::Map<_, _>>(),
            "spreading_factors": signal.spreading_factors,
        })
    };
    let receiver = |receiver: &Receiver| {
        let (link, heard) = (&receiver.link, receiver.heard);
        json!({ "link": link, "heard": heard, "signal": summary(&receiver.signal) })
    };
    let place = |place: &Place| {
        json!({
            "place": place.label,
            "pendant": place.pendant,
            "verdict": place.verdict,
            "reasons": place.reasons,
            "heard": place.heard,
            "lost": place.lost,
            "perhaps_lost": place.perhaps_lost,
            "signal": summary(&place.signal),
            "receivers": place.receivers.iter().map(receiver).collect::<Vec<_>>(),
        })
    };
    json!({
        "site": walk.head.site,
        "gateway": walk.head.gateway,
        "by": walk.head.by,
        "began_unix_ms": walk.head.began_unix_ms,
        "ended_unix_ms": walk.until_unix_ms,
        "missed_receptions": walk.missed,
        "places": places(walk).iter().map(place).collect::<Vec<_>>(),
    })
}

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}dt{opacity:.75}dd{margin:0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884;vertical-align:top}
tr>th:first-child{min-width:7rem;max-width:16rem}th[scope=row]{font-weight:400}
.n{text-align:right}td.n{white-space:nowrap}.v{font-weight:600;white-space:nowrap}
.good{color:#1b7a2b}.weak{color:#8a5a00}.poor,.not_heard{color:#b3261e}.use{font-weight:700}
@media(prefers-color-scheme:dark){.good{color:#7bcf80}.weak{color:#f0b95c}
.poor,.not_heard{color:#ff8a80}}
@media print{:root{color-scheme:light}body{margin:0;max-width:none;font-size:12px}
.wide{overflow:visible}tr,svg{break-inside:avoid}
.good,.weak,.poor,.not_heard{color:inherit}}
";

fn html(walk: &Walk) -> String {
    let places = places(walk);
    let title = format!("Walk test {} / {}", walk.head.site, walk.head.gateway);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>\n{STYLE}{}</style></head>\n<body>\n<h1>Walk test</h1>\n",
        escaped(&title),
        plot::STYLE
    );
    text += &facts(walk, &places);
    let pendants: BTreeSet<&str> =
        places.iter().filter_map(|place| place.pendant.as_deref()).collect();
    let several = pendants.len() > 1;
    text += &tables::of_places(&places, several);
    text += &tables::of_margins(&places, several);
    text += &tables::of_receivers(&places, several);
    text += &plots(walk);
    text += &judgement();
    text + "</body>\n</html>\n"
}

fn facts(walk: &Walk, places: &[Place]) -> String {
    let head = &walk.head;
    let time = |unix_ms| time_text(unix_ms).replace('T', " ").replace('Z', " UTC");
    let count = |verdict| {
        let count = places.iter().filter(|place| place.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.text()))
    };
    let verdicts = [Verdict::Good, Verdict::Weak, Verdict::Poor, Verdict::NotHeard];
    let result: Vec<String> = verdicts.into_iter().filter_map(count).collect();
    let pendants: BTreeSet<&str> =
        places.iter().filter_map(|place| place.pendant.as_deref()).collect();
    let mut text = "<dl>\n".to_owned();
    for (name, value) in [
        ("Site", head.site.clone()),
        ("Gateway", head.gateway.clone()),
        ("From", time(head.began_unix_ms)),
        ("Until", time(walk.until_unix_ms)),
        ("Tested by", head.by.clone().unwrap_or_else(|| "not stated".to_owned())),
        ("Pendants", pendants.into_iter().collect::<Vec<_>>().join(", ")),
        ("Result", result.join(", ")),
    ] {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    text += "</dl>\n";
    if walk.missed > 0 {
        let _ = writeln!(
            text,
            "<p>Up to {} receptions are missing here: the session was away for too long.</p>",
            walk.missed
        );
    }
    text
}

/// Frames farther apart are not joined by a line.
const GAP_S: f64 = 120.0;

fn plots(walk: &Walk) -> String {
    let seconds = |unix_ms: u64| unix_ms as f64 / 1000.0;
    // A hair of daylight between neighbours.
    let hair_s = seconds(walk.until_unix_ms - walk.head.began_unix_ms) * 0.002;
    let shades: Vec<Shade> = walk
        .stretches
        .iter()
        .enumerate()
        .filter_map(|(index, stretch)| {
            let from_s = seconds(stretch.from_unix_ms);
            let until_s = (seconds(walk.ended_unix_ms(index)) - hair_s).max(from_s);
            Some(Shade { name: stretch.label.as_deref()?, from_s, until_s })
        })
        .collect();
    let frames: Vec<&Frame> = walk.stretches.iter().flat_map(|stretch| &stretch.frames).collect();
    let pendants: BTreeSet<&str> = frames.iter().map(|frame| frame.pendant.as_str()).collect();
    let name = |frame: &Frame| {
        let link = frame.link.as_deref().unwrap_or("removed");
        if pendants.len() > 1 { format!("{} {link}", frame.pendant) } else { link.to_owned() }
    };
    let plot = |title: &str, unit: &str, value: &dyn Fn(&Frame) -> Option<f64>| {
        let mut points: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for frame in &frames {
            let Some(value) = value(frame) else { continue };
            points.entry(name(frame)).or_default().push((seconds(frame.unix_ms), value));
        }
        if points.is_empty() {
            return format!("<p>No receiver measures it: {title}.</p>\n");
        }
        let lines: Vec<Line> = points
            .iter()
            .map(|(name, points)| {
                let mut points = points.clone();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Line { name, points }
            })
            .collect();
        let plot = Plot {
            title,
            unit,
            width: 900,
            height: 240,
            from_s: seconds(walk.head.began_unix_ms),
            until_s: seconds(walk.until_unix_ms),
            labels: TimeLabels::Utc,
            gap_s: GAP_S,
            lines: &lines,
            shades: &shades,
        };
        format!("<h3>{title}</h3>\n{}\n", plot::svg(&plot))
    };
    let rssi = plot("Strength (RSSI)", "dBm", &|frame| frame.heard.rssi_dbm.map(f64::from));
    let snr = plot("Ratio to the noise (SNR)", "dB", &|frame| frame.heard.snr_db);
    format!("<h2>Over time</h2>\n{rssi}{snr}")
}

fn judgement() -> String {
    format!(
        "<h2>How it is judged</h2>\n\
         <ul><li><b>Margin</b>: how many decibels the signal was above the weakest that a LoRa \
         receiver understands at that spreading factor (SX1261/2 datasheet, table 6-1: SNR -7.5 dB \
         at SF7 to -20 dB at SF12; noise figure 6 dB). The smaller one of what SNR and RSSI say; \
         the median of the frames, each where it was heard best. \"&gt;\": at least, because \
         receivers report no SNR above some 10 dB.</li>\n\
         <li><b>Good</b>: a margin of {GOOD_MARGIN_DB} dB or more, at most {GOOD_LOST_PERCENT} % \
         lost, {GOOD_FRAMES_MIN} frames or more. People, doors and vehicles that come between take \
         5 to 10 dB.</li>\n\
         <li><b>Weak</b>: {WEAK_MARGIN_DB} dB or more, and at most {WEAK_LOST_PERCENT} % lost. It \
         works today; a closed door can end that.</li>\n\
         <li><b>Poor</b>: less than that. Not to be relied on.</li>\n\
         <li><b>Lost</b>: by the gaps in the pendant's own count between two frames that were heard \
         at the place.</li></ul>\n\
         <p>It says how pendants were heard at the time of the test, and not how they hear the \
         gateway's answers.</p>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::places::tests::{example, mark, say};
    use super::super::walk::Line as WalkLine;
    use super::super::walk::tests::head;
    use super::*;

    #[test]
    fn a_work_file_is_not_overwritten_by_its_report() {
        let beside = |name: &str| beside(Path::new(name));
        assert_eq!(beside("ward3.jsonl").ok(), Some("ward3.html".into()));
        assert!(beside("ward3.html").is_err());
    }

    #[test]
    fn it_says_who_where_and_how_and_needs_nothing_else() {
        let mut walk = example();
        walk.apply(WalkLine::End { unix_ms: 1_060_000, by: Some("M. Okafor & Söhne".into()) });
        walk.apply(WalkLine::Missed { receptions: 7 });
        let html = html(&walk);
        for words in [
            "<dt>Site</dt><dd>ward-3</dd>",
            "<dd>1970-01-01 00:16:40 UTC</dd>",
            "<dd>M. Okafor &amp; Söhne</dd>",
            "<dd>1 good, 1 weak, 1 not heard</dd>",
            "<th scope=\"row\">cellar stairs</th><td><span class=\"v weak\">weak</span></td>\
             <td class=\"n\">3</td><td class=\"n\">1</td><td class=\"n\">7.5</td>\
             <td class=\"n\">-118 (-118)</td><td class=\"n\">-5 (-6)</td><td>hall</td>\
             <td>the margin is below 10 dB; 25 % of the frames were lost; \
             up to 6 more were lost on the way here or from here</td>",
            "<th scope=\"row\">lobby</th><td>hall</td><td class=\"n\">1 of 3</td>",
            "<span class=\"use\">7.5 *</span>",
            "Up to 7 receptions are missing",
        ] {
            assert!(html.contains(words), "{words}\n{html}");
        }
        assert_eq!(html.matches("<svg").count(), 2);
        for word in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!html.contains(word), "{word}");
        }
        // The one address is the name of SVG, which nobody fetches.
        assert_eq!(
            html.matches("http").count(),
            html.matches("http://www.w3.org/2000/svg").count()
        );
        assert!(html.len() < 40_000, "{} bytes", html.len());
    }

    #[test]
    fn whatever_is_typed_stays_text() {
        let evil = "<script>\"&'</td>";
        let mut walk = Walk::new(super::super::walk::Head {
            site: evil.into(),
            by: Some(evil.into()),
            ..head()
        });
        mark(&mut walk, Some(evil));
        say(&mut walk, evil, &[(1, evil, -80, 9.0), (2, "<u>", -81, 9.0)]);
        say(&mut walk, "<i>", &[(1, evil, -80, 9.0)]);
        let html = html(&walk);
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<u>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("&lt;script&gt;"), "{html}");
    }

    #[test]
    fn programs_get_the_same_as_json() {
        let json = as_json(&example());
        let cellar = &json["places"][1];
        assert_eq!(
            (&cellar["place"], &cellar["verdict"]),
            (&json!("cellar stairs"), &json!("weak"))
        );
        assert_eq!(cellar["signal"]["margins_db"]["sf12"], 15.0);
        assert_eq!(cellar["receivers"][0]["link"], "hall");
        assert_eq!(json["places"][2]["verdict"], "not_heard");
    }

    #[test]
    fn a_walk_without_measured_signals_has_a_report_too() {
        let mut walk = Walk::new(head());
        mark(&mut walk, Some("lobby"));
        walk.apply(WalkLine::Frame(Frame {
            number: 1,
            unix_ms: 1_002_000,
            pendant: "00012f".into(),
            link: None,
            counter: 1,
            heard: crate::margin::Heard::default(),
        }));
        let html = html(&walk);
        assert!(html.contains("No receiver measures it: Strength (RSSI)."), "{html}");
        assert!(html.contains("judged by losses alone"), "{html}");
    }
}
