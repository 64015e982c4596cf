//! The file that `pendants import` reads: comma-separated values, a pendant a line.
//!
//! The first line names the columns (`docs/install.md` describes each). Commas, semicolons
//! and tabs are taken, as spreadsheets write them. No value is copied out of the text
//! that is handed in but into types that wipe themselves; no message repeats one of the
//! columns that hold secrets.

use self::fields::Fields;
use crate::cli::bought::{Nonces, Number, parse_address, parse_eui, read_key};
use crate::cli::tr005;
use crate::config::devices;
use crate::engine::device::Profile;
use crate::engine::keyring::Secrets;
use crate::engine::lorawan::{Activation, DevNonceRule, SecretKey};
use crate::engine::name::Name;
use pendant_protocol::PendantId;
use std::fmt;

mod fields;

/// All columns, in the order of `pendants export` and then of what only an import has.
const COLUMNS: [&str; 15] = [
    "number",
    "wearer",
    "kind",
    "device",
    "dev_eui",
    "join_eui",
    "dev_addr",
    "node",
    "changed",
    "has_pins",
    "qr_code",
    "app_key",
    "nonces",
    "nwk_s_key",
    "app_s_key",
];
/// Columns that hold keys.
const KEY_COLUMNS: [&str; 3] = ["app_key", "nwk_s_key", "app_s_key"];
const NUMBER: &str = "number";
const WEARER: &str = "wearer";
const DEVICE: &str = "device";
/// Of which a pendant that was bought has one, and a native one none.
const IDS: [&str; 4] = ["dev_eui", "qr_code", "dev_addr", "node"];

/// A pendant as the file has it.
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) pendant: PendantId,
    pub(super) wearer: Name,
    pub(super) device: Option<&'static Profile>,
    /// `None` of a native pendant: its key is made here.
    pub(super) bought: Option<Bought>,
}

/// What a pendant that was bought brings along.
pub(super) struct Bought {
    pub(super) number: Number,
    pub(super) secrets: Secrets,
    /// The column that says which device it is.
    pub(super) column: &'static str,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: Option<&'static str>,
    pub(super) text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// What was found in a file.
#[derive(Default)]
pub(super) struct Found {
    /// All lines that are right by themselves.
    pub(super) rows: Vec<Row>,
    pub(super) mistakes: Vec<Mistake>,
    /// Whether a key stands in it.
    pub(super) holds_keys: bool,
}

impl Found {
    fn refuse(&mut self, line: usize, column: Option<&'static str>, text: impl Into<String>) {
        self.mistakes.push(Mistake { line, column, text: text.into() });
    }
}

/// Reads a file. Each line is looked at, also behind one with a mistake.
pub(super) fn read(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            found.refuse(line, None, "this is no UTF-8 text: save the sheet as CSV (UTF-8)");
            return found;
        }
    };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let Some((line, header)) = lines.next().filter(|(_, header)| !header.trim().is_empty()) else {
        found.refuse(1, None, format!("the first line names the columns, as: {NUMBER},{WEARER}"));
        return found;
    };
    let delimiter = [b',', b';', b'\t'].into_iter().find(|sign| header.as_bytes().contains(sign));
    let delimiter = delimiter.unwrap_or(b',');
    let Some(columns) = columns(line, header, delimiter, &mut found) else { return found };
    for (line, text) in lines {
        row(line, text, delimiter, &columns, &mut found);
    }
    if found.rows.is_empty() && found.mistakes.is_empty() {
        found.refuse(line, None, "no pendant stands below the names of the columns");
    }
    found
}

/// The columns that the first line names.
fn columns(
    line: usize,
    header: &str,
    delimiter: u8,
    found: &mut Found,
) -> Option<Vec<&'static str>> {
    let Some(names) = Fields::split(header, delimiter) else {
        found.refuse(line, None, "a quotation mark is not closed");
        return None;
    };
    let mut columns = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(name)) {
            Some(column) if columns.contains(&column) => {
                found.refuse(line, Some(column), "this column is named twice");
            }
            Some(column) => columns.push(column),
            None => {
                let all = COLUMNS.join(", ");
                let name = shown(at, name);
                found.refuse(line, None, format!("{name} is no known column; there are: {all}"));
            }
        }
    }
    for needed in [NUMBER, WEARER] {
        if !columns.contains(&needed) {
            found.refuse(line, Some(needed), "this column is missing");
        }
    }
    found.mistakes.is_empty().then_some(columns)
}

/// How an unknown column is called. In a file whose first line is that of a pendant it may
/// be a secret: what could be one is not repeated.
fn shown(at: usize, name: &str) -> String {
    let harmless = name.len() <= 20 && !name.contains(|sign: char| sign.is_ascii_digit());
    if harmless { format!("{name:?}") } else { format!("what stands first in column {}", at + 1) }
}

/// One line while it is read: its values by column, and what was found wrong.
struct Line<'l> {
    line: usize,
    values: Vec<(&'static str, &'l str)>,
    found: &'l mut Found,
}

impl Line<'_> {
    /// A value that is not empty.
    fn value(&self, column: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    fn refuse(&mut self, column: &'static str, text: impl Into<String>) {
        self.found.refuse(self.line, Some(column), text);
    }

    /// A value, read; `None` if there is none or it cannot be read, which is told.
    fn parsed<T, E: fmt::Display>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.value(column).map(parse)? {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(column, error.to_string());
                None
            }
        }
    }

    fn required<T, E: fmt::Display>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.value(column).is_none() {
            self.refuse(column, "this is missing");
        }
        self.parsed(column, parse)
    }

    fn key(&mut self, column: &'static str) -> Option<SecretKey> {
        self.required(column, |text| read_key(text).ok_or("a key has 32 hexadecimal digits"))
    }

    /// Which of the columns that tell a device is filled in.
    fn id(&mut self) -> Option<&'static str> {
        let given: Vec<_> = IDS.into_iter().filter(|id| self.value(id).is_some()).collect();
        for more in given.iter().skip(1) {
            self.refuse(more, format!("{} stands there already: fill in one of them", given[0]));
        }
        given.first().copied()
    }

    /// Values that mean nothing beside `id` would be lost in silence.
    fn refuse_what_does_not_belong(&mut self, id: Option<&'static str>) {
        let belongs: &[(&'static str, &[&str])] = &[
            ("join_eui", &["dev_eui"]),
            ("app_key", &["dev_eui", "qr_code"]),
            ("nonces", &["dev_eui", "qr_code"]),
            ("nwk_s_key", &["dev_addr"]),
            ("app_s_key", &["dev_addr"]),
        ];
        for (column, ids) in belongs {
            if self.value(column).is_some() && !id.is_some_and(|id| ids.contains(&id)) {
                self.refuse(column, format!("this is for a pendant with {}", ids.join(" or ")));
            }
        }
    }
}

fn row(line: usize, text: &str, delimiter: u8, columns: &[&'static str], found: &mut Found) {
    if text.trim().is_empty() {
        return;
    }
    let Some(fields) = Fields::split(text, delimiter) else {
        return found.refuse(line, None, "a quotation mark is not closed");
    };
    // Spreadsheets leave such lines behind.
    if fields.iter().all(str::is_empty) {
        return;
    }
    if fields.count != columns.len() {
        let count = if fields.count > columns.len() { "more" } else { "fewer" };
        let text = format!("there are {count} fields than the {} columns", columns.len());
        return found.refuse(line, None, text);
    }
    let values = columns.iter().copied().zip(fields.iter()).filter(|(_, value)| !value.is_empty());
    let mut line = Line { line, values: values.collect(), found };
    line.found.holds_keys |= KEY_COLUMNS.iter().any(|key| line.value(key).is_some());
    let before = line.found.mistakes.len();
    let row = whole_row(&mut line);
    if let Some(row) = row.filter(|_| line.found.mistakes.len() == before) {
        line.found.rows.push(row);
    }
}

fn whole_row(line: &mut Line<'_>) -> Option<Row> {
    let pendant = line.required(NUMBER, |text| {
        text.parse::<PendantId>().map_err(|error| {
            format!("{error}; a spreadsheet cuts zeros off unless the column is text")
        })
    });
    let wearer = line.required(WEARER, Name::new);
    let device = line.parsed(DEVICE, |text| {
        devices::named(text).ok_or("no such device is known; `docs/devices.md` lists them")
    });
    let id = line.id();
    line.refuse_what_does_not_belong(id);
    let bought = id.map(|id| bought(line, id));
    if id.is_none() && line.value(DEVICE).is_some() {
        let ids = IDS.join(", ");
        line.refuse(DEVICE, format!("a pendant that was bought has one of: {ids}"));
    }
    let kind = match id {
        None => "native",
        Some("dev_addr") => "lorawan-abp",
        Some("node") => "unvouched",
        Some(_) => "lorawan",
    };
    if line.value("kind").is_some_and(|given| given != kind) {
        line.refuse("kind", format!("what stands in this line makes it {kind}"));
    }
    let bought = match bought {
        None => None,
        Some(bought) => Some(bought?),
    };
    Some(Row { line: line.line, pendant: pendant?, wearer: wearer?, device, bought })
}

fn bought(line: &mut Line<'_>, id: &'static str) -> Option<Bought> {
    let (number, secrets) = match id {
        "dev_addr" => {
            let dev_addr = line.parsed(id, parse_address);
            let (nwk_s_key, app_s_key) = (line.key("nwk_s_key"), line.key("app_s_key"));
            let (dev_addr, nwk_s_key, app_s_key) = (dev_addr?, nwk_s_key?, app_s_key?);
            let activation = Activation::Abp { dev_addr, nwk_s_key, app_s_key };
            (Number::DevAddr(dev_addr), Secrets::LoRaWan(activation))
        }
        "node" => {
            let number = line.parsed(id, parse_address)?;
            (Number::Node(number), Secrets::Claimed { number })
        }
        _ => {
            let euis = match id {
                "qr_code" => {
                    line.parsed(id, tr005::parse).map(|label| (label.dev_eui, Some(label.join_eui)))
                }
                _ => {
                    let join_eui = line.parsed("join_eui", parse_eui);
                    line.parsed(id, parse_eui).map(|dev_eui| (dev_eui, join_eui))
                }
            };
            let app_key = line.key("app_key");
            let nonces = line.parsed("nonces", |text| {
                <Nonces as clap::ValueEnum>::from_str(text, true)
                    .map_err(|_| "write random (LoRaWAN 1.0.2, 1.0.3) or rising (1.0.4)")
            });
            let (dev_eui, join_eui) = euis?;
            let nonces = nonces.map_or(DevNonceRule::Random, DevNonceRule::from);
            let app_key = app_key?;
            let activation = Activation::Otaa { dev_eui, join_eui, app_key, nonces };
            (Number::DevEui(dev_eui), Secrets::LoRaWan(activation))
        }
    };
    Some(Bought { number, secrets, column: id })
}

#[cfg(test)]
mod tests;
