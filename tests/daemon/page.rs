//! The local page and metrics of the real daemon, over real sockets.

use crate::browser::Browser;
use crate::end_to_end::World;
use crate::mosquitto::free_port;
use crate::pendant::*;
use crate::site::{SOON, hear};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

const PAGE_BYTES_MAX: usize = 60 * 1024;
/// As `src/shell/page/server.rs` has it.
const CONNECTIONS_MAX: usize = 24;

/// A site whose page is on loopback.
async fn with_page(more: &str) -> (World, Browser) {
    let mut world = World::new(None).await;
    let port = free_port();
    world.site.configure(&format!("[page]\nlisten = \"127.0.0.1:{port}\"\n{more}"));
    world.site.start().await;
    world.site.until("the page is served", |s| s["served"]["page"]["fault"].is_null()).await;
    (world, Browser::new(port))
}

/// Waits until the port answers at all: the listener has a thread of its own.
async fn ready(browser: &Browser) {
    let give_up = Instant::now() + SOON;
    while tokio::net::TcpStream::connect(("127.0.0.1", browser.port)).await.is_err() {
        assert!(Instant::now() < give_up, "nobody listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_page_shows_how_the_gateway_is_and_a_frame_arrives_live() {
    // No link's or broker's name can hold HTML, but what a fault names can.
    let evil = "[[link]]\nname = \"usb\"\nkind = \"serial\"\npath = \"/dev/<img src=x>\"\n\
                baud = 9600\ncodec = \"cobs\"\n";
    let (world, browser) = with_page(evil).await;
    ready(&browser).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    world.site.until("the port is up", |s| s["links"][0]["up"] == true).await;
    world.site.until("the other is not", |s| s["links"][1]["fault"].is_string()).await;

    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    for words in ["<h3>pty</h3>", "<h3>broker-1</h3>", "days left", "1 enrolled", "ward-3"] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    assert!(!page.body.contains("<img") && page.body.contains("&lt;img src=x&gt;"), "escaped");
    assert!(page.body.len() + page.head.len() <= PAGE_BYTES_MAX, "{}", page.body.len());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "deny"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    assert!(!page.body.contains("http://") || page.body.contains("http://www.w3.org/2000/svg"));

    let mut stream = browser.stream("/live?walk").await;
    let first = stream.next().await;
    assert!(first["pendants"].as_str().is_some_and(|html| html.contains("No pendant was heard")));
    let heard = Instant::now();
    wire.send(&pendant.say(HEARTBEAT)).await.expect("the wire holds");
    let news = stream.next().await;
    assert!(news["pendants"].as_str().is_some_and(|html| html.contains("00012f")), "{news}");
    assert!(heard.elapsed() < Duration::from_secs(3), "{:?}", heard.elapsed());
    let (answer, _) = hear(&mut wire).await;
    pendant.hear(&answer, pendant.counter).expect("genuine");
    let one = browser.get("/walk/00012f").await;
    assert!(one.body.contains("<b>00012f</b>") && one.body.contains("at pty"), "{}", one.body);
    let found = browser.get("/walk?pendant=00012F").await;
    assert_eq!((found.status, found.header("location")), (303, Some("/walk/00012f")));
    let mut overview = browser.stream("/live").await;
    let parts = overview.next().await;
    for part in ["health", "link-0", "link-1", "brokers", "rest"] {
        assert!(parts[part].is_string(), "{part} in {parts}");
    }
    drop((stream, overview));
    who_leaves_makes_room(&browser).await;
}

/// As many streams as there may be; then one ends, and the next is let in long before
/// the gateway would have had a word for the one that has gone.
async fn who_leaves_makes_room(browser: &Browser) {
    let mut streams = Vec::new();
    while let Some(stream) = browser.try_stream("/live").await {
        streams.push(stream);
        assert!(streams.len() <= 8, "there is a bound");
    }
    streams.pop();
    let left = Instant::now();
    while browser.try_stream("/live").await.is_none() {
        assert!(left.elapsed() < Duration::from_secs(5), "who has left holds a place");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_this_machine_s_own_pages_may_ask_and_nothing_can_be_changed() {
    let (world, browser) = with_page("").await;
    ready(&browser).await;
    for host in ["evil.example", "127.0.0.1.evil.example:80", ""] {
        let rebound = Browser { headers: vec![format!("Host: {host}")], ..browser.clone() };
        assert_eq!(rebound.get("/").await.status, 421, "{host}");
    }
    let tunnel = Browser { headers: vec!["Host: localhost:18080".into()], ..browser.clone() };
    assert_eq!(tunnel.get("/").await.status, 200);
    let foreign = browser.with("Sec-Fetch-Site: cross-site");
    assert_eq!(foreign.with("Sec-Fetch-Mode: cors").get("/live").await.status, 403);
    assert_eq!(foreign.with("Sec-Fetch-Mode: navigate").get("/").await.status, 200, "a link");
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(browser.request(method, "/", "x").await.status, 405, "{method}");
    }
    for path in ["/enter", "/metrics", "/walk/zzzzzz", "/live?x", "/favicon.ico"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    assert_eq!(browser.get(&format!("/{}", "x".repeat(10_000))).await.status, 431);
    let big = browser.with(&format!("X: {}", "y".repeat(10_000)));
    assert_eq!(big.get("/").await.status, 431);
    let code = world.site.command(&["page", "code"]).output().expect("it runs");
    assert_eq!(code.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&code.stderr).contains("needs no code"));
}

#[tokio::test]
async fn slow_and_many_connections_are_cut_and_cost_no_press_its_time() {
    let (world, browser) = with_page("").await;
    ready(&browser).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.until("the port is up", |s| s["links"][0]["up"] == true).await;
    let held = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut line = browser.connect().await;
        line.write_all(b"GET / HT").await.expect("it is taken");
        slow.push(line);
    }
    // The next one is closed at once. Whether it is the peer's end or its reset that
    // is seen first is chance.
    let mut next = browser.connect().await;
    let closed = timeout(SOON, next.read(&mut [0; 1])).await.expect("soon");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let closed_after = held.elapsed();

    let sent = wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let (answer, at) = hear(&mut wire).await;
    pendant.hear(&answer, pendant.counter).expect("genuine");
    assert!(at - sent < Duration::from_millis(1_500), "{:?}", at - sent);

    for line in &mut slow {
        let mut rest = Vec::new();
        drop(timeout(SOON, line.read_to_end(&mut rest)).await.expect("it is cut"));
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
    let cut_after = held.elapsed();
    assert!(cut_after < Duration::from_secs(15) && closed_after < cut_after, "{cut_after:?}");
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test]
async fn over_the_network_only_a_code_lets_in_and_only_once() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let port = free_port();
    world.site.configure(&format!("[page]\nlisten = \"0.0.0.0:{port}\"\n"));
    world.site.start().await;
    let mut browser = Browser::new(port);
    ready(&browser).await;
    let told = page_command(&world, &["page", "code"]);
    let code = told["code"].as_str().expect("a code").to_owned();
    browser.fingerprint = told["fingerprint_sha256"].as_str().map(str::to_owned);
    assert!(browser.fingerprint.is_some(), "{told}");

    assert_eq!(browser.get("/").await.header("location"), Some("/enter"));
    for path in ["/live", "/walk/00012f", "/metrics"] {
        assert_eq!(browser.get(path).await.status, 401, "{path}");
    }
    assert!(browser.get("/enter").await.body.contains("one-time-code"));
    let forged = browser.with("Cookie: __Host-session=00000000000000000000000000000000");
    assert_eq!(forged.get("/live").await.status, 401);
    assert_eq!(browser.post("/enter", "code=wrong").await.status, 403);
    assert_eq!(browser.post("/enter", &"x".repeat(300)).await.status, 400);

    let entered = browser.post("/enter", &format!("code={code}")).await;
    assert_eq!((entered.status, entered.header("location")), (303, Some("/")));
    let cookie = entered.header("set-cookie").expect("a cookie");
    for word in ["secure", "httponly", "samesite=strict", "path=/", "max-age=28800"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    // Heads were put in lower case; the cookie's name is not to be.
    let cookie = cookie.split(';').next().expect("a pair").replace("__host", "__Host");
    let inside = browser.with(&format!("Cookie: {cookie}"));
    let page = inside.get("/").await;
    assert_eq!((page.status, page.body.contains("Sign out")), (200, true));
    inside.stream("/live").await.next().await;

    assert_eq!(browser.post("/enter", &format!("code={code}")).await.status, 403, "used");
    assert_eq!(page_command(&world, &["page"])["page"]["sessions"], 1);
    for attempt in 3..=5 {
        assert_eq!(browser.post("/enter", "code=1").await.status, 403, "{attempt}");
    }
    let code = page_command(&world, &["page", "code"])["code"].as_str().expect("one").to_owned();
    assert_eq!(browser.post("/enter", &format!("code={code}")).await.status, 429, "locked");
    assert_eq!(inside.get("/").await.status, 200, "who is in stays in");

    let foreign = inside.with("Sec-Fetch-Site: cross-site").with("Sec-Fetch-Mode: no-cors");
    assert_eq!(foreign.post("/leave", "x").await.status, 403);
    // A form of another site, which would use up the attempts.
    let form = inside.with("Sec-Fetch-Site: cross-site").with("Sec-Fetch-Mode: navigate");
    assert_eq!(form.post("/enter", "code=1234-5678").await.status, 403);
    assert_eq!(inside.post("/leave", "x").await.status, 303);
    assert_eq!(inside.get("/").await.header("location"), Some("/enter"), "ended");
    let log = world.site.log();
    assert!(log.contains("let in") && log.contains("wrong code") && !log.contains(&code), "{log}");
}

fn page_command(world: &World, words: &[&str]) -> Value {
    let output = world.site.command(words).arg("--json").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_taken_port_is_told_and_the_gateway_runs() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    world.site.configure(&format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    world.site.start().await;
    let faulty = |s: &Value| {
        let fault = s["served"]["metrics"]["fault"].as_str();
        fault.is_some_and(|fault| fault.contains("write another address or port"))
    };
    world.site.until("it is told", faulty).await;
    assert!(world.site.terminate().success());
}

/// Parsed by Prometheus' own client library.
#[tokio::test]
async fn metrics_are_what_prometheus_reads_and_what_status_says() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let port = free_port();
    world.site.configure(&format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    let collector = Browser::new(port);
    ready(&collector).await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    for _ in 0..2 {
        wire.send(&pendant.say(HEARTBEAT)).await.expect("the wire holds");
        hear(&mut wire).await;
    }
    let status = world.site.until("both heard", |s| s["counters"]["frames_heard"] == 2).await;

    let foreign = Browser { headers: vec!["Host: evil.example".into()], ..collector.clone() };
    assert_eq!(foreign.get("/metrics").await.status, 421);
    assert_eq!(collector.get("/").await.status, 404);
    let answer = collector.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let parsed = by_prometheus(&answer.body);
    let value = |name: &str| parsed["samples"][format!("pendant_gateway_{name}")].as_f64();
    assert_eq!(value("frames_heard_total{}"), Some(2.0));
    assert_eq!(value("pendants{}"), Some(1.0));
    assert_eq!(value("link_up{link=pty}"), Some(1.0));
    assert_eq!(value("broker_connected{broker=broker-1}"), Some(1.0));
    let end = status["brokers"][0]["certificate_ends_unix_s"].as_f64();
    assert_eq!(value("broker_certificate_end_timestamp_seconds{broker=broker-1}"), end);
    assert_eq!(value("frames_refused_total{reason=forged}"), Some(0.0));
    // No pendant, however many there are, adds a line.
    assert!(!answer.body.contains("12f"), "{}", answer.body);
    assert!(parsed["samples"].as_object().is_some_and(|samples| samples.len() < 60));
}

/// Samples by name and labels, as the library reads them.
fn by_prometheus(text: &str) -> Value {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = project.join("target/subscribers/python/bin/python");
    assert!(python.exists(), "{} is missing: run tests/subscribers/install", python.display());
    let mut child = Command::new(python)
        .arg(project.join("tests/subscribers/python/metrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python can be started");
    child.stdin.take().expect("stdin is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "Prometheus' library does not read it:\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
