//! Texts that people and programs on the machine write.

use pendant_gateway::config::{Config, ConfigErrors};
use pendant_gateway::shell::control::{LINE_BYTES_MAX, question};

/// Configurations: what is taken reads back to the same, what is refused says where and
/// what to do.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, "gateway.toml") {
        Ok(config) => {
            let effective = config.to_text();
            let again = Config::parse(&effective, "effective.toml")
                .unwrap_or_else(|error| panic!("{error}\nof\n{effective}"));
            assert_eq!(again.to_text(), effective);
        }
        Err(errors) => {
            assert!(matches!(errors, ConfigErrors::Refused(_)));
            assert!(!errors.problems().is_empty());
            let lines = text.lines().count();
            for problem in errors.problems() {
                assert!((1..=lines + 1).contains(&problem.line), "{problem}");
                assert!(problem.column >= 1 && !problem.remedy.is_empty(), "{problem}");
                assert!(!problem.to_string().is_empty() && !problem.for_log().is_empty());
            }
        }
    }
}

/// Lines on the control socket, cut as the socket cuts them.
pub(crate) fn control(data: &[u8]) {
    let line = data.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(usize::try_from(LINE_BYTES_MAX).expect("small"))];
    match question(line) {
        Ok(asked) => {
            let value: serde_json::Value = serde_json::from_slice(line).expect("it was read");
            let object = value.as_object().expect("a question is an object");
            assert!(object.len() == 1 && object.contains_key("ask"), "{asked:?} of {value}");
        }
        Err(error) => assert!(error.len() <= 2 * line.len() + 400, "{} bytes", error.len()),
    }
}
