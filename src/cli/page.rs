//! `page`: where the local page is; `page code`: a one-time code for it.

use super::control_client::{self, Ask, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// Give a code that lets one browser in: good once, for ten minutes
    Code,
}

pub(super) fn page(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (question, words): (_, fn(&Value) -> String) = match arguments.what {
        None => (Ask::Page, about),
        Some(What::Code) => (Ask::PageCode, code),
    };
    let answer = ask(&config.control.socket, question).map_err(Failure::failed)?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print(&words(&answer))?;
    }
    Ok(Exit::Done)
}

fn about(answer: &Value) -> String {
    let page = &answer["page"];
    if page.is_null() {
        return "The page is off. To switch it on, write below [page] in the configuration:\n  \
                listen = \"127.0.0.1:8080\"      for this machine, or through ssh\n  \
                listen = \"0.0.0.0:8443\"        for a phone on site, with a code\n\
                and restart the gateway.\n"
            .to_owned();
    }
    let mut text = place(page);
    match page["sessions"].as_u64() {
        None => text += "It is for this machine alone, and needs no code.\n",
        Some(sessions) => {
            text +=
                &format!("Browsers let in: {sessions}. For another: pendant-gateway page code\n");
        }
    }
    text
}

fn code(answer: &Value) -> String {
    let minutes = answer["valid_s"].as_u64().unwrap_or(0) / 60;
    format!(
        "Code: {}\nIt lets one browser in, within {minutes} minutes.\n{}",
        shown(&answer["code"]),
        place(answer)
    )
}

fn place(page: &Value) -> String {
    let address = shown(&page["address"]);
    let mut text = format!("Page: {address}\n");
    if address.contains("//0.0.0.0:") || address.contains("//[::]:") {
        text += "      (write this machine's own address for the zeros: ip -brief address)\n";
    }
    if page["fault"].is_string() {
        text += &format!("It is NOT served: {}\n", shown(&page["fault"]));
    }
    if page["fingerprint_sha256"].is_string() {
        let fingerprint = shown(&page["fingerprint_sha256"]);
        text += &format!(
            "Its certificate's SHA-256, which the browser must show as well:\n{}\n",
            in_two_lines(&fingerprint)
        );
    }
    text
}

/// 32 pairs of digits are too long for one line of a terminal.
fn in_two_lines(fingerprint: &str) -> String {
    let pairs: Vec<&str> = fingerprint.split(':').collect();
    let lines: Vec<String> = pairs.chunks(16).map(|line| format!("  {}", line.join(":"))).collect();
    lines.join(":\n")
}

fn shown(value: &Value) -> String {
    control_client::shown(value.as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_installer_is_told_what_to_type_and_to_compare() {
        let answer = json!({
            "code": "1234-5678", "valid_s": 600, "address": "https://0.0.0.0:8443/",
            "fault": null, "fingerprint_sha256": vec!["AB"; 32].join(":"),
        });
        let text = code(&answer);
        for words in ["Code: 1234-5678\n", "within 10 minutes", "//0.0.0.0:8443/", "own address"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let off = about(&json!({ "page": null }));
        assert!(off.contains("The page is off") && off.contains("listen ="), "{off}");
        let faulty = json!({ "page": {
            "address": "http://127.0.0.1:8080/", "fault": "taken\u{1b}", "sessions": null,
        }});
        let text = about(&faulty);
        assert!(text.contains("NOT served: taken\\u{1b}") && text.contains("no code"), "{text}");
    }
}
