//! Plots as SVG text: signal over time, for the local page and the survey's
//! report. Pure: numbers in, text out; whoever calls reads clocks and files.
//!
//! Colours come from the classes in [`STYLE`] and from `currentColor`, so that a
//! plot follows the page around it, dark or light; without any style it is drawn
//! in one colour and dashes tell the lines apart. One unit of the drawing is one
//! pixel, and points that share a pixel are drawn as the span that they cover, so
//! that a text stays small however many points went in.

use std::fmt::Write as _;

/// Rules for the classes that plots bear. Once a document.
pub const STYLE: &str = ".plot{max-width:100%;height:auto;font:11px system-ui,sans-serif}\
.plot-grid{stroke:currentColor;stroke-opacity:.2}.plot-shade{fill:currentColor;fill-opacity:.1}\
.plot-line{fill:none;stroke:currentColor;stroke-width:1.5;stroke-linecap:round;\
stroke-linejoin:round}.plot text{fill:currentColor}\
.plot-0{color:#1668b8}.plot-1{color:#b34700}.plot-2{color:#2e7d32}.plot-3{color:#8e3ea8}\
@media(prefers-color-scheme:dark){.plot-0{color:#6db3f2}.plot-1{color:#ff9d5c}\
.plot-2{color:#7bcf80}.plot-3{color:#d79bea}}";

/// Lines that can be told apart; more are drawn in the same ways again.
const STYLES: usize = 4;
const DASHES: [&str; STYLES] = ["", "6 3", "2 3", "8 3 2 3"];

const LEFT: f64 = 38.0;
const RIGHT: f64 = 14.0;
/// The unit stands above the axis.
const TOP: f64 = 18.0;
const BOTTOM: f64 = 20.0;
/// Height of a line of text.
const ROW: f64 = 14.0;
/// About how wide a letter is; used only to keep texts from lying on each other.
const LETTER: f64 = 6.5;
/// Rows for the names of shaded stretches; further names show when pointed at.
const SHADE_ROWS_MAX: usize = 3;
const X_LABEL_ROOM: f64 = 64.0;
const Y_LABEL_ROOM: f64 = 36.0;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot<'a> {
    /// Read to whoever cannot see it, with the span of values behind it.
    pub title: &'a str,
    /// Of the values.
    pub unit: &'a str,
    /// Pixels, legend included below.
    pub width: u32,
    /// Pixels of axes and lines; names of stretches and lines come on top of it.
    pub height: u32,
    /// First and last moment, seconds since 1970.
    pub from_s: f64,
    /// See [`Self::from_s`].
    pub until_s: f64,
    /// How moments are labelled.
    pub labels: TimeLabels,
    /// Points farther apart than this are not joined, seconds.
    pub gap_s: f64,
    /// The lines.
    pub lines: &'a [Line<'a>],
    /// Stretches of time that are shaded.
    pub shades: &'a [Shade<'a>],
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// Shown in the legend if there are several.
    pub name: &'a str,
    /// Moments (seconds since 1970) and values, by rising moment.
    pub points: Vec<(f64, f64)>,
}

/// A named stretch of time, such as a place where somebody stood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shade<'a> {
    /// Shown above it.
    pub name: &'a str,
    /// Seconds since 1970.
    pub from_s: f64,
    /// Seconds since 1970.
    pub until_s: f64,
}

/// How moments are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLabels {
    /// The time of day, universal time.
    Utc,
    /// How long before the plot's end.
    Ago,
}

/// The plot as an `svg` element, for a file of its own or within HTML.
#[must_use]
pub fn svg(plot: &Plot) -> String {
    let frame = Frame::of(plot);
    let mut text = String::new();
    let height = frame.bottom + BOTTOM + ROW * frame.legend_rows as f64;
    let width = plot.width;
    let _ = write!(
        text,
        "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-size=\"11\">\
         <title>{}{}</title>",
        escaped(plot.title),
        escaped(&span_text(plot))
    );
    draw_shades(&mut text, plot, &frame);
    draw_axes(&mut text, plot, &frame);
    for (index, line) in plot.lines.iter().enumerate() {
        draw_line(&mut text, plot, &frame, index, line);
    }
    if frame.legend_rows > 0 {
        draw_legend(&mut text, plot, &frame);
    }
    text + "</svg>"
}

/// Text that may stand in an element or a quoted attribute of HTML and SVG.
/// Control characters, which XML forbids, become spaces.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Where values and moments lie in the drawing.
struct Frame {
    top: f64,
    bottom: f64,
    right: f64,
    from_s: f64,
    seconds: f64,
    low: f64,
    high: f64,
    step: f64,
    shade_rows: Vec<Option<usize>>,
    legend_rows: usize,
}

impl Frame {
    fn of(plot: &Plot) -> Self {
        let (low, high) = span(plot).unwrap_or((0.0, 1.0));
        // A flat line lies in the middle of something.
        let (low, high) = if high - low < 1.0 { (low - 1.0, high + 1.0) } else { (low, high) };
        let rows = (f64::from(plot.height) / Y_LABEL_ROOM).clamp(1.0, 6.0);
        let step = nice_step((high - low) / rows);
        let mut frame = Self {
            top: TOP,
            bottom: 0.0,
            right: (f64::from(plot.width) - RIGHT).max(LEFT + 1.0),
            from_s: plot.from_s,
            seconds: (plot.until_s - plot.from_s).max(1.0),
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
            shade_rows: Vec::new(),
            legend_rows: if plot.lines.len() > 1 { plot.lines.len() } else { 0 },
        };
        frame.shade_rows = frame.place_names(plot.shades);
        let rows = frame.shade_rows.iter().flatten().max().map_or(0, |row| row + 1);
        frame.top += ROW * rows as f64;
        frame.bottom = frame.top + f64::from(plot.height.max(20));
        frame
    }

    fn x(&self, at_s: f64) -> f64 {
        let part = ((at_s - self.from_s) / self.seconds).clamp(0.0, 1.0);
        (LEFT + part * (self.right - LEFT)).round()
    }

    fn y(&self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        (self.bottom - part * (self.bottom - self.top)).round()
    }

    /// The row in which each name has room beside the names before it.
    fn place_names(&self, shades: &[Shade]) -> Vec<Option<usize>> {
        let mut taken_until = [f64::MIN; SHADE_ROWS_MAX];
        let mut place = |shade: &Shade| {
            let from = self.x(shade.from_s);
            let until = from + LETTER * (shade.name.chars().count() + 1) as f64;
            let row = taken_until.iter().position(|taken| *taken <= from);
            let row = row.filter(|_| until <= self.right + RIGHT)?;
            taken_until[row] = until;
            Some(row)
        };
        shades.iter().map(&mut place).collect()
    }
}

fn span(plot: &Plot) -> Option<(f64, f64)> {
    plot.lines
        .iter()
        .flat_map(|line| shown(plot, line))
        .map(|(_, value)| (*value, *value))
        .reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))
}

fn shown<'a>(plot: &Plot, line: &'a Line) -> impl Iterator<Item = &'a (f64, f64)> {
    let range = plot.from_s..=plot.until_s;
    line.points.iter().filter(move |(at_s, value)| range.contains(at_s) && value.is_finite())
}

fn span_text(plot: &Plot) -> String {
    match span(plot) {
        Some((low, high)) => {
            format!(": {} to {} {}", number(low), number(high), plot.unit)
        }
        None => ": nothing to show".to_owned(),
    }
}

/// 1, 2 or 5 times a power of ten, at least as big as `wanted`.
fn nice_step(wanted: f64) -> f64 {
    let power = 10f64.powf(wanted.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= wanted).unwrap_or(wanted)
}

fn draw_shades(text: &mut String, plot: &Plot, frame: &Frame) {
    for (shade, row) in plot.shades.iter().zip(&frame.shade_rows) {
        let (from, until) = (frame.x(shade.from_s), frame.x(shade.until_s));
        let name = escaped(shade.name);
        let _ = write!(
            text,
            "<rect class=\"plot-shade\" x=\"{from}\" y=\"{}\" width=\"{}\" height=\"{}\" \
             fill=\"currentColor\" fill-opacity=\".1\"><title>{name}</title></rect>",
            frame.top,
            (until - from).max(1.0),
            frame.bottom - frame.top
        );
        if let Some(row) = row {
            let y = TOP + ROW * *row as f64 + 8.0;
            let _ = write!(text, "<text x=\"{from}\" y=\"{y}\">{name}</text>");
        }
    }
}

fn draw_axes(text: &mut String, plot: &Plot, frame: &Frame) {
    let mut grid = String::new();
    let mut labels = String::new();
    let rows = ((frame.high - frame.low) / frame.step).round() as u32;
    for row in 0..=rows {
        let value = frame.low + f64::from(row) * frame.step;
        let y = frame.y(value);
        let _ = write!(grid, "M{LEFT} {y}H{}", frame.right);
        let label_y = y + 4.0;
        let _ =
            write!(labels, "<tspan x=\"{}\" y=\"{label_y}\">{}</tspan>", LEFT - 4.0, number(value));
    }
    let mut moments = String::new();
    for at_s in moments_of(plot, frame) {
        let x = frame.x(at_s);
        let _ = write!(grid, "M{x} {}V{}", frame.top, frame.bottom + 3.0);
        let label = moment_label(plot, at_s);
        let y = frame.bottom + 14.0;
        let half = LETTER * label.chars().count() as f64 / 2.0;
        let x = x.clamp(half, frame.right + RIGHT - half);
        let _ = write!(moments, "<tspan x=\"{x}\" y=\"{y}\">{label}</tspan>");
    }
    let _ = write!(
        text,
        "<path class=\"plot-grid\" stroke=\"currentColor\" stroke-opacity=\".2\" d=\"{grid}\"/>\
         <g aria-hidden=\"true\"><text text-anchor=\"end\">{labels}</text>\
         <text text-anchor=\"middle\">{moments}</text><text y=\"9\">{}</text></g>",
        escaped(plot.unit)
    );
}

/// Moments that get a label: at round times or round distances from the end.
fn moments_of(plot: &Plot, frame: &Frame) -> Vec<f64> {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3600.0;
    const DAY: f64 = 86_400.0;
    let steps = [
        1.0,
        5.0,
        20.0,
        MINUTE,
        2.0 * MINUTE,
        5.0 * MINUTE,
        10.0 * MINUTE,
        30.0 * MINUTE,
        HOUR,
        3.0 * HOUR,
        6.0 * HOUR,
        12.0 * HOUR,
        DAY,
        2.0 * DAY,
        7.0 * DAY,
    ];
    let room = ((frame.right - LEFT) / X_LABEL_ROOM).max(1.0);
    let wanted = frame.seconds / room;
    let step = steps.into_iter().find(|step| *step >= wanted);
    let step = step.unwrap_or_else(|| (wanted / DAY).ceil() * DAY);
    let count = (frame.seconds / step) as u32;
    match plot.labels {
        TimeLabels::Ago => {
            (0..=count).rev().map(|back| plot.until_s - f64::from(back) * step).collect()
        }
        TimeLabels::Utc => {
            let first = (plot.from_s / step).ceil() * step;
            let all = (0..=count).map(|index| first + f64::from(index) * step);
            all.filter(|at_s| *at_s <= plot.until_s).collect()
        }
    }
}

fn moment_label(plot: &Plot, at_s: f64) -> String {
    match plot.labels {
        TimeLabels::Ago => match (plot.until_s - at_s).round() {
            0.0 => "now".to_owned(),
            ago if ago % 86_400.0 == 0.0 && ago > 86_400.0 => format!("−{} d", ago / 86_400.0),
            ago if ago % 3600.0 == 0.0 => format!("−{} h", ago / 3600.0),
            ago if ago % 60.0 == 0.0 => format!("−{} min", ago / 60.0),
            ago => format!("−{ago} s"),
        },
        TimeLabels::Utc => {
            let of_day = at_s.rem_euclid(86_400.0) as u32;
            let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
            if second == 0 {
                format!("{hour:02}:{minute:02}")
            } else {
                format!("{hour:02}:{minute:02}:{second:02}")
            }
        }
    }
}

fn draw_line(text: &mut String, plot: &Plot, frame: &Frame, index: usize, line: &Line) {
    let mut path = String::new();
    let mut pen: Option<(f64, f64)> = None;
    let mut before: Option<f64> = None;
    for column in columns(shown(plot, line), plot.gap_s, frame) {
        let joined = before.is_some_and(|end| column.from_s - end <= plot.gap_s);
        for y in column.ys {
            match pen {
                Some((x, was)) if joined || x == column.x => {
                    if (x, was) != (column.x, y) {
                        let _ = write!(path, "l{} {}", column.x - x, y - was);
                    }
                }
                // A line of no length is a dot: ends are round.
                _ => {
                    let _ = write!(path, "M{} {y}h0", column.x);
                }
            }
            pen = Some((column.x, y));
        }
        before = Some(column.until_s);
    }
    if !path.is_empty() {
        let style = index % STYLES;
        let _ = write!(
            text,
            "<path class=\"plot-line plot-{style}\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"1.5\" stroke-linecap=\"round\"{} d=\"{path}\"/>",
            dashes(style)
        );
    }
}

/// What one pixel's width of a line shows: first, lowest, highest, last.
struct Column {
    x: f64,
    from_s: f64,
    until_s: f64,
    ys: [f64; 4],
}

fn columns<'a>(
    points: impl Iterator<Item = &'a (f64, f64)>,
    gap_s: f64,
    frame: &Frame,
) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for &(at_s, value) in points {
        let (x, y) = (frame.x(at_s), frame.y(value));
        match columns.last_mut() {
            Some(last) if last.x == x && at_s - last.until_s <= gap_s => {
                let [first, low, high, _] = last.ys;
                last.ys = [first, low.min(y), high.max(y), y];
                last.until_s = at_s;
            }
            _ => columns.push(Column { x, from_s: at_s, until_s: at_s, ys: [y; 4] }),
        }
    }
    columns
}

fn draw_legend(text: &mut String, plot: &Plot, frame: &Frame) {
    for (index, line) in plot.lines.iter().enumerate() {
        let y = frame.bottom + BOTTOM + ROW * index as f64 + 6.0;
        let style = index % STYLES;
        let _ = write!(
            text,
            "<path class=\"plot-line plot-{style}\" stroke=\"currentColor\" stroke-width=\"1.5\"{} \
             d=\"M{LEFT} {y}h24\"/><text x=\"{}\" y=\"{}\">{}</text>",
            dashes(style),
            LEFT + 30.0,
            y + 4.0,
            escaped(line.name)
        );
    }
}

fn dashes(style: usize) -> String {
    match DASHES[style] {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    }
}

/// With a true minus sign, which lines up and is read out as one.
fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    let text = format!("{}", rounded.abs());
    if rounded < 0.0 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests;
