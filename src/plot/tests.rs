use super::*;

const HOUR: f64 = 3600.0;

fn plot<'a>(lines: &'a [Line<'a>], shades: &'a [Shade<'a>]) -> Plot<'a> {
    Plot {
        title: "Signal of roof",
        unit: "dBm",
        width: 360,
        height: 140,
        from_s: 0.0,
        until_s: 24.0 * HOUR,
        labels: TimeLabels::Utc,
        gap_s: 1800.0,
        lines,
        shades,
    }
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Line<'_> {
    Line { name, points }
}

fn paths(svg: &str) -> Vec<&str> {
    let lines = svg.split("<path class=\"plot-line").skip(1);
    lines.filter_map(|rest| rest.split(" d=\"").nth(1)?.split('"').next()).collect()
}

#[test]
fn axes_are_at_round_values_and_times() {
    let lines = [line("roof", vec![(0.0, -118.0), (900.0, -92.5)])];
    let svg = svg(&plot(&lines, &[]));
    for label in ["−120<", "−110<", "−100<", "−90<", "00:00<", "06:00<", "12:00<", "18:00<"]
    {
        assert!(svg.contains(label), "{label} in {svg}");
    }
    assert!(!svg.contains("03:00<"), "few labels: {svg}");
    assert!(svg.contains("<title>Signal of roof: −118 to −92.5 dBm</title>"), "{svg}");
    assert!(svg.contains("role=\"img\""));
}

#[test]
fn distances_from_the_end_are_labelled_in_their_units() {
    let lines = [line("roof", vec![(HOUR, -90.0)])];
    let ago = |until_s| {
        let plot = Plot { until_s, labels: TimeLabels::Ago, ..plot(&lines, &[]) };
        svg(&plot)
    };
    for (until_s, label) in
        [(24.0 * HOUR, "−6 h<"), (7.0 * 24.0 * HOUR, "−6 d<"), (HOUR, "−30 min<"), (60.0, "−20 s<")]
    {
        let svg = ago(until_s);
        assert!(svg.contains(label) && svg.contains("now<"), "{label} in {svg}");
    }
}

#[test]
fn a_gap_is_not_bridged_and_a_lone_point_is_a_dot() {
    let points = vec![(0.0, -90.0), (900.0, -91.0), (6.0 * HOUR, -92.0)];
    let svg = svg(&plot(&[line("roof", points)], &[]));
    let path = paths(&svg)[0];
    assert_eq!(path.matches('M').count(), 2, "{path}");
    assert!(path.ends_with("h0"), "{path}");
}

#[test]
fn what_lies_outside_or_is_no_number_is_not_drawn() {
    let points = vec![(-HOUR, 7.0), (HOUR, f64::NAN), (25.0 * HOUR, 9.0)];
    let svg = svg(&plot(&[line("roof", points)], &[]));
    assert_eq!(paths(&svg), Vec::<&str>::new());
    assert!(svg.contains("nothing to show") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn many_points_make_a_small_text_that_keeps_the_extremes() {
    let value = |second: u32| if second == 40_000 { -127.0 } else { -90.0 };
    let points = (0..86_400).map(|second| (f64::from(second), value(second))).collect();
    let svg = svg(&plot(&[line("roof", points)], &[]));
    assert!(svg.len() < 6_000, "{} bytes", svg.len());
    assert!(paths(&svg)[0].contains("l0 130l0 -130"), "the dip is drawn: {svg}");
}

#[test]
fn texts_are_escaped_everywhere() {
    let evil = "<script>\"'&\u{1b}";
    let lines = [line(evil, vec![(0.0, 1.0)]), line("b", vec![(0.0, 2.0)])];
    let shades = [Shade { name: evil, from_s: 0.0, until_s: HOUR }];
    let svg = svg(&Plot { title: evil, unit: evil, ..plot(&lines, &shades) });
    assert!(!svg.contains("<script") && !svg.contains('\u{1b}'), "{svg}");
    assert!(svg.contains("&lt;script&gt;&quot;&#39;&amp; "), "{svg}");
}

#[test]
fn names_of_stretches_make_room_for_each_other() {
    let shade = |name, hour: f64| Shade { name, from_s: hour * HOUR, until_s: (hour + 1.0) * HOUR };
    let shades = [shade("boiler room", 1.0), shade("stairs", 2.0), shade("yard", 12.0)];
    let svg = svg(&plot(&[line("roof", vec![(HOUR, -90.0)])], &shades));
    let y_of = |name: &str| {
        let end = svg.find(&format!(">{name}</text>")).expect("its name");
        svg[..end].rsplit("y=\"").next().map(str::to_owned)
    };
    assert_ne!(y_of("boiler room"), y_of("stairs"));
    assert_eq!(y_of("boiler room"), y_of("yard"));
    assert_eq!(svg.matches("plot-shade").count(), 3);
}

#[test]
fn several_lines_have_a_legend_and_differ_without_colour() {
    let lines = [line("roof", vec![(0.0, -90.0)]), line("hall", vec![(0.0, -95.0)])];
    let svg = svg(&plot(&lines, &[]));
    assert!(svg.contains(">roof</text>") && svg.contains(">hall</text>"), "{svg}");
    assert_eq!(svg.matches("stroke-dasharray").count(), 2, "line and legend: {svg}");
}
