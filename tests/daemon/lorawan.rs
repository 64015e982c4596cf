//! A LoRaWAN button bought in a shop: enrolled by the real command, joined through a
//! packet forwarder, pressed, and heard at the centre.

use crate::end_to_end::{World, next_of};
use crate::mosquitto::free_port;
use crate::site::SOON;
use pendant_hal::Signal;
use pendant_hal::airtime::Shape;
use pendant_hal::concentrator::Eui;
use pendant_hal::sim::ether::{Ether, Station};
use pendant_hal::sim::forwarder::{Downlink, Forwarder};
use pendant_hal::sim::socket::EtherServer;
use pendant_hal::sim::waves::Air;
use pendant_kit::lorawan::{Asks, LoRaWanDevice};
use serde_json::json;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub(crate) const FORWARDER: Eui = Eui([0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1]);
/// The one channel of a gateway's own radio.
const CHANNEL_HZ: u32 = 868_100_000;
pub(crate) const DEV_EUI: u64 = 0x24E1_24AB_CDEF_0001;
const PRESS: &[u8] = &[0x01, 0x75, 0x10, 0xFF, 0x2E, 0x01];
const CONFIRMED: Asks =
    Asks { confirmed: true, answer: false, link_check: false, device_time: false };

/// What the installer adds to the configuration. In the United States, where no airtime has
/// to be earned before the first answer.
pub(crate) fn lines(server: SocketAddr) -> String {
    format!(
        "[lorawan]\nregion = \"US915\"\nsub_band = 2\n\
         [[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n\
         [[link]]\nname = \"roof\"\nkind = \"concentrator\"\nlisten = \"{server}\"\n\
         eui = \"{FORWARDER}\"\nregion = \"US915\"\n"
    )
}

fn signal() -> Signal {
    Signal {
        rssi_dbm: Some(-101),
        snr_quarter_db: Some(-20),
        frequency_hz: Some(904_300_000),
        spreading_factor: Some(9),
        ..Signal::default()
    }
}

/// The way between the button and the roof.
pub(crate) struct Roof {
    pub(crate) forwarder: Forwarder,
}

impl Roof {
    /// Says something; gives the answer, and how long after the frame it is to leave.
    pub(crate) async fn carry(&mut self, frame: &[u8]) -> (Downlink, u32) {
        let stamp = self.forwarder.counter(Instant::now());
        self.forwarder.push(stamp, &signal(), frame).await.expect("acknowledged");
        let accepted = async {
            loop {
                // What is refused is asked for again in the second window.
                if let Some(downlink) = self.forwarder.next_downlink().await.expect("it holds") {
                    return downlink;
                }
            }
        };
        let downlink = timeout(SOON, accepted).await.expect("in time");
        let after_us = downlink.tmst_us.wrapping_sub(stamp);
        (downlink, after_us)
    }
}

/// Enrols the button as an installer does: its key comes from a program.
fn enroll(world: &World, device: &LoRaWanDevice) {
    let dev_eui = format!("{:016X}", device.dev_eui);
    let mut child = world
        .site
        .command(&["enroll", "--pendant", "000130", "--wearer", "officer-3"])
        .args(["--dev-eui", &dev_eui, "--keys-fd", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("enroll can be started");
    let key: String = device.app_key.iter().map(|byte| format!("{byte:02X}")).collect();
    writeln!(child.stdin.take().expect("piped"), "{key}").expect("enroll reads");
    let output = child.wait_with_output().expect("enroll ends");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("Pendant 000130 is enrolled for officer-3"), "{said}");
    assert!(!said.to_uppercase().contains(&key), "the key is shown");
}

#[tokio::test]
async fn a_button_joins_is_pressed_and_is_known_after_a_crash() {
    let mut world = World::new(None).await;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    world.site.configure(&lines(server));
    let _bare = world.site.wire();
    let mut device = LoRaWanDevice::new(DEV_EUI, [0x5C; 16]);
    enroll(&world, &device);
    let mut centre = world.centre();
    world.site.start().await;
    let forwarder = Forwarder::start(server, FORWARDER, u32::MAX - 3_000_000).await;
    let mut air = Roof { forwarder: forwarder.expect("a port") };
    air.forwarder.pull().await.expect("the daemon answers");
    world.site.until("the forwarder is there", |s| s["links"][1]["up"] == true).await;

    let (answer, after_us) = air.carry(&device.join()).await;
    assert_eq!(after_us, 5_000_000);
    assert_eq!((&answer.txpk["ipol"], &answer.txpk["ncrc"]), (&true.into(), &true.into()));
    assert_eq!((&answer.txpk["freq"], &answer.txpk["datr"]), (&924.5.into(), &"SF9BW500".into()));
    device.accept(&answer.bytes).expect("a join accept for this device");
    next_of(&mut centre, "joined").await;

    let session = device.session.as_mut().expect("it has joined");
    let (answer, after_us) = air.carry(&session.say(85, PRESS, CONFIRMED)).await;
    assert_eq!(after_us, 1_000_000);
    assert!(session.hear(&answer.bytes).expect("for this device").acknowledges);
    let press = next_of(&mut centre, "panic").await;
    assert_eq!(press.data.pendant.as_deref(), Some("000130"));

    // The forwarder has no time for the first window.
    air.forwarder.refuse_next("TOO_LATE");
    let (answer, after_us) = air.carry(&session.say(85, PRESS, CONFIRMED)).await;
    assert_eq!(after_us, 2_000_000);
    let place = (&answer.txpk["freq"], &answer.txpk["datr"]);
    assert_eq!(place, (&923.3.into(), &"SF12BW500".into()));
    assert!(session.hear(&answer.bytes).expect("for this device").acknowledges);
    next_of(&mut centre, "panic").await;
    let survey = world.site.command(&["survey", "--json"]).output().expect("survey runs");
    let survey: serde_json::Value = serde_json::from_slice(&survey.stdout).expect("JSON");
    let row = &survey["rows"][0];
    let how = [&row["pendant"], &row["link"], &row["frames"], &row["spreading_factor"]];
    assert_eq!(json!(how), json!(["000130", "roof", 2, 9]), "{survey}");

    world.site.kill_9();
    world.site.start().await;
    air.forwarder.pull().await.expect("the daemon answers");
    world.site.until("the forwarder is there", |s| s["links"][1]["up"] == true).await;
    let (answer, _) = air.carry(&session.say(85, PRESS, CONFIRMED)).await;
    assert!(session.hear(&answer.bytes).expect("a higher counter").acknowledges);
    next_of(&mut centre, "panic").await;
}

/// A device that is fixed to the one channel of the gateway's own radio.
#[tokio::test]
async fn a_button_is_heard_and_answered_by_the_gateway_s_own_radio() {
    let mut world = World::new(None).await;
    let socket = world.site.path("air");
    world.site.configure(&format!(
        "[lorawan]\nregion = \"EU868\"\n\
         [[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n\
         [[link]]\nname = \"roof\"\nkind = \"virtual-radio\"\nsocket = \"{}\"\n\
         frequency_hz = {CHANNEL_HZ}\nspreading_factor = 7\nnetwork = \"lorawan\"\n",
        socket.display()
    ));
    let _bare = world.site.wire();
    let mut device = LoRaWanDevice::new(DEV_EUI, [0x5C; 16]);
    enroll(&world, &device);
    let mut centre = world.centre();
    let ether = Ether::default();
    let _server = EtherServer::bind(&socket, ether.clone()).expect("a socket");
    let uplink = Air {
        iq_inverted: false,
        shape: Shape { payload_crc: true, ..Air::lorawan_downlink(CHANNEL_HZ, 7, 125_000).shape },
        ..Air::lorawan_downlink(CHANNEL_HZ, 7, 125_000)
    };
    let mut station = Station::new(ether.port());
    world.site.start().await;
    world.site.until("the radio is there", |s| s["links"][1]["up"] == true).await;

    let (answer, after) = said(&mut station, uplink, || device.join()).await;
    device.accept(&answer).expect("a join accept for this device");
    assert!((4_998..5_050).contains(&after.as_millis()), "{after:?}");
    let session = device.session.as_mut().expect("it has joined");
    let press = session.say(85, PRESS, CONFIRMED);
    let (answer, after) = said(&mut station, uplink, || press.clone()).await;
    assert!(session.hear(&answer).expect("for this device").acknowledges);
    assert!((998..1_050).contains(&after.as_millis()), "{after:?}");
    next_of(&mut centre, "panic").await;
}

/// Longer than a device listens, after a join too.
const LISTENS: Duration = Duration::from_secs(7);

/// Says something on the air, again and again until it is answered: under load an answer may
/// come too late to leave. Gives what comes back in the first window to a device that listens
/// as LoRaWAN devices do, and how long after the frame's end it began.
async fn said(
    station: &mut Station,
    uplink: Air,
    mut frame: impl FnMut() -> Vec<u8>,
) -> (Vec<u8>, Duration) {
    let downlink = Air::lorawan_downlink(CHANNEL_HZ, 7, 125_000);
    for _ in 0..5 {
        let ended = station.send(uplink, 14, &frame()).await;
        let heard = async {
            loop {
                let heard = station.hear().await.expect("the air is there");
                if heard.arrival.air.is_same_channel(&downlink) {
                    return heard;
                }
            }
        };
        if let Ok(heard) = timeout(LISTENS, heard).await {
            let took = downlink.shape.frame(heard.arrival.bytes.len() as u8);
            return (heard.arrival.bytes.clone(), heard.ended - ended - took);
        }
    }
    panic!("five times no answer");
}
