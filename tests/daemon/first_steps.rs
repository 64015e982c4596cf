//! First steps: `setup` with flags, the centre signs the request, `setup --certificate`,
//! the real daemon on a mosquitto with mutual TLS, and a test alarm that comes back as a
//! receipt. `openssl` stands in for the centre's authority: another program reads the request.

use crate::end_to_end::{World, next_of};
use crate::mosquitto::Authority;
use crate::site::{Site, mode};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Signs a request as the centre does.
fn sign(site: &Site, authority: &Authority, request: &Path) -> PathBuf {
    let (key, extensions) = (site.path("authority.key"), site.path("client.ext"));
    let signed = site.path("signed.pem");
    fs::write(&key, authority.key_pem()).expect("ours");
    fs::write(&extensions, "extendedKeyUsage=clientAuth\n").expect("ours");
    let output = Command::new("openssl")
        .args(["x509", "-req", "-days", "30", "-CAcreateserial", "-in"])
        .arg(request)
        .arg("-CA")
        .arg(authority.file())
        .arg("-CAkey")
        .arg(key)
        .arg("-CAserial")
        .arg(site.path("serial"))
        .arg("-extfile")
        .arg(extensions)
        .arg("-out")
        .arg(&signed)
        .output()
        .expect("openssl is missing: install the Debian package openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    signed
}

fn run(site: &Site, arguments: &[&str]) -> Output {
    site.command(arguments).output().expect("it runs")
}

/// The same, beside a centre that goes on meanwhile.
async fn run_beside(site: &Site, arguments: &[&str]) -> Output {
    let mut command = site.command(arguments);
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    run.await.expect("the thread ends")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A site of which nothing is configured yet.
async fn bare() -> World {
    let world = World::new(None).await;
    fs::remove_file(world.site.path("gateway.toml")).expect("it was there");
    fs::remove_file(world.site.path("gateway.key")).expect("it was there");
    world
}

fn set_up(world: &World, more: &[&str]) -> Output {
    let site = &world.site;
    let path = |name: &str| site.path(name).display().to_string();
    let (broker, ca) =
        (format!("localhost:{}", site.broker.port), site.broker.authority.display().to_string());
    let (port, store, control) = (path("port"), path("store"), path("control.sock"));
    let flags = [
        "setup",
        "--site",
        "ward-3",
        "--gateway",
        "gw1",
        "--slot",
        "1",
        "--broker",
        &broker,
        "--ca",
        &ca,
        "--serial",
        &port,
        "--store",
        &store,
        "--control",
        &control,
        "--yes",
        "--json",
    ];
    run(site, &[&flags[..], more].concat())
}

#[tokio::test]
async fn from_nothing_to_a_test_alarm_with_its_receipt() {
    let mut world = bare().await;
    let _wire = world.site.wire();
    let told = json(&set_up(&world, &[]));
    assert_eq!(told["authorities"][0]["name"], "test authority", "{told}");
    let key = world.site.path("tls/gateway.key");
    assert_eq!((mode(&key), mode(&world.site.path("gateway.toml"))), (0o600, 0o640));
    let made = fs::read_to_string(&key).expect("a key");
    let request = PathBuf::from(told["request_file"].as_str().expect("a path"));
    assert_eq!(
        fs::read_to_string(&request).expect("there"),
        told["request"].as_str().expect("PEM")
    );

    // Another gateway's certificate is refused, and nothing changes.
    let wrong = world.site.broker.certificate.display().to_string();
    let refused = run(&world.site, &["setup", "--certificate", &wrong]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("does not belong to this gateway's key"),
        "{why}"
    );
    assert!(!world.site.path("tls/gateway.pem").exists());

    let signed = sign(&world.site, &world.authority, &request);
    let signed = signed.display().to_string();
    let told = json(&run(&world.site, &["setup", "--certificate", &signed, "--json"]));
    assert_eq!((&told["certificate"]["name"], &told["started"]), (&"gw1".into(), &false.into()));
    assert_eq!(fs::read_to_string(&key).expect("a key"), made, "a key is never overwritten");

    let mut centre = world.centre();
    world.site.start().await;
    next_of(&mut centre, "gateway_started").await;
    // With a gateway that runs, the same step ends with the test alarm.
    let output = run_beside(&world.site, &["setup", "--certificate", &signed]).await;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("The test alarm reached the centre after"), "{words}");
    assert!(words.contains("enrol the pendants"), "{words}");
    let event = next_of(&mut centre, "gateway_test").await;
    assert_eq!((event.data.lane.as_str(), event.data.pendant), ("urgent", None));

    // A second one so soon is refused, and says when.
    let soon = run(&world.site, &["test"]);
    let why = String::from_utf8_lossy(&soon.stderr).into_owned();
    assert!(soon.status.code() == Some(1) && why.contains("ask again in"), "{why}");
    let status = world.site.status().expect("it runs");
    let last = &status["last_test"];
    assert_eq!(
        (&last["number"], &last["reached_centre"], &last["on_its_way"]),
        (&1.into(), &true.into(), &false.into())
    );
    assert!(last["after_ms"].is_u64() && last["asked_unix_s"].is_i64(), "{last}");

    // `check` finds the way to the broker in order, and that the gateway is connected.
    let output = run(&world.site, &["check", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for words in ["answers in TLS", "the running gateway is connected", "the gateway runs, version"]
    {
        let is_it =
            |finding: &&Value| finding["text"].as_str().is_some_and(|text| text.contains(words));
        let finding = found["findings"].as_array().expect("a list").iter().find(is_it);
        assert_eq!(finding.expect(words)["grade"], "good", "{found:#}");
    }
    assert!(world.site.terminate().success());
}

#[tokio::test]
async fn a_test_alarm_without_a_centre_says_what_to_look_at() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    let output = run(&world.site, &["test", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["reached_centre"], false);
    assert!(
        told["look_at"].as_str().is_some_and(|words| words.contains("nobody subscribes")),
        "{told}"
    );
    world.broker_away();
    world.site.until("the broker is gone", |s| s["brokers"][0]["connected"] == false).await;
    // Not too soon any more, as the last one did not arrive: but there is no way.
    world.site.until("it may be asked again", |s| s["uptime_s"].as_u64() > Some(6)).await;
    let output = run(&world.site, &["test"]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && why.contains("no broker is connected"), "{why}");
}

#[tokio::test]
async fn what_is_there_already_is_not_lost() {
    let world = bare().await;
    let configuration = world.site.path("gateway.toml");
    assert!(set_up(&world, &[]).status.success());
    let (first, key) = (fs::read(&configuration), fs::read(world.site.path("tls/gateway.key")));
    let again = set_up(&world, &[]);
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(2) && why.contains("--replace"), "{why}");
    assert!(set_up(&world, &["--replace", "--broker-name", "127.0.0.1"]).status.success());
    assert_eq!(fs::read(world.site.path("gateway.toml.bak")).ok(), first.ok());
    assert_eq!(fs::read(world.site.path("tls/gateway.key")).ok(), key.ok());
    // A key and a certificate that the centre has made go in with one command.
    let site = &world.site;
    fs::remove_file(site.path("tls/gateway.key")).expect("there");
    let brought = world.authority.issue("brought", &[], crate::mosquitto::VALID);
    let text = |path: &Path| path.display().to_string();
    let more =
        ["--replace", "--key", &text(&brought.key), "--certificate", &text(&brought.certificate)];
    let told = json(&set_up(&world, &more));
    assert_eq!(told["certificate"]["name"], "brought", "{told}");
    assert!(told.get("request").is_none(), "{told}");
    assert_eq!(mode(&site.path("tls/gateway.key")), 0o600);
    // What is there and fits need not be brought again.
    let told = json(&set_up(&world, &["--replace"]));
    assert_eq!(
        (&told["certificate"]["name"], &told["started"]),
        (&"brought".into(), &false.into())
    );
}

#[tokio::test]
async fn a_gateway_that_runs_as_it_was_before_sends_no_test_alarm_for_what_is_set_up_anew() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let mut centre = world.centre();
    world.site.start().await;
    next_of(&mut centre, "gateway_started").await;
    // It goes to another site, whose centre signs anew.
    let told = json(&set_up(&world, &["--replace"]));
    let request = PathBuf::from(told["request_file"].as_str().expect("a path"));
    let signed = sign(&world.site, &world.authority, &request).display().to_string();
    let output = run_beside(&world.site, &["setup", "--certificate", &signed]).await;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!words.contains("test alarm reached"), "{words}");
    assert!(words.contains("goes on as it was set up before"), "{words}");
    // Nor when what is there fits.
    let told: Value = {
        let output = set_up(&world, &["--replace"]);
        json(&output)
    };
    assert_eq!((&told["started"], told.get("test")), (&false.into(), None), "{told}");
}

#[tokio::test]
async fn a_configuration_that_somebody_edited_in_another_encoding_is_not_replaced_unasked() {
    let world = bare().await;
    let configuration = world.site.path("gateway.toml");
    let edited = b"# K\xfcche\nsite = \"ward-3\"\n";
    fs::write(&configuration, edited).expect("ours");
    let refused = set_up(&world, &[]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && why.contains("--replace"), "{why}");
    assert_eq!(fs::read(&configuration).expect("there"), edited);
}

#[tokio::test]
async fn check_says_what_is_wrong_on_the_way_to_a_broker() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let found = |site: &Site, words: &str, remedy: &str| {
        let output = run(site, &["check", "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let is_it =
            |finding: &&Value| finding["text"].as_str().is_some_and(|text| text.contains(words));
        let finding = found["findings"].as_array().expect("a list").iter().find(is_it);
        let finding = finding.unwrap_or_else(|| panic!("no {words}: {found:#}"));
        assert!(
            finding["remedy"].as_str().is_some_and(|told| told.contains(remedy)),
            "{finding:#}"
        );
        finding["grade"].as_str().expect("a grade").to_owned()
    };
    assert_eq!(found(&world.site, "answers in TLS", ""), "good");
    world.site.configure("server_name = \"elsewhere.example.org\"");
    assert_eq!(found(&world.site, "cannot be used", "for other names"), "wrong");
    world.site.configure("");
    // The broker does not trust the authority of this gateway's certificate.
    let strangers = Authority::new("another authority");
    let stranger = strangers.issue("gw1", &[], crate::mosquitto::VALID);
    let good = world.site.broker.clone();
    world.site.broker.certificate = stranger.certificate.clone();
    fs::copy(&stranger.key, world.site.path("stranger.key")).expect("ours");
    fs::set_permissions(
        world.site.path("stranger.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("ours");
    world.site.broker.key = world.site.path("stranger.key");
    world.site.configure("");
    assert_eq!(found(&world.site, "cannot be used", "refused this gateway's certificate"), "wrong");
    world.site.broker = good;
    world.site.configure("");
    let soon = world.authority.issue_until_soon("server-soon");
    world.broker_away();
    world.server = soon;
    world.broker_back().await;
    assert_eq!(found(&world.site, "its certificate ends in", "tell the centre"), "advice");
    world.broker_away();
    assert_eq!(found(&world.site, "cannot be used", "no connection to the broker"), "wrong");
}
