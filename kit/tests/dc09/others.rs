//! pysiaalarm as the receiver: an implementation that others wrote.

use crate::alarm_receiver::Receiver;
use crate::rig::{Rig, event, heartbeat, id, panic};
use serde_json::json;

const ACCOUNT: [&str; 2] = ["--account", "12AB"];

/// 16, 24 and 32 bytes.
const KEYS: [&str; 3] =
    ["AAAAAAAAAAAAAAAA", "0123456789ABCDEF01234567", "0123456789ABCDEF0123456789ABCDEF"];

async fn takes_what_the_bridge_sends(transport: &[&str], key: Option<&str>) {
    let rig = Rig::new().await;
    let keyed: Vec<&str> = key.into_iter().flat_map(|key| ["--key", key]).collect();
    let mut receiver = Receiver::start(&[&ACCOUNT, transport, &keyed].concat()).await;
    let file = rig.file("key");
    let digits = key.unwrap_or_default().bytes().map(|byte| format!("{byte:02x}"));
    std::fs::write(&file, digits.collect::<String>()).expect("written");
    let encrypt: &[&str] = if key.is_some() { &["--encryption-key", &file] } else { &[] };
    let more = [transport, encrypt, &["--text"]].concat();
    let mut bridge = rig.bridge(receiver.port, &more).await;
    let duress = event("urgent", "duress", 2, &json!(["HA", 121]));
    rig.publish(vec![heartbeat(1), duress, panic(3)]).await;
    for (code, kind, sequence) in [("HA", "duress", "0001"), ("PA", "panic", "0002")] {
        let said = receiver.takes().await;
        let extended = json!({ "H": "03:04:05,01-02-2026", "I": format!("{kind} 00012f alice") });
        let expected = json!({
            "type": "SIA-DCS", "account": "12AB", "code": code, "message": "303",
            "contact_id": null, "zone": null, "sequence": sequence, "encrypted": key.is_some(),
            "extended": extended,
        });
        assert_eq!(said, expected);
        assert_eq!(bridge.until("acknowledged").await["kind"], kind);
    }
    let mut receipts = rig.receipts(3).await;
    receipts.sort();
    assert_eq!(receipts, [id(1), id(2), id(3)]);
    assert_eq!(bridge.terminate().await, Some(0));
}

#[tokio::test]
async fn pysiaalarm_takes_events_over_tcp() {
    takes_what_the_bridge_sends(&[], None).await;
}

#[tokio::test]
async fn pysiaalarm_takes_encrypted_events_over_tcp() {
    for key in KEYS {
        takes_what_the_bridge_sends(&[], Some(key)).await;
    }
}

#[tokio::test]
async fn pysiaalarm_takes_events_over_udp() {
    takes_what_the_bridge_sends(&["--udp"], None).await;
}

#[tokio::test]
async fn pysiaalarm_takes_encrypted_events_over_udp() {
    takes_what_the_bridge_sends(&["--udp"], Some(KEYS[0])).await;
}

#[tokio::test]
async fn pysiaalarm_takes_contact_id_and_refuses_what_it_does_not_know() {
    let rig = Rig::new().await;
    let mut receiver = Receiver::start(&ACCOUNT).await;
    let mut bridge = rig.bridge(receiver.port, &["--codes", "contact-id"]).await;
    rig.publish(vec![event("urgent", "duress", 1, &json!(["HA", 121]))]).await;
    let said = receiver.takes().await;
    assert_eq!((&said["type"], &said["contact_id"]), (&json!("ADM-CID"), &json!("121")));
    assert_eq!((&said["code"], &said["zone"]), (&json!("HA"), &json!("303")));
    bridge.until("acknowledged").await;
    assert_eq!(bridge.terminate().await, Some(0));

    let mut bridge = rig.bridge(receiver.port, &[]).await;
    rig.publish(vec![event("urgent", "panic", 2, &json!(["ZX", 120]))]).await;
    assert_eq!(bridge.until("refused").await["id"], id(2));
    assert_eq!(bridge.terminate().await, Some(1));
}
