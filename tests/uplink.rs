//! The uplink against a real mosquitto with mutual TLS.

#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "uplink/renewal.rs"]
mod renewal;
#[path = "support/uplink.rs"]
mod support;
#[path = "uplink/version_3_1_1.rs"]
mod version_3_1_1;

use mosquitto::{Authority, EXPIRED, Mosquitto, Subscriber, VALID, free_port};
use pendant_gateway::engine::command::CENTRE_WIRE_BYTES;
use pendant_gateway::engine::seam::BrokerInput;
use pendant_gateway::shell::tls::{TlsFile, validity};
use pendant_gateway::shell::uplink::{
    BrokerFault, BrokerSettings, Credentials, STATE_BYTES, UplinkStatus,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::time::Duration;
use support::{ANSWER, COMMAND, OPEN_TO_ALL, RECEIPT, Running, STATE, Site, URGENT, fault_of};
use tokio::time::Instant;

/// Says that it is there, and two hundred events arrive in order.
async fn goes_online_and_sends(running: &mut Running, centre: &mut Subscriber) {
    running.up().await;
    let (_, topic, online) = centre.next().await;
    assert_eq!((topic.as_str(), online.len()), (STATE, STATE_BYTES));
    assert!(online.starts_with(r#"{"state":"online","boot":"0123456789abcdef"}"#), "{online}");
    for id in 0..200 {
        running.offer(id, URGENT, &format!("event {id}"));
    }
    for id in 0..200 {
        running.taken(id).await;
        assert_eq!(centre.next().await, (false, URGENT.into(), format!("event {id}")));
    }
}

/// The status then.
async fn hears_a_receipt_behind_a_message_too_long(
    running: &mut Running,
    publish: impl AsyncFn(String),
    bytes: usize,
) -> UplinkStatus {
    publish("x".repeat(bytes)).await;
    publish(r#"{"received":"1"}"#.into()).await;
    let news = running.next().await;
    assert!(
        matches!(&news, BrokerInput::Receipt(bytes) if bytes == br#"{"received":"1"}"#),
        "{news:?}"
    );
    let status = running.status(|status| status.messages_dropped == 1).await;
    assert!(status.connected && status.fault.is_none(), "{status:?}");
    status
}

/// What was offered last goes out before the farewell, which is given.
async fn leaves_with_its_last_words(running: Running, centre: &mut Subscriber) -> String {
    running.offer(900, URGENT, "last words");
    running.handle.stop().await;
    let mut said: Vec<String> = Vec::new();
    while said.last().is_none_or(|last| !last.contains("offline")) {
        said.push(centre.next().await.2);
    }
    assert!(said.iter().any(|payload| payload == "last words"), "{said:?}");
    said.pop().expect("the farewell")
}

#[tokio::test]
async fn events_go_out_receipts_come_in_and_the_end_is_polite() {
    let site = Site::new();
    let mut broker = site.broker(OPEN_TO_ALL).await;
    let mut centre = site.subscriber(&mut broker, "lonework/#").await;
    let mut running = Running::start(site.settings(broker.port));
    goes_online_and_sends(&mut running, &mut centre).await;
    let publish = async |payload: String| {
        mosquitto::publish(broker.port, &site.authority, &site.centre, RECEIPT, payload).await;
    };
    let status = hears_a_receipt_behind_a_message_too_long(&mut running, publish, 5000).await;
    assert_eq!(status.in_flight_max, 20, "what mosquitto allows");
    assert_eq!(status.certificate_ends_unix_s, Some(4_733_510_400), "2120-01-01");

    let farewell = leaves_with_its_last_words(running, &mut centre).await;
    assert_eq!(farewell.len(), STATE_BYTES);
}

#[tokio::test]
async fn the_centre_s_messages_come_in_and_answers_go_out() {
    let site = Site::new();
    let mut broker = site.broker(OPEN_TO_ALL).await;
    let mut centre = site.subscriber(&mut broker, ANSWER).await;
    let mut running = Running::start(site.settings(broker.port));
    assert!(running.answer("to nobody, before it is up"));
    running.up().await;
    let message = "m".repeat(CENTRE_WIRE_BYTES - COMMAND.len());
    for payload in ["x".repeat(5000), message.clone()] {
        let (authority, who) = (&site.authority, &site.centre);
        mosquitto::publish(broker.port, authority, who, COMMAND, payload).await;
    }
    let news = running.next().await;
    assert!(
        matches!(&news, BrokerInput::CentreMessage(bytes) if *bytes == message.as_bytes()),
        "{news:?}"
    );
    running.status(|status| status.messages_dropped == 1).await;
    for text in ["first", "second"] {
        assert!(running.answer(text));
        assert_eq!(centre.next().await, (false, ANSWER.into(), text.into()));
    }
    // Between offers an answer has its turn, and nothing is told to the engine of it.
    for id in 0..100 {
        running.offer(id, URGENT, "event");
    }
    assert!(running.answer("third"));
    for id in 0..100 {
        assert_eq!(running.refused().await, (id, 0x10), "nobody subscribes to events here");
    }
    assert_eq!(centre.next().await.2, "third");
    running.handle.stop().await;
}

/// A modem that is not plugged in, or another name than the system gave it.
#[tokio::test]
async fn an_interface_that_does_not_exist_is_told_by_its_name() {
    let site = Site::new();
    let broker = site.broker(OPEN_TO_ALL).await;
    let mut settings = site.settings(broker.port);
    settings.interface = Some("nowhere0".to_owned());
    let running = Running::start(settings);
    assert_eq!(running.fault().await, BrokerFault::NoInterface("nowhere0".to_owned()));
    running.handle.stop().await;
}

#[tokio::test]
async fn a_refused_answer_is_told_once_and_stops_nothing() {
    let site = Site::new();
    let rights = site.authority.file().with_file_name("rights");
    let rules = format!("topic readwrite {URGENT}\ntopic readwrite {STATE}\n");
    std::fs::write(&rights, rules).expect("the folder can be written to");
    let mut broker = site.broker(&format!("{OPEN_TO_ALL}\nacl_file {}", rights.display())).await;
    let _centre = site.subscriber(&mut broker, URGENT).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    assert!(running.answer("not allowed"));
    assert_eq!(running.fault().await, BrokerFault::AnswerRefused(0x87));
    assert!(running.answer("not even tried"));
    running.offer(1, URGENT, "allowed");
    running.taken(1).await;
    assert_eq!(running.fault().await, BrokerFault::AnswerRefused(0x87));
    running.handle.stop().await;
}

#[tokio::test]
async fn a_restarted_broker_is_down_then_up_and_old_offers_are_void() {
    let site = Site::new();
    let mut broker = site.broker(OPEN_TO_ALL).await;
    let port = broker.port;
    let centre = site.subscriber(&mut broker, "lonework/#").await;
    let mut running = Running::start(site.settings(port));
    running.up().await;
    running.offer(1, URGENT, "first");
    running.taken(1).await;

    drop((broker, centre));
    running.down().await;
    running.status(|status| matches!(status.fault, Some(BrokerFault::Unreachable(_)))).await;
    running.offer(2, URGENT, "offered to nobody");

    let mut broker = Mosquitto::restart(port, &site.authority, &site.server, OPEN_TO_ALL).await;
    let mut centre = site.subscriber(&mut broker, "lonework/#").await;
    running.up().await;
    assert_eq!(centre.next().await.1, STATE);
    running.offer(3, URGENT, "offered again");
    running.taken(3).await;
    assert_eq!(centre.next().await.2, "offered again");
    let status = running.status(|status| status.connected).await;
    assert_eq!((status.connections, status.fault), (2, None));
    running.handle.stop().await;
}

#[tokio::test]
async fn receipts_given_while_we_were_away_come_with_the_session() {
    let site = Site::new();
    let broker = site.broker(OPEN_TO_ALL).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.handle.stop().await;
    mosquitto::publish(broker.port, &site.authority, &site.centre, RECEIPT, "kept".into()).await;
    let mut running = Running::start(site.settings(broker.port));
    loop {
        match running.next().await {
            BrokerInput::Up { .. } => {}
            BrokerInput::Receipt(payload) => break assert_eq!(payload, b"kept"),
            other => panic!("{other:?}"),
        }
    }
    running.handle.stop().await;
}

#[tokio::test]
async fn a_killed_gateway_is_offline_by_its_last_will() {
    let site = Site::new();
    let mut broker = site.broker(OPEN_TO_ALL).await;
    let mut centre = site.subscriber(&mut broker, STATE).await;
    let runtime = std::thread::spawn({
        let settings = site.settings(broker.port);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut running = Running::start(settings);
                running.up().await;
                // Taking the birth's acknowledgement for certain needs an event after it.
                running.offer(1, URGENT, "here");
                let _ = running.next().await;
            });
        }
    });
    runtime.join().expect("the gateway's thread ends");
    assert!(centre.next().await.2.contains("online"));
    let (_, _, offline) = centre.next().await;
    assert!(offline.contains("offline") && offline.len() == STATE_BYTES, "{offline}");
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_told_apart() {
    let site = Site::new();
    let broker = site.broker(OPEN_TO_ALL).await;
    let settings = || site.settings(broker.port);

    let wrong_name = BrokerSettings { server_name: "elsewhere.site".into(), ..settings() };
    let fault = fault_of(wrong_name).await;
    assert!(
        matches!(&fault, BrokerFault::TlsName(names) if names.iter().any(|n| n.contains("broker.site"))),
        "{fault:?}"
    );

    let stranger = Authority::new("another authority");
    let mut wrong_authority = settings();
    wrong_authority.tls.authority = stranger.file();
    assert_eq!(fault_of(wrong_authority).await, BrokerFault::TlsUntrusted);

    let expired = site.authority.issue("gw-old", &[], EXPIRED);
    let mut expired_client = settings();
    expired_client.tls.certificate = expired.certificate.clone();
    expired_client.tls.key = expired.key;
    let fault = fault_of(expired_client).await;
    assert_eq!(fault, BrokerFault::ClientCertificateExpired(Some(1_609_459_200)));

    let foreign = stranger.issue("gw-foreign", &[], VALID);
    let mut foreign_client = settings();
    foreign_client.tls.certificate = foreign.certificate;
    foreign_client.tls.key = foreign.key.clone();
    let fault = fault_of(foreign_client).await;
    assert!(
        matches!(fault, BrokerFault::ClientCertificateRefused(_) | BrokerFault::ClosedEarly),
        "{fault:?}"
    );

    let mut mismatch = settings();
    mismatch.tls.key = foreign.key;
    let fault = fault_of(mismatch).await;
    assert!(matches!(&fault, BrokerFault::Files(e) if e.which == TlsFile::Key), "{fault:?}");
    assert!(fault.to_string().contains("does not belong"), "{fault}");

    let mut missing = settings();
    missing.tls.authority = "/nowhere/authority.pem".into();
    let fault = fault_of(missing).await;
    assert!(fault.to_string().contains("/nowhere/authority.pem"), "{fault}");

    let der = CertificateDer::from_pem_file(&expired.certificate).expect("it was just written");
    let validity = validity(&der).expect("rcgen writes what RFC 5280 says");
    assert_eq!(validity.not_before_unix_s, 1_577_836_800, "2020-01-01");
    assert_eq!(validity.not_after_unix_s, 1_609_459_200, "2021-01-01");
}

#[tokio::test]
async fn an_expired_broker_is_refused_and_one_from_the_future_is_not() {
    let mut site = Site::new();
    site.server = site.authority.issue("broker-old", &["broker.site"], EXPIRED);
    let broker = site.broker(OPEN_TO_ALL).await;
    assert_eq!(fault_of(site.settings(broker.port)).await, BrokerFault::TlsExpired);

    // To us it looks like this when our clock has no battery and starts in the past.
    site.server = site.authority.issue("broker-ahead", &["broker.site"], (2110, 2120));
    let broker = site.broker(OPEN_TO_ALL).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.handle.stop().await;
}

#[tokio::test]
async fn nobody_at_the_port_no_such_host_and_no_tls_are_told_apart() {
    let site = Site::new();
    let fault = fault_of(site.settings(free_port())).await;
    assert_eq!(fault, BrokerFault::Unreachable(std::io::ErrorKind::ConnectionRefused));

    let nameless = BrokerSettings { host: "no-such-host.invalid".into(), ..site.settings(1) };
    assert_eq!(fault_of(nameless).await, BrokerFault::Dns);

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = plain.local_addr().expect("it is bound").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.expect("the uplink dials");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n")
            .await
            .expect("the uplink reads");
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    });
    assert_eq!(fault_of(site.settings(port)).await, BrokerFault::NotTls);
    server.abort();
}

#[tokio::test]
async fn a_refused_login_is_told_and_a_right_one_is_let_in() {
    let site = Site::new();
    let passwords = site.authority.file().with_file_name("passwords");
    // Of the password "secret", made by mosquitto_passwd.
    std::fs::write(
        &passwords,
        "gw-1:$7$101$c0meeCqLPY1iZyj2$VZTo40Yned37ka4tLIM07xa5A9aqPybu3LGCOdr9O0er8wm8qB1f\
         37Mye539XVBRjJEhml6G2JILpyNXJqWLiQ==\n",
    )
    .expect("the folder can be written to");
    let more = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = site.broker(&more).await;
    let login = |password: &str| BrokerSettings {
        credentials: Some(Credentials {
            user: "gw-1".into(),
            password: password.to_owned().into(),
        }),
        ..site.settings(broker.port)
    };
    assert_eq!(fault_of(login("wrong")).await, BrokerFault::LoginRefused);
    assert_eq!(fault_of(site.settings(broker.port)).await, BrokerFault::LoginRefused);
    assert!(!format!("{:?}", login("secret")).contains("secret"), "passwords are not shown");
    let mut running = Running::start(login("secret"));
    running.up().await;
    running.handle.stop().await;
}

#[tokio::test]
async fn refused_publishes_are_told_and_stop_nothing() {
    let site = Site::new();
    let rights = site.authority.file().with_file_name("rights");
    std::fs::write(
        &rights,
        "topic readwrite lonework/v1/north/gw-1/event/urgent\ntopic read lonework/v1/north/gw-1/receipt\n",
    )
    .expect("the folder can be written to");
    let more = format!("{OPEN_TO_ALL}\nacl_file {}", rights.display());
    let mut broker = site.broker(&more).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    // The state is not allowed here: events flow all the same.
    let state_refused = |status: &UplinkStatus| {
        status.connected && status.fault == Some(BrokerFault::StateRefused(0x87))
    };
    running.status(state_refused).await;
    running.offer(1, URGENT, "nobody subscribes");
    assert_eq!(running.refused().await, (1, 0x10));
    let mut centre = site.subscriber(&mut broker, URGENT).await;
    running.offer(2, "lonework/v1/north/gw-1/event/routine", "not allowed");
    running.offer(3, "wild/+/card", "no topic at all");
    running.offer(4, URGENT, "allowed");
    let mut refused = [running.refused().await, running.refused().await];
    refused.sort_unstable();
    assert_eq!(refused, [(2, 0x87), (3, 0x90)]);
    running.taken(4).await;
    assert_eq!(centre.next().await.2, "allowed");
    running.handle.stop().await;
}

#[tokio::test]
async fn a_broker_that_stops_in_mid_stream_is_noticed() {
    let site = Site::new();
    let broker = site.broker(OPEN_TO_ALL).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.offer(1, URGENT, "before");
    let _ = running.next().await;
    signal(&broker, "STOP");
    for id in 2..100 {
        running.offer(id, URGENT, &"x".repeat(1300));
    }
    // Two keep-alives of five seconds: a ping goes out, and no answer comes.
    running.down().await;
    let fault = running.fault().await;
    assert!(matches!(fault, BrokerFault::ProtocolTimeout(_)), "{fault:?}");
    signal(&broker, "CONT");
    running.up().await;
    running.handle.stop().await;
}

fn signal(broker: &Mosquitto, name: &str) {
    let process = broker.process().to_string();
    let status = std::process::Command::new("/bin/kill").args(["-s", name, &process]).status();
    assert!(status.expect("kill can be started").success());
}

#[tokio::test]
async fn a_client_with_the_same_id_is_told() {
    let site = Site::new();
    let broker = site.broker(OPEN_TO_ALL).await;
    let mut first = Running::start(site.settings(broker.port));
    first.up().await;
    let mut second = Running::start(site.settings(broker.port));
    second.up().await;
    first.down().await;
    // Mosquitto 2.0.11 closes without the DISCONNECT that would say so.
    let fault = first.fault().await;
    assert!(matches!(fault, BrokerFault::TakenOver | BrokerFault::Closed(None)), "{fault:?}");
    first.handle.stop().await;
    second.handle.stop().await;
}

/// One at a time, as presses come: the line, two TLS ends and the broker are in
/// it. The bound only catches waiting on a timer (Nagle, delayed ACK: 40 ms).
#[tokio::test]
async fn an_offer_leaves_at_once() {
    let site = Site::new();
    let mut broker = site.broker(OPEN_TO_ALL).await;
    let _centre = site.subscriber(&mut broker, "lonework/#").await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    let payload = "x".repeat(1300);
    let mut round_trips = Vec::new();
    for id in 0..200 {
        let begun = Instant::now();
        running.offer(id, URGENT, &payload);
        running.taken(id).await;
        round_trips.push(begun.elapsed());
    }
    round_trips.sort();
    eprintln!("offer to Taken: p50 {:?}, p99 {:?}", round_trips[100], round_trips[198]);
    assert!(round_trips[100] < Duration::from_millis(20), "{:?}", round_trips[100]);
    running.handle.stop().await;
}
