//! Every member of an answer as indented lines.

use crate::cli::control_client::shown;
use serde_json::Value;

pub(super) fn outline(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
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
            write(value, depth + 1, text);
        } else {
            *text += &format!("{indent}{label} {}\n", scalar(value));
        }
    }
}

fn words(key: &str) -> String {
    shown(&key.replace('_', " "))
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "unknown".to_owned(),
        Value::String(text) => shown(text),
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
        assert_eq!(
            outline(&answer),
            "journal waiting: 3\nlinks:\n  -\n    name: serial-1\n    up: yes\ntroubles: none\n\
             words\\u{1b}: red\\u{1b}[31m\\nnext\n"
        );
    }
}
