//! What passes between commands and the running gateway, a pretended one here.

use super::{PROGRAM, Site, pins, run};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread::JoinHandle;

/// Answers one connection; gives what was asked.
pub(super) fn gateway(site: &Site, answer: &'static str) -> JoinHandle<String> {
    let socket = site.path("control.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).expect("free");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a command connects");
        let mut asked = String::new();
        BufReader::new(&stream).read_line(&mut asked).expect("a line");
        stream.write_all(answer.as_bytes()).expect("the command waits for it");
        asked
    })
}

#[test]
fn status_prints_what_the_gateway_answers() {
    let site = Site::new();
    let answer = "{\"uptime_s\":5,\"links\":[{\"name\":\"serial-1\",\"up\":true}]}\n";
    let asked = gateway(&site, answer);
    let said = site.run(&["status", "--all"]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"status\"}\n");
    assert_eq!(said.out, "links:\n  -\n    name: serial-1\n    up: yes\nuptime s: 5\n");
    let asked = gateway(&site, answer);
    let said = site.run(&["status", "--json"]).expect(0);
    asked.join().expect("answered");
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["uptime_s"], 5);
    // What it says is not enough to call it well.
    let asked = gateway(&site, answer);
    let said = site.run(&["status"]).expect(0);
    asked.join().expect("answered");
    assert!(said.out.starts_with("TROUBLE: 1 thing needs you\n"), "{}", said.out);
    let asked = gateway(&site, answer);
    site.run(&["status", "--check"]).expect(1);
    asked.join().expect("answered");
}

/// What the gateway says comes as it was meant, and what a terminal would obey written out.
#[test]
fn a_refusal_of_the_gateway_is_readable() {
    let site = Site::new();
    let answer = "{\"error\":\"write listen = \\\"0.0.0.0:8443\\\" \\u001b[2J\"}\n";
    let asked = gateway(&site, answer);
    let said = site.run(&["page", "code"]).expect(1);
    asked.join().expect("answered");
    let words = "the gateway answers: write listen = \"0.0.0.0:8443\" \\u{1b}[2J";
    assert!(said.err.contains(words), "{}", said.err);
}

/// Names that lead nowhere are told with what to do about them.
#[test]
fn files_that_cannot_be_had_are_told_with_what_to_do() {
    let site = Site::new();
    let there = site.path("there");
    std::fs::write(&there, "not a walk test\n").expect("free");
    let (there, none) = (there.to_str().expect("text"), "/nonexistent/file");
    let check = "1A2B-3C4D-5E6F-7081-92A3";
    for (arguments, exit, words) in [
        (&["pendants", "import", none][..], 2, "look at the name"),
        (&["pendants", "accept", "--check", check, none], 2, "look at the name"),
        (&["survey", "report", none], 1, "look at the name"),
        (&["survey", "report", there], 1, "ending in .jsonl"),
        (&["support", "--out", none], 1, "look at the name"),
        (&["support", "--out", there], 1, "name another file"),
        (&["pendants", "import", "/"], 2, "name a file in it"),
        (&["enroll", "--pendant", "00012f", "--wearer", "m", "--pins-fd", "99"], 2, "must be open"),
    ] {
        let said = site.run(arguments).expect(exit);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn another_log_level_is_asked_for_with_its_time() {
    let site = Site::new();
    let answer = "{\"level\":\"debug\",\"configured\":\"info\",\"returns_in_s\":600}\n";
    let asked = gateway(&site, answer);
    let said = site.run(&["log", "--level", "debug", "--for", "10min"]).expect(0);
    let line = asked.join().expect("answered");
    assert_eq!(line, "{\"ask\":{\"log\":{\"level\":\"debug\",\"seconds\":600}}}\n");
    assert_eq!(said.out, "debug for 10m, then info again\n");
    let asked = gateway(&site, answer);
    site.run(&["log", "--reset"]).expect(0);
    let line = asked.join().expect("answered");
    assert_eq!(line, "{\"ask\":{\"log\":{\"level\":null,\"seconds\":900}}}\n");
    for wrong in [["--level", "loud"], ["--for", "2days"], ["--for", "0s"], ["--for", "soon"]] {
        site.run(&["log", wrong[0], wrong[1]]).expect(2);
    }
}

#[test]
fn no_gateway_and_one_that_talks_nonsense_are_told_apart() {
    let site = Site::new();
    let said = site.run(&["status"]).expect(1);
    assert!(
        said.err.contains("no gateway is running") && said.err.contains("systemctl start"),
        "{}",
        said.err
    );
    // A socket left behind by a gateway that was killed.
    drop(UnixListener::bind(site.path("control.sock")).expect("free"));
    let said = site.run(&["status"]).expect(1);
    assert!(said.err.contains("no gateway is running"), "{}", said.err);
    for (answer, words) in [
        ("", "no whole line came back"),
        ("{\"up", "no whole line came back"),
        ("hello\n", "what came back is not JSON"),
        ("{\"error\":\"not now\\u001b[2J\"}\n", "the gateway answers: not now\\u{1b}[2J"),
    ] {
        let asked = gateway(&site, answer);
        let said = site.run(&["status"]).expect(1);
        asked.join().expect("answered");
        assert!(said.err.contains(words), "{}", said.err);
        assert!(said.out.is_empty());
    }
}

#[test]
fn a_running_gateway_learns_of_enrolments_at_once() {
    let site = Site::new();
    let said = site.enroll("00012f", &pins(), &[]).expect(0);
    assert!(
        said.err.contains("No gateway is running; it will know it when it starts."),
        "{}",
        said.err
    );
    let asked = gateway(&site, "{\"pendants\":2}\n");
    let said = site.enroll("000130", &pins(), &[]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    assert!(said.err.contains("The running gateway knows it."), "{}", said.err);
    let asked = gateway(&site, "{\"pendants\":2}\n");
    site.run(&["pendants", "bind", "00012f", "--wearer", "a.silva", "--keep-pins"]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    let asked = gateway(&site, "{\"pendants\":1}\n");
    site.run(&["revoke", "000130"]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    // Many at once are one change: this gateway answers one question.
    site.write("many.csv", "number,wearer\n000140,a\n000141,b\n", 0o600);
    let many = site.path("many.csv").display().to_string();
    let asked = gateway(&site, "{\"pendants\":3}\n");
    let said = site.run(&["pendants", "import", &many]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    assert!(said.err.contains("The running gateway knows it."), "{}", said.err);
    let asked = gateway(&site, "{\"pendants\":1}\n");
    site.run(&["revoke", "000140", "000141"]).expect(0);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    // Nor does it depend on whether anybody reads what is printed.
    let asked = gateway(&site, "{\"pendants\":2}\n");
    let full =
        "exec \"$0\" --config \"$1\" enroll --pendant 000142 --wearer m --pins-fd 0 >/dev/full";
    let mut command = Command::new("sh");
    command.args(["-c", full, PROGRAM]).arg(site.path("gateway.toml"));
    let said = run(command, &pins()).expect(1);
    assert_eq!(asked.join().expect("answered"), "{\"ask\":\"reload\"}\n");
    assert!(said.err.contains("could not be printed and is lost"), "{}", said.err);
    // It is written, so the sheet is printed; but that it is not in force is a failure.
    let asked = gateway(&site, "{\"error\":\"the keyring cannot be read\"}\n");
    let said = site.enroll("000131", &pins(), &[]).expect(1);
    asked.join().expect("answered");
    assert!(said.out.contains("key (AES-128)"), "{}", said.out);
    assert!(
        said.err.contains("the keyring cannot be read") && said.err.contains("systemctl restart"),
        "{}",
        said.err
    );
}
