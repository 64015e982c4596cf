//! The page and metrics: off unless written, and never open without TLS.

use super::{LEAST, parse, refusal};
use pendant_gateway::config::{Config, Page};

fn page(lines: &str) -> String {
    format!("{LEAST}[page]\n{lines}\n")
}

#[test]
fn nothing_listens_unless_it_is_written() {
    assert_eq!(parse(LEAST).page, None);
    assert_eq!(parse(&page("")).page, None);
    assert_eq!(parse(&format!("{LEAST}[metrics]\n")).metrics, None);
}

#[test]
fn only_loopback_is_without_tls() {
    for loopback in ["127.0.0.1:8080", "[::1]:8080", "127.3.2.1:1"] {
        let config = parse(&page(&format!("listen = \"{loopback}\"")));
        assert!(matches!(config.page, Some(Page::Loopback { .. })), "{loopback}");
    }
    for open in ["0.0.0.0:8443", "[::]:8443", "192.0.2.7:80", "[::ffff:127.0.0.1]:8080"] {
        let config = parse(&page(&format!("listen = \"{open}\"")));
        assert!(matches!(config.page, Some(Page::Interface { .. })), "{open}");
    }
}

#[test]
fn both_read_back_as_they_were_written() {
    let files = "certificate_file = \"/tls/page.pem\"\nkey_file = \"/tls/page.key\"";
    for lines in [
        "listen = \"127.0.0.1:8080\"".to_owned(),
        "listen = \"0.0.0.0:8443\"".to_owned(),
        format!("listen = \"0.0.0.0:8443\"\n{files}"),
    ] {
        let config = parse(&format!("{}[metrics]\nlisten = \"[::1]:9464\"\n", page(&lines)));
        let again = parse(&config.to_text());
        assert_eq!((&again.page, &again.metrics), (&config.page, &config.metrics), "{lines}");
        assert!(config.page.is_some() && config.metrics.is_some());
    }
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    for (text, told) in [
        (page("listen = \"8080\""), "write: listen = \"127.0.0.1:8080\""),
        (page("listen = \"localhost:8080\""), "write: listen = \"127.0.0.1:8080\""),
        (page("listen = \"127.0.0.1:0\""), "write: listen = \"127.0.0.1:8080\""),
        (page("listen = \"0.0.0.0:8443\"\nkey_file = \"/k\""), "`certificate_file` is not there"),
        (page("key_file = \"/k\""), "remove the line, or write: listen = \"0.0.0.0:8443\""),
        (page("listen = \"127.0.0.1:80\"\ncertificate_file = \"/c\""), "remove the line, or"),
        (page("listn = \"127.0.0.1:80\""), "did you mean `listen`?"),
        (
            format!("{}[metrics]\nlisten = \"[::1]:80\"\n", page("listen = \"[::1]:80\"")),
            "the page listens there already",
        ),
        (
            format!("{LEAST}[metrics]\nlisten = \"0.0.0.0:9464\"\n"),
            "metrics are to be had on this machine alone",
        ),
    ] {
        let refused = refusal(&text);
        assert!(refused.contains(told), "{told}\n{refused}");
    }
}

#[test]
fn the_files_are_looked_at() {
    let lines = "listen = \"0.0.0.0:8443\"\ncertificate_file = \"/not/there\"\n\
                 key_file = \"/not/there\"";
    let problems = Config::parse(&page(lines), "gateway.toml").expect("the text").file_problems();
    assert_eq!(problems.iter().filter(|p| p.text.contains("/not/there")).count(), 2);
}
