//! A radio under the real daemon, in the air of a test: what its channel is like.

use crate::end_to_end::World;
use pendant_hal::sim::ether::{Antenna, Ether, Jamming};
use pendant_hal::sim::socket::EtherServer;
use pendant_hal::sim::waves::Band;
use std::path::PathBuf;
use tokio::sync::mpsc;

const FREQUENCY_HZ: u32 = 868_100_000;

/// An air on a thread of its own, since the test asks for the status in between.
/// Somebody jams it once that is sent; it ends with the sender.
fn air_to_jam(socket: PathBuf) -> mpsc::Sender<()> {
    let (jam, mut wanted) = mpsc::channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let ether = Ether::default();
            let _server = EtherServer::bind(&socket, ether.clone()).expect("a socket");
            let band = Band { centre_hz: FREQUENCY_HZ, width_hz: 125_000 };
            let mut jammers = Vec::new();
            while wanted.recv().await.is_some() {
                jammers.push(ether.jam(&Antenna::default(), band, 20, Jamming::Continuous));
            }
        });
    });
    jam
}

/// In real time, so it takes the twenty seconds for which a noise must last.
#[tokio::test]
async fn a_jammed_radio_shows_in_the_status_on_the_lamp_and_in_the_log() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let air = world.site.path("air");
    world.site.configure(&format!(
        "[[link]]\nname = \"roof\"\nkind = \"virtual-radio\"\nsocket = \"{}\"\n\
         frequency_hz = {FREQUENCY_HZ}\n",
        air.display()
    ));
    let jam = air_to_jam(air);
    world.site.start().await;
    let quiet = world.site.until("it measures", |s| s["links"][1]["noise_dbm"] == -117).await;
    assert_eq!(quiet["jamming_suspected"], false, "{quiet}");
    assert_eq!(quiet["links"][0]["noise_dbm"], serde_json::Value::Null, "a serial port has none");
    jam.send(()).await.expect("the air is there");
    let jammed = world.site.until("it is suspected", |s| s["jamming_suspected"] == true).await;
    let roof = &jammed["links"][1];
    assert_eq!((&roof["noise_dbm"], &roof["jamming_suspected"]), (&(-90).into(), &true.into()));
    assert_eq!(jammed["lamps"]["reception"], "blinking");
    world.site.terminate();
    let log = world.site.log();
    assert!(log.contains("jamming suspected; the centre is told"), "{log}");
}
