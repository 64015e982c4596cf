//! Every field of the configuration, each with every kind of mistake: the message
//! names file, line, column, the field and what was meant.
//!
//! The fields are those of the shipped file with all that it shows switched on, and
//! of `OTHERS` in `fields.rs`. A key that the program knows and neither of them shows fails
//! [`no_key_is_left_out`].

use super::fields::{Field, fields, texts};
use pendant_gateway::config::{Config, Problem, SECTIONS};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::process::Command;
use toml::Value;

fn problems(text: &str) -> Vec<Problem> {
    match Config::parse(text, "gateway.toml") {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems().to_vec(),
    }
}

/// The problem of `text` at a place, which must be told with all that belongs to it.
fn told(text: &str, line: usize, column: usize, name: &str) -> Result<Problem, String> {
    let all = problems(text);
    let what = text.lines().nth(line - 1).unwrap_or_default();
    let named = format!("`{name}`");
    let is_named = |problem: &&Problem| problem.to_string().contains(&named);
    let here = |problem: &&Problem| (problem.line, problem.column) == (line, column);
    let found = all.iter().filter(here).find(is_named);
    let found = found.filter(|found| found.file == "gateway.toml" && !found.remedy.is_empty());
    let fault = || format!("not told of {named} at {line}:{column}: {what}: {all:#?}");
    found.cloned().ok_or_else(fault)
}

/// Looks at every field of every text; all that is not as it should be is shown at once.
#[track_caller]
fn each(mut look: impl FnMut(&str, &Field) -> Result<(), String>) {
    let mut faults = Vec::new();
    for text in texts() {
        for field in fields(&text) {
            faults.extend(look(&text, &field).err());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn agree(agrees: bool, problem: &Problem) -> Result<(), String> {
    if agrees { Ok(()) } else { Err(problem.to_string()) }
}
#[test]
fn the_texts_are_right_until_something_is_changed() {
    for text in texts() {
        assert_eq!(problems(&text), [], "{text}");
    }
}

#[test]
fn no_key_is_left_out() {
    let shown: BTreeSet<(String, String)> = texts()
        .iter()
        .flat_map(|text| fields(text))
        .map(|field| (field.section, field.key))
        .collect();
    let headers: BTreeSet<String> = texts()
        .iter()
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.starts_with('['))
        .map(|line| line.trim_matches(['[', ']']).to_owned())
        .collect();
    for (title, keys) in SECTIONS {
        if title.contains("virtual-radio") && !cfg!(feature = "sim") {
            continue;
        }
        for key in *keys {
            let is_shown = shown.contains(&((*title).to_owned(), (*key).to_owned()))
                || (*title == "the top of the file" && headers.contains(*key));
            assert!(
                is_shown,
                "{key} of {title}: show it in config/gateway.toml, or in OTHERS of tests/config/fields.rs"
            );
        }
    }
    for header in &headers {
        let known = SECTIONS.iter().any(|(title, _)| title.trim_matches(['[', ']']) == header);
        assert!(known, "[{header}] has no place among the sections of src/config/sections.rs");
    }
}

#[test]
fn a_misspelt_key_is_told_and_the_right_one_is_offered() {
    let mut tried = 0;
    each(|text, field| {
        let (word, middle) = (&field.key, field.key.len() / 2);
        let dropped = |at: usize| format!("{}{}", &word[..at], &word[at + 1..]);
        let doubled = format!("{}{}", &word[..=middle], &word[middle..]);
        let swapped = format!("{}{}{}", &word[..1], &word[2..3], &word[1..2]) + &word[3..];
        let behind = text.lines().nth(field.line).expect("its line")[word.len()..].to_owned();
        for slip in [dropped(middle), dropped(word.len() - 1), doubled, swapped] {
            if field.keys().contains(&slip.as_str()) || slip == *word {
                continue;
            }
            let text = field.replaced(text, &format!("{slip}{behind}"));
            let problem = told(&text, field.line + 1, 1, &slip)?;
            agree(problem.remedy == format!("did you mean `{word}`?"), &problem)?;
            tried += 1;
        }
        Ok(())
    });
    assert!(tried > 400, "{tried}");
}

/// A value of every other type, and nothing at all.
fn wrong_values(value: &Value) -> Vec<&'static str> {
    let all = [
        "7",
        "\"\"",
        "1.5",
        "true",
        "2026-11-30",
        "[\"a\", {}]",
        "{ a = 1 }",
        "\"30s\"",
        "\"\\t?\"",
    ];
    let is_right = |text: &str| match value {
        Value::Integer(_) => text == "7",
        Value::Boolean(_) => text == "true",
        _ => false,
    };
    all.into_iter().filter(|text| !is_right(text)).collect()
}

#[test]
fn a_value_of_another_type_is_told() {
    let mut tried = 0;
    each(|text, field| {
        for wrong in wrong_values(&field.value) {
            let text = field.set(text, wrong);
            // A name may be that, as may a user's at the broker.
            let is_text = field.value.is_str() && wrong == "\"30s\"";
            if is_text && problems(&text).iter().all(|problem| problem.line != field.line + 1) {
                continue;
            }
            told(&text, field.line + 1, field.value_column(), field.name())?;
            tried += 1;
        }
        Ok(())
    });
    assert!(tried > 800, "{tried}");
}

/// From "... is a whole number of seconds, 5 to 3600, not 3".
fn range(problem: &Problem) -> Result<(i64, i64), String> {
    let ends = || {
        let (_, range) = problem.text.split_once("a whole number")?;
        let (low, high) = range.split_once(", not")?.0.split_once(" to ")?;
        Some((low.rsplit(' ').next()?.parse().ok()?, high.parse().ok()?))
    };
    ends().ok_or_else(|| format!("no range: {problem}"))
}

#[test]
fn a_number_beyond_its_range_is_told_at_both_ends() {
    let mut tried = 0;
    each(|text, field| {
        if !field.value.is_integer() {
            return Ok(());
        }
        let at = |value: &str| {
            told(&field.set(text, value), field.line + 1, field.value_column(), field.name())
        };
        let (low, high) = range(&at("-9223372036854775808")?)?;
        for beyond in [low - 1, high + 1, i64::MAX] {
            let problem = at(&beyond.to_string())?;
            agree(range(&problem) == Ok((low, high)), &problem)?;
        }
        at("99999999999999999999")?;
        for within in [low, high] {
            let all = problems(&field.set(text, &within.to_string()));
            let outside = all.iter().find(|problem| range(problem).is_ok());
            outside.map_or(Ok(()), |problem| Err(problem.to_string()))?;
        }
        tried += 1;
        Ok(())
    });
    assert!(tried > 40, "{tried}");
}

/// The number alone belongs there: who writes a unit is told the number.
#[test]
fn a_quantity_with_its_unit_is_told_as_a_number() {
    let units =
        [("_s", "s"), ("_days", " days"), ("_mib_max", " MiB"), ("_hz", " Hz"), ("_dbm", "dBm")];
    let mut tried = 0;
    each(|text, field| {
        let unit = units.iter().find(|(end, _)| field.key.ends_with(end));
        let (Some((_, unit)), Value::Integer(number)) = (unit, &field.value) else {
            return Ok(());
        };
        let text = field.set(text, &format!("\"{number}{unit}\""));
        let problem = told(&text, field.line + 1, field.value_column(), &field.key)?;
        tried += 1;
        agree(problem.remedy == format!("write: {} = {number}", field.key), &problem)
    });
    assert!(tried > 20, "{tried}");
}

#[test]
fn a_key_that_is_written_twice_is_told() {
    each(|text, field| {
        let line = text.lines().nth(field.line).expect("its line");
        let text = field.replaced(text, &format!("{line}\n{line}"));
        let column = field.key.len() + 2;
        let column = if field.rest.is_empty() { 1 } else { column };
        let problem = told(&text, field.line + 2, column, field.name())?;
        agree(problem.text.ends_with("is written twice"), &problem)
    });
}

#[test]
fn a_missing_key_is_told_where_it_belongs() {
    let mut required = BTreeSet::new();
    each(|text, field| {
        let all = problems(&field.replaced(text, ""));
        let lacks = format!("lacks `{}`", field.key);
        let Some(problem) = all.iter().find(|problem| problem.text.ends_with(&lacks)) else {
            // Without it another one makes no sense, or nothing is wrong.
            let is_named = all.iter().any(|problem| problem.to_string().contains(&field.key));
            let is_well = all.is_empty() || is_named;
            return if is_well { Ok(()) } else { Err(format!("{}: {all:#?}", field.key)) };
        };
        required.insert((field.section.clone(), field.key.clone()));
        let is_shown = problem.remedy.starts_with(&format!("write: {} = ", field.key));
        agree(is_shown && problem.line == field.header.unwrap_or(0) + 1, problem)
    });
    let keys: BTreeSet<&str> = required.iter().map(|(_, key)| key.as_str()).collect();
    for key in
        ["site", "gateway", "slot", "number", "name", "kind", "path", "eui", "region", "host"]
    {
        assert!(keys.contains(key), "{key} is required: {keys:?}");
    }
}

/// One mistake in each section, by the program itself.
#[test]
fn check_refuses_each_with_its_place_and_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.toml");
    for text in texts() {
        let mut seen = BTreeSet::new();
        for field in fields(&text).into_iter().filter(|field| seen.insert(field.header)) {
            std::fs::write(&path, field.set(&text, "[1]")).expect("written");
            let mut check = Command::new(env!("CARGO_BIN_EXE_pendant-gateway"));
            let output = check.arg("--config").arg(&path).arg("check").output().expect("it runs");
            assert_eq!(output.status.code(), Some(2), "{}", field.key);
            let said = String::from_utf8(output.stdout).expect("text");
            let place = format!("{}:{}:{}: ", path.display(), field.line + 1, field.value_column());
            assert!(said.contains(&place) && said.contains("\n  -> "), "{place}\n{said}");
        }
    }
}

/// Where the bytes are no text, too.
#[test]
fn bytes_that_are_no_text_have_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, b"site = \"harbour\"\n# gr\xC3\xB6\xDFe\nslot = 0\n").expect("written");
    let errors = Config::read_text(&path).expect_err("Latin-1").to_string();
    let place = format!("{}:2:6: ", path.display());
    assert!(errors.starts_with(&place) && errors.contains("UTF-8"), "{errors}");
}

proptest! {
    /// Whatever bytes become of it: taken, or refused with places within the text.
    #[test]
    fn no_bytes_make_it_panic_and_each_refusal_has_a_place(
        which in 0..2usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut bytes = texts().swap_remove(which).into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, &bytes).expect("written");
        if let Err(errors) = Config::read_text(&path) {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert!(!errors.problems().is_empty(), "{errors}");
            for problem in errors.problems() {
                prop_assert!((1..=lines.len()).contains(&problem.line), "{problem}");
                let characters = lines[problem.line - 1].chars().count();
                prop_assert!((1..=characters + 1).contains(&problem.column), "{problem}");
                prop_assert!(!problem.text.is_empty() && !problem.remedy.is_empty());
            }
        }
    }
}
