//! Pendants that are imported while the daemon runs.

use crate::end_to_end::{World, next_of};
use crate::lorawan::{DEV_EUI, FORWARDER, Roof, lines};
use crate::mosquitto::free_port;
use crate::pendant::*;
use crate::site::hear;
use pendant_hal::sim::forwarder::Forwarder;
use pendant_kit::lorawan::LoRaWanDevice;
use pendant_protocol::{EnrolmentKey, Outcome, PendantId};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

/// Number and key, as a provisioning station reads them.
fn provisioned(line: &str) -> (PendantId, EnrolmentKey) {
    let text = line.rsplit(',').next().expect("the last column");
    let mut fields = text.strip_prefix("LWP1:").expect("version 1").split(':');
    let pendant = fields.next().and_then(|number| number.parse().ok()).expect("a number");
    let digits = fields.next().expect("a key");
    let byte = |at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal");
    (pendant, EnrolmentKey::from_bytes(std::array::from_fn(byte)))
}

#[tokio::test]
async fn what_is_imported_is_heard_at_once_and_what_is_revoked_no_longer() {
    let mut world = World::new(None).await;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    world.site.configure(&lines(server));
    let mut wire = world.site.wire();
    let mut centre = world.centre();
    world.site.start().await;
    let forwarder = Forwarder::start(server, FORWARDER, 0).await.expect("a port");
    let mut air = Roof { forwarder };
    air.forwarder.pull().await.expect("the daemon answers");
    world.site.until("the forwarder is there", |s| s["links"][1]["up"] == true).await;
    assert_eq!(world.site.status().expect("it runs")["pendants"], 0);

    let key = "5C".repeat(16);
    let text = format!(
        "number,wearer,dev_eui,app_key\n00012f,nurse-7,,\n000130,officer-3,{DEV_EUI:016x},{key}\n\
         000131,guard-2,,\n"
    );
    let (file, keys) = (world.site.path("many.csv"), world.site.path("keys.csv"));
    fs::write(&file, text).expect("writable");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    let import = world
        .site
        .command(&["pendants", "import"])
        .arg(&file)
        .arg("--keys-out")
        .arg(&keys)
        .output()
        .expect("it can be started");
    let told = String::from_utf8_lossy(&import.stderr);
    assert!(import.status.success(), "{told}");
    assert_eq!(told.matches("The running gateway knows it.").count(), 1, "{told}");
    assert_eq!(world.site.status().expect("it runs")["pendants"], 3);

    let keys = fs::read_to_string(keys).expect("written");
    let mut pendant = Pendant::enrolled(provisioned(keys.lines().nth(1).expect("a line")));
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let (answer, _) = hear(&mut wire).await;
    let message = pendant.hear(&answer, pendant.counter).expect("a genuine answer");
    assert_eq!(message.outcome, Outcome::Noted);
    let press = next_of(&mut centre, "panic").await;
    assert_eq!(press.data.wearer.as_deref(), Some("nurse-7"));
    let mut device = LoRaWanDevice::new(DEV_EUI, [0x5C; 16]);
    let (answer, _) = air.carry(&device.join()).await;
    device.accept(&answer.bytes).expect("a join accept for this device");
    next_of(&mut centre, "joined").await;

    let revoke = world.site.command(&["revoke", "00012f", "000130"]).output();
    assert!(revoke.expect("it can be started").status.success());
    let refused =
        |s: &serde_json::Value| s["counters"]["frames_refused"]["unknown_pendant"].as_u64();
    let before = refused(&world.site.status().expect("it runs"));
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let one_more = |s: &serde_json::Value| refused(s) > before;
    world.site.until("it is unknown", one_more).await;
}
