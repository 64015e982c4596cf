//! `status`: how the running gateway is.

use super::control_client::{Ask, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use serde_json::Value;

pub(super) fn status(config: &Config, json: bool) -> Result<Exit, Failure> {
    let answer = ask(&config.control.socket, Ask::Status).map_err(Failure::failed)?;
    if json {
        print_json(&answer)?;
    } else {
        let mut text = String::new();
        outline(&answer, 0, &mut text);
        print(&text)?;
    }
    Ok(Exit::Done)
}

/// Members as indented lines. Texts are escaped: a terminal obeys some of what
/// a link's name or a broker's words could hold.
fn outline(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (format!("{}:", words(key)), value)).collect()
        }
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        single => {
            *text += &format!("{indent}{}\n", scalar(single));
            return;
        }
    };
    for (label, value) in members {
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        if is_empty {
            *text += &format!("{indent}{label} none\n");
        } else if value.is_object() || value.is_array() {
            *text += &format!("{indent}{label}\n");
            outline(value, depth + 1, text);
        } else {
            *text += &format!("{indent}{label} {}\n", scalar(value));
        }
    }
}

fn words(key: &str) -> String {
    key.replace('_', " ").escape_debug().to_string()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_becomes_lines_that_no_terminal_obeys() {
        let answer = json!({
            "journal_waiting": 3,
            "links": [{"name": "serial-1", "up": true}],
            "troubles": [],
            "words\u{1b}": "red\u{1b}[31m\nnext",
        });
        let mut text = String::new();
        outline(&answer, 0, &mut text);
        assert_eq!(
            text,
            "journal waiting: 3\nlinks:\n  -\n    name: serial-1\n    up: yes\ntroubles: none\n\
             words\\u{1b}: red\\u{1b}[31m\\nnext\n"
        );
    }
}
