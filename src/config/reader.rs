//! Takes values out of one table of the text. Every getter reports what is
//! wrong and goes on, so that an installer sees all problems at once.

use super::problem::{Report, sounds_secret};
use super::quantity::{Quantity, nearest};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What stands in the shipped file wherever a site must put its own.
pub(super) const PLACEHOLDER: &str = "EDIT-ME";

/// The text as tables; told if it breaks TOML's grammar.
pub(super) fn table<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Spanned<DeTable<'t>>> {
    DeTable::parse(text)
        .map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            if error.message() == "duplicate key" {
                let key = report.words(span.clone());
                let remedy =
                    "remove one of the two; a section that may be repeated is written [[…]]";
                return report.refuse(span, format!("`{key}` is written twice"), remedy);
            }
            report.refuse(
                span,
                format!("this is no TOML: {}", error.message().replace('\n', ", ")),
                "one `key = value` a line; texts in quotes; sections as [name] or [[name]]",
            );
        })
        .ok()
}

/// One table of the text and the keys that belong into it.
#[derive(Clone)]
pub(super) struct Section<'t> {
    /// As the installer knows it: "[store]", or "the top of the file".
    title: &'static str,
    /// Where a missing key is told.
    header: Range<usize>,
    table: Option<&'t DeTable<'t>>,
    keys: &'static [&'static str],
}

impl<'t> Section<'t> {
    pub(super) fn new(
        title: &'static str,
        header: Range<usize>,
        table: &'t DeTable<'t>,
        keys: &'static [&'static str],
    ) -> Self {
        Self { title, header, table: Some(table), keys }
    }

    /// A section that is not in the text: all its values are defaults.
    pub(super) fn absent(title: &'static str, keys: &'static [&'static str]) -> Self {
        Self { title, header: 0..0, table: None, keys }
    }

    /// The same table, with the keys that its kind turned out to have.
    pub(super) fn with_keys(&self, title: &'static str, keys: &'static [&'static str]) -> Self {
        Self { title, keys, ..self.clone() }
    }

    pub(super) fn header(&self) -> Range<usize> {
        self.header.clone()
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(self.keys.contains(&key), "{key} is missing in the keys of {}", self.title);
        self.table.and_then(|table| table.get(key))
    }

    /// Whether a required key is there; told if not.
    pub(super) fn require(&self, key: &str, example: &str, report: &mut Report<'_>) {
        if self.value(key).is_none() {
            report.refuse(
                self.header(),
                format!("{} lacks `{key}`", self.title),
                format!("write: {key} = {example}"),
            );
        }
    }

    /// A text that is neither empty nor a placeholder.
    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<Spanned<&'t str>> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            let words = report.words(value.span());
            let remedy = if value.get_ref().is_table() || value.get_ref().is_array() {
                format!("write one text in quotes: {key} = \"…\"")
            } else {
                format!("write: {key} = \"{words}\"")
            };
            report.refuse(
                value.span(),
                format!("`{key}` is a text in quotes, not {words}"),
                remedy,
            );
            return None;
        };
        if text.is_empty() {
            report.refuse(
                value.span(),
                format!("`{key}` is empty"),
                "write a value, or leave the line out",
            );
            return None;
        }
        if text.contains(PLACEHOLDER) {
            report.refuse(
                value.span(),
                format!("`{key}` still is the placeholder of the shipped file"),
                "write this site's own value",
            );
            return None;
        }
        Some(Spanned::new(value.span(), text))
    }

    /// A whole number within the range of `quantity`.
    pub(super) fn whole(
        &self,
        key: &str,
        quantity: &Quantity,
        report: &mut Report<'_>,
    ) -> Option<i64> {
        let value = self.value(key)?;
        let written = report.words(value.span());
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        if let Some(number) = number.filter(|number| quantity.range.contains(number)) {
            return Some(number);
        }
        let remedy = quantity.meant_by(&written).map_or_else(
            || format!("write: {key} = {}, the number alone", quantity.describe()),
            |meant| format!("write: {key} = {meant}"),
        );
        let text = format!("`{key}` is {}, not {written}", quantity.describe());
        report.refuse(value.span(), text, remedy);
        None
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let value = self.value(key)?;
        if let Some(flag) = value.get_ref().as_bool() {
            return Some(flag);
        }
        let written = report.words(value.span());
        let meant = match written.trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        };
        let remedy = meant.map_or_else(
            || format!("write: {key} = true, or: {key} = false"),
            |meant| format!("write: {key} = {meant}"),
        );
        report.refuse(value.span(), format!("`{key}` is true or false, not {written}"), remedy);
        None
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let text = self.text(key, report)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| word == text.get_ref()) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let remedy = nearest(text.get_ref(), &words).map_or_else(
            || format!("write one of: {}", quoted.join(", ")),
            |word| format!("write: {key} = \"{word}\""),
        );
        let written = report.words(text.span());
        let text_ = format!("`{key}` is one of {}, not {written}", quoted.join(", "));
        report.refuse(text.span(), text_, remedy);
        None
    }

    /// Refuses every key that does not belong here.
    pub(super) fn finish(
        &self,
        elsewhere: &[(&'static str, &'static [&'static str])],
        report: &mut Report<'_>,
    ) {
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.keys.contains(&name) {
                continue;
            }
            let home = || elsewhere.iter().find(|(_, keys)| keys.contains(&name));
            let remedy = if let Some(word) = nearest(name, self.keys) {
                format!("did you mean `{word}`?")
            } else if let Some((title, _)) = home() {
                format!("`{name}` belongs to {title}: move the line there")
            } else if sounds_secret(name) {
                "secrets never stand in this file: put it into a file of its own and name that file"
                    .to_owned()
            } else {
                format!("remove the line; {} has: {}", self.title, self.keys.join(", "))
            };
            report.refuse_key(
                key.span(),
                format!("unknown key `{name}` in {}", self.title),
                remedy,
            );
        }
    }
}
