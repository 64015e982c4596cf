//! `[[link]]`: the receivers of pendants.

use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::reader::Section;
use super::sections::{HOMES, name, path, sections};
use super::{Link, LinkKind, Radio, SerialCodec, concentrator, radio};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use toml::Spanned;

/// More ports than any board has; each has a task and channels of its own.
const LINKS_MAX: usize = 16;

const ANY: &[&str] = &["name", "kind", "acknowledge"];
pub(super) const SERIAL: &[&str] =
    &["name", "kind", "acknowledge", "path", "baud", "codec", "envelope", "unauthenticated"];
static OF_ANY_KIND: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| [SERIAL, radio::RADIO, concentrator::KEYS, radio::VIRTUAL_RADIO].concat());
const BAUDS: [i64; 10] =
    [2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

#[derive(Clone, Copy)]
enum Kind {
    Serial,
    Radio,
    Concentrator,
    VirtualRadio,
}

pub(super) fn links(top: &Section<'_>, report: &mut Report<'_>) -> Vec<Link> {
    let found = sections(top, "link", "[[link]]", ANY, report);
    if top.value("link").is_none() {
        report.refuse(
            top.header(),
            "there is no [[link]]: nothing could be heard",
            "add a section [[link]] with name, kind = \"serial\" and path",
        );
    }
    for surplus in found.iter().skip(LINKS_MAX) {
        let text = format!("more than {LINKS_MAX} [[link]] sections");
        report.refuse(surplus.header(), text, "remove those that are not used");
    }
    let links: Vec<(&Section<'_>, Link)> =
        found.iter().filter_map(|section| Some((section, link(section, report)?))).collect();
    refuse_twins(&links, report);
    links.into_iter().map(|(_, link)| link).collect()
}

fn link(section: &Section<'_>, report: &mut Report<'_>) -> Option<Link> {
    section.require("name", "\"a-name\"", report);
    section.require("kind", "\"serial\"", report);
    let name = name(section, "name", report);
    let acknowledge = section.flag("acknowledge", report).unwrap_or(true);
    let kinds = [
        ("serial", Kind::Serial),
        ("radio", Kind::Radio),
        ("concentrator", Kind::Concentrator),
        ("virtual-radio", Kind::VirtualRadio),
    ];
    let at = section.value("kind").map_or(section.header(), Spanned::span);
    let Some(kind) = section.choice("kind", &kinds, report) else {
        // Whichever was meant: what belongs to none is told.
        section.with_keys("[[link]]", &OF_ANY_KIND).finish(HOMES, report);
        return None;
    };
    let kind = match kind {
        Kind::Serial => serial(&section.with_keys("a [[link]] of kind \"serial\"", SERIAL), report),
        Kind::Concentrator => concentrator::concentrator(
            &section.with_keys("a [[link]] of kind \"concentrator\"", concentrator::KEYS),
            report,
        ),
        Kind::VirtualRadio if cfg!(feature = "sim") => radio::virtual_radio(
            &section.with_keys("a [[link]] of kind \"virtual-radio\"", radio::VIRTUAL_RADIO),
            report,
        ),
        Kind::VirtualRadio => {
            report.refuse(
                at,
                "this build has no virtual radio: it is for benches, and packages are built without it",
                "write: kind = \"serial\", or build with: cargo build --features sim",
            );
            None
        }
        Kind::Radio => {
            radio::radio(&section.with_keys("a [[link]] of kind \"radio\"", radio::RADIO), report)
        }
    };
    let kind = kind?;
    // To a mesh nothing is sent, nor to what nobody vouches for.
    let acknowledge = acknowledge && !kind.speech().is_unvouched();
    Some(Link { name: name?, acknowledge, kind })
}

fn serial(section: &Section<'_>, report: &mut Report<'_>) -> Option<LinkKind> {
    section.require("path", "\"/dev/serial/by-id/…\"", report);
    let path = path(section, "path", report);
    if let Some(path) = &path {
        warn_of_shifting_name(path, report);
    }
    let codecs = [
        ("cobs", SerialCodec::Cobs),
        ("rylr998", SerialCodec::Rylr998),
        ("rak-p2p", SerialCodec::RakP2p),
        ("e22", SerialCodec::E22),
        ("meshtastic", SerialCodec::Meshtastic),
        ("echostream", SerialCodec::EchoStream),
    ];
    let codec = section.choice("codec", &codecs, report).unwrap_or(SerialCodec::Cobs);
    let envelope = section.flag("envelope", report).unwrap_or(false);
    if let Some(value) =
        section.value("envelope").filter(|_| envelope && codec != SerialCodec::Cobs)
    {
        report.refuse(
            value.span(),
            "only a receiver with COBS can add an envelope: the others tell the signal in their own way",
            "write: envelope = false",
        );
    }
    let unauthenticated = unauthenticated(section, codec, report);
    let baud = one_of(section, "baud", Unit::Baud, &BAUDS, report).unwrap_or(115_200);
    section.finish(HOMES, report);
    let path = path?.into_inner();
    Some(LinkKind::Serial { path, baud, codec, envelope, unauthenticated })
}

/// Whether the site says that it takes what could be anybody's. Nobody gets there by
/// choosing a codec.
fn unauthenticated(section: &Section<'_>, codec: SerialCodec, report: &mut Report<'_>) -> bool {
    let said = section.flag("unauthenticated", report).unwrap_or(false);
    let unvouched = codec.speech().is_unvouched();
    if unvouched && !said {
        let at = section.value("codec").map_or(section.header(), Spanned::span);
        report.refuse(
            at,
            "what comes by this receiver has no authentication: whoever has a transmitter can raise \
             an alarm through it, and hide that a pendant is gone",
            "if the site accepts that, write: unauthenticated = true; such events are marked, and \
             can neither cancel nor end anything",
        );
    }
    if let Some(value) = section.value("unauthenticated").filter(|_| said && !unvouched) {
        report.refuse(
            value.span(),
            "pendants at this receiver prove who they are, and none other is listened to",
            "leave the line out, or write the receiver's own `codec`",
        );
    }
    said
}

/// A number out of a list, such as a baud rate.
pub(super) fn one_of(
    section: &Section<'_>,
    key: &str,
    unit: Unit,
    values: &[i64],
    report: &mut Report<'_>,
) -> Option<u32> {
    let (first, last) = (values.first()?, values.last()?);
    let number = section.whole(key, &Quantity::new(unit, *first..=*last), report)?;
    if !values.contains(&number) {
        let nearest = values.iter().min_by_key(|value| value.abs_diff(number))?;
        let list: Vec<String> = values.iter().map(ToString::to_string).collect();
        let at = section.value(key).map_or(section.header(), Spanned::span);
        let text = format!("`{key}` is one of {}, not {number}", list.join(", "));
        report.refuse(at, text, format!("write: {key} = {nearest}"));
    }
    u32::try_from(number).ok()
}

/// `ttyUSB0` is whichever adapter the kernel met first; after a reboot or a
/// replug that may be another one.
fn warn_of_shifting_name(path: &Spanned<PathBuf>, report: &mut Report<'_>) {
    let text = path.get_ref().to_string_lossy();
    if text.starts_with("/dev/ttyUSB") || text.starts_with("/dev/ttyACM") {
        report.warn(
            path.span(),
            format!("{text} may be another adapter after a restart or replug"),
            "write its lasting name: path = \"/dev/serial/by-id/…\" (`ls -l /dev/serial/by-id` shows them)",
        );
    }
}

/// A line that two radios have only one of them would get.
fn refuse_taken_lines<'l>(
    section: &Section<'_>,
    radio: &'l Radio,
    taken: &mut BTreeSet<(&'l Path, u32)>,
    report: &mut Report<'_>,
) {
    let singles = [
        ("irq_line", Some(radio.irq_line)),
        ("reset_line", Some(radio.reset_line)),
        ("busy_line", radio.busy_line),
        ("transmit_line", radio.transmit_line),
        ("receive_line", radio.receive_line),
    ];
    let singles = singles.into_iter().filter_map(|(key, line)| Some((key, line?)));
    let enable = radio.enable_lines.iter().map(|line| ("enable_lines", *line));
    let own: Vec<(&str, u32)> = singles.chain(enable).collect();
    let gpiochip = radio.gpiochip.as_path();
    for (key, line) in own.iter().filter(|(_, line)| taken.contains(&(gpiochip, *line))) {
        let section = section.with_keys("[[link]]", radio::RADIO);
        let text = format!(
            "`{key}`: GPIO line {line} of {} is another link's already",
            gpiochip.display()
        );
        let remedy = "give each radio lines of its own: docs/install.md, \"Wiring\"";
        report.refuse(radio::place(&section, key), text, remedy);
    }
    taken.extend(own.into_iter().map(|(_, line)| (gpiochip, line)));
}

fn refuse_twins(links: &[(&Section<'_>, Link)], report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    let mut lines = BTreeSet::new();
    for (section, link) in links {
        if !names.insert(&link.name) {
            let at = section.value("name").map_or(section.header(), Spanned::span);
            let text = format!("a second link of the name \"{}\"", link.name);
            report.refuse(at, text, "give each link a name of its own");
        }
        let (place, key, keys) = match &link.kind {
            LinkKind::Serial { path, .. } => (path.display().to_string(), "path", SERIAL),
            LinkKind::Radio(radio) => (radio.spi.display().to_string(), "spi", radio::RADIO),
            LinkKind::Concentrator(concentrator) => {
                let place = format!("UDP port {}", concentrator.listen.port());
                (place, "listen", concentrator::KEYS)
            }
            // Many virtual radios may share one ether.
            LinkKind::VirtualRadio(_) => continue,
        };
        if let LinkKind::Radio(radio) = &link.kind {
            refuse_taken_lines(section, radio, &mut lines, report);
        }
        if !places.insert(place.clone()) {
            let at = section
                .with_keys("[[link]]", keys)
                .value(key)
                .map_or(section.header(), Spanned::span);
            let text = format!("a second link on {place}");
            report.refuse(
                at,
                text,
                "one port is one link: remove this section, or name its own port",
            );
        }
    }
}
