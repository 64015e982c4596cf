//! The sections of the text, each with its keys, defaults and ranges.

use super::credential;
use super::files::Need;
use super::lamps::{LAMPS, lamps};
use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::reader::Section;
use super::{
    Centre, Config, Control, DEFAULT_SOCKET, Delivery, DownlinkRole, Log, LogLevel, LogTarget,
    Store, brokers, concentrator, links, lorawan, page, policy, radio,
};
use crate::engine::name::Name;
use pendant_protocol::Slot;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const TOP: &[&str] = &[
    "site",
    "gateway",
    "slot",
    "downlink_role",
    "policy",
    "response",
    "pendant",
    "lorawan",
    "store",
    "delivery",
    "centre",
    "log",
    "control",
    "lamps",
    "page",
    "metrics",
    "link",
    "broker",
];
const STORE: &[&str] = &[
    "directory",
    "key_file",
    "journal_mib_max",
    "urgent_mib_reserved",
    "history_mib_max",
    "history_days",
];
const DELIVERY: &[&str] =
    &["receipts", "receipt_wait_s", "escalate_after_s", "release_interval_s", "drain_per_s_max"];
const CENTRE: &[&str] = &["silence_s", "keys_file", "export_key_file"];
const LOG: &[&str] = &["level", "target"];
const CONTROL: &[&str] = &["socket"];
/// Where a key belongs that stands in the wrong section.
pub(super) const HOMES: &[(&str, &[&str])] = &[
    ("the top of the file", TOP),
    ("[policy]", policy::POLICY),
    ("[response]", policy::RESPONSE),
    ("[[pendant]]", policy::PENDANT),
    ("[lorawan]", lorawan::KEYS),
    ("[store]", STORE),
    ("[delivery]", DELIVERY),
    ("[centre]", CENTRE),
    ("[log]", LOG),
    ("[control]", CONTROL),
    ("[lamps]", LAMPS),
    ("[page]", page::PAGE),
    ("[metrics]", page::METRICS),
    ("[[broker]]", brokers::BROKER),
    ("[[link]]", links::SERIAL),
    ("a [[link]] of kind \"radio\"", radio::RADIO),
    ("a [[link]] of kind \"concentrator\"", concentrator::KEYS),
    ("a [[link]] of kind \"virtual-radio\"", radio::VIRTUAL_RADIO),
];

/// The whole text. `None` only if something was refused.
pub(super) fn config<'t>(table: &'t DeTable<'t>, report: &mut Report<'_>) -> Option<Config> {
    let top = Section::new("the top of the file", 0..0, table, TOP);
    top.require("site", "\"a-name\"", report);
    top.require("gateway", "\"a-name\"", report);
    top.require("slot", "0", report);
    let site = name(&top, "site", report);
    let gateway = name(&top, "gateway", report);
    let slot = top.whole("slot", &Quantity::new(Unit::Plain, 0..=31), report).and_then(|slot| {
        let slot = u8::try_from(slot).expect("the range was checked");
        Slot::new(slot)
    });
    let roles = [
        ("only", DownlinkRole::Only),
        ("primary", DownlinkRole::Primary),
        ("secondary", DownlinkRole::Secondary),
    ];
    let downlink_role = top.choice("downlink_role", &roles, report).unwrap_or(DownlinkRole::Only);
    let pendants = policy::pendants(&top, report);
    let store = store(&section(&top, "store", "[store]", STORE, report), report);
    let delivery = delivery(&section(&top, "delivery", "[delivery]", DELIVERY, report), report);
    let centre = centre(&section(&top, "centre", "[centre]", CENTRE, report), report);
    let log = log(&section(&top, "log", "[log]", LOG, report), report);
    let control = control(&section(&top, "control", "[control]", CONTROL, report), report);
    let lamps = lamps(&section(&top, "lamps", "[lamps]", LAMPS, report), report);
    let page = page::page(&section(&top, "page", "[page]", page::PAGE, report), report);
    let metrics = section(&top, "metrics", "[metrics]", page::METRICS, report);
    let metrics = page::metrics(&metrics, page.as_ref(), report);
    let links = links::links(&top, report);
    let lorawan = lorawan::lorawan(&top, &links, report);
    let brokers = brokers::brokers(&top, gateway.as_ref(), delivery.receipts, report);
    top.finish(HOMES, report);
    Some(Config {
        site: site?,
        gateway: gateway?,
        slot: slot?,
        downlink_role,
        pendants,
        lorawan,
        store,
        delivery,
        centre,
        log,
        control,
        lamps,
        page,
        metrics,
        links,
        brokers: brokers?,
        warnings: std::mem::take(&mut report.warnings),
        named_files: std::mem::take(&mut report.named_files),
    })
}

fn store(section: &Section<'_>, report: &mut Report<'_>) -> Store {
    let directory = path(section, "directory", report)
        .map_or_else(|| "/var/lib/pendant-gateway".into(), Spanned::into_inner);
    let key_file = named_file(section, "key_file", Need::SecretOnceMade, report);
    let mib = |range| Quantity::new(Unit::Mebibytes, range);
    let journal_mib_max = whole(section, "journal_mib_max", &mib(16..=65_536), 640, report);
    let urgent_mib_reserved = whole(section, "urgent_mib_reserved", &mib(1..=1024), 8, report);
    if urgent_mib_reserved >= journal_mib_max {
        let at = section.value("urgent_mib_reserved").map_or(section.header(), Spanned::span);
        report.refuse(
            at,
            "`urgent_mib_reserved` leaves nothing of `journal_mib_max` for other events",
            format!("write: urgent_mib_reserved = {}, or less", journal_mib_max / 2),
        );
    }
    let store = Store {
        key_file: key_file.unwrap_or_else(|| directory.join("store.key")),
        directory,
        journal_mib_max,
        urgent_mib_reserved,
        history_mib_max: whole(section, "history_mib_max", &mib(1..=4096), 64, report),
        history_days: whole(
            section,
            "history_days",
            &Quantity::new(Unit::Days, 1..=730),
            60,
            report,
        ),
    };
    section.finish(HOMES, report);
    store
}

fn delivery(section: &Section<'_>, report: &mut Report<'_>) -> Delivery {
    let receipts = section.flag("receipts", report).unwrap_or(true);
    if let Some(value) = section.value("receipts").filter(|_| !receipts) {
        report.warn(
            value.span(),
            "without receipts an event counts as delivered when the broker has it, not the centre",
            "let the centre answer each event on the topic …/receipt, and write: receipts = true",
        );
    }
    let seconds = Quantity::new(Unit::Seconds, 5..=3600);
    let delivery = Delivery {
        receipts,
        receipt_wait_s: whole(section, "receipt_wait_s", &seconds, 60, report),
        escalate_after_s: whole(section, "escalate_after_s", &seconds, 30, report),
        release_interval_s: whole(section, "release_interval_s", &seconds, 20, report),
        drain_per_s_max: whole(
            section,
            "drain_per_s_max",
            &Quantity::new(Unit::Plain, 0..=1_000_000),
            200,
            report,
        ),
    };
    section.finish(HOMES, report);
    delivery
}

fn centre(section: &Section<'_>, report: &mut Report<'_>) -> Centre {
    let seconds = Quantity::new(Unit::Seconds, 10..=3600);
    let centre = Centre {
        silence_s: whole(section, "silence_s", &seconds, 60, report),
        keys_file: named_file(section, "keys_file", Need::Readable, report),
        export_key_file: named_file(section, "export_key_file", Need::Readable, report),
    };
    section.finish(HOMES, report);
    centre
}

fn log(section: &Section<'_>, report: &mut Report<'_>) -> Log {
    let levels = LogLevel::ALL.map(|level| (level.as_str(), level));
    let targets = [
        ("auto", LogTarget::Auto),
        ("journald", LogTarget::Journald),
        ("stderr", LogTarget::Stderr),
    ];
    let log = Log {
        level: section.choice("level", &levels, report).unwrap_or(LogLevel::Info),
        target: section.choice("target", &targets, report).unwrap_or(LogTarget::Auto),
    };
    section.finish(HOMES, report);
    log
}

fn control(section: &Section<'_>, report: &mut Report<'_>) -> Control {
    /// `sockaddr_un` of Linux has 108 bytes, one of them the final zero.
    const SOCKET_BYTES_MAX: usize = 107;
    let socket = path(section, "socket", report);
    if let Some(socket) =
        socket.as_ref().filter(|socket| socket.get_ref().as_os_str().len() > SOCKET_BYTES_MAX)
    {
        let text = format!("a socket's path has at most {SOCKET_BYTES_MAX} bytes");
        report.refuse(socket.span(), text, "write a shorter path");
    }
    section.finish(HOMES, report);
    let default = || DEFAULT_SOCKET.into();
    Control { socket: socket.map_or_else(default, Spanned::into_inner) }
}

/// A table that may be left out.
pub(super) fn section<'t>(
    top: &Section<'t>,
    key: &str,
    title: &'static str,
    keys: &'static [&'static str],
    report: &mut Report<'_>,
) -> Section<'t> {
    let Some(value) = top.value(key) else {
        return Section::absent(title, keys);
    };
    let Some(table) = value.get_ref().as_table() else {
        report.refuse(
            value.span(),
            format!("`{key}` is a section"),
            format!("write it as {title}"),
        );
        return Section::absent(title, keys);
    };
    Section::new(title, value.span(), table, keys)
}

/// Tables that may be repeated.
pub(super) fn sections<'t>(
    top: &Section<'t>,
    key: &str,
    title: &'static str,
    keys: &'static [&'static str],
    report: &mut Report<'_>,
) -> Vec<Section<'t>> {
    let Some(value) = top.value(key) else {
        return Vec::new();
    };
    let mut refuse = |span: Range<usize>| {
        report.refuse(
            span,
            format!("`{key}` is a section that may be repeated"),
            format!("write it as {title}"),
        );
    };
    let Some(items) = value.get_ref().as_array() else {
        refuse(value.span());
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items.iter() {
        match item.get_ref() {
            DeValue::Table(table) => found.push(Section::new(title, item.span(), table, keys)),
            _ => refuse(item.span()),
        }
    }
    found
}

pub(super) fn name(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Option<Name> {
    let text = section.text(key, report)?;
    match Name::new(text.get_ref()) {
        Ok(name) => Some(name),
        Err(error) => {
            report.refuse(
                text.span(),
                format!("`{key}`: {error}"),
                "write 1 to 32 letters, digits, '.', '_' or '-'",
            );
            None
        }
    }
}

pub(super) fn path(
    section: &Section<'_>,
    key: &str,
    report: &mut Report<'_>,
) -> Option<Spanned<PathBuf>> {
    let text = section.text(key, report)?;
    if text.get_ref().starts_with('/') && !text.get_ref().contains('\0') {
        return Some(Spanned::new(text.span(), text.get_ref().into()));
    }
    let text_ = format!("`{key}` is a whole path, from / on");
    report.refuse(text.span(), text_, format!("write: {key} = \"/…\", the path from / on"));
    None
}

/// A file's path; of a secret's file also `credential:NAME`.
pub(super) fn named_file(
    section: &Section<'_>,
    key: &str,
    need: Need,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let path = match need {
        Need::Readable => path(section, key, report)?,
        Need::Secret | Need::SecretOnceMade => secret(section, key, report)?,
    };
    report.name_file(path.span(), path.get_ref().clone(), need);
    Some(path.into_inner())
}

fn secret(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Option<Spanned<PathBuf>> {
    let text = section.text(key, report)?;
    let written = Path::new(*text.get_ref());
    let Some(name) = credential::name_of(written) else {
        return path(section, key, report);
    };
    if credential::is_name(name) {
        return Some(Spanned::new(text.span(), written.into()));
    }
    report.refuse(
        text.span(),
        format!("`{key}` names no credential that could be"),
        "write credential: and 1 to 64 letters, digits, '.', '_' or '-', such as \
         \"credential:gateway.key\"",
    );
    None
}

/// A number with a default. Every quantity's range fits the type that it is
/// read into.
pub(super) fn whole<N: TryFrom<i64>>(
    section: &Section<'_>,
    key: &str,
    quantity: &Quantity,
    default: N,
    report: &mut Report<'_>,
) -> N {
    let Some(number) = section.whole(key, quantity, report) else {
        return default;
    };
    N::try_from(number).unwrap_or_else(|_| unreachable!("{number} is within the range of `{key}`"))
}
