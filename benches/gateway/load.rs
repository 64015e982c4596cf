//! What the daemon takes of the processor under a load that no site has.

use crate::Outcome;
use crate::broker::Broker;
use crate::mqtt::{From, Subscriber};
use crate::site::{Site, UNPACED};
use crate::stats::{now, print};
use std::time::Duration;

const FRAMES_PER_S: u32 = 1_000;
/// Frames are said in groups of this many, so that they do not come in step with the kernel's clock.
const GROUP: u32 = 5;
const GROUPS: u32 = 2_000;

/// Presses one after the other at an even rate, each told, synced and answered; of all
/// cores together, of which one is 100 %.
pub(crate) fn processor() -> Outcome {
    let broker = Broker::start()?;
    let mut subscriber = Subscriber::start(&broker)?;
    let mut site = Site::new(&broker, broker.port, UNPACED)?;
    site.start()?;
    subscriber.next(From::Trouble)?;
    site.press()?;
    site.hear()?;
    subscriber.next(From::Urgent)?;
    let (begun, before_s) = (now(), site.processor_s()?);
    for group in 1..=GROUPS {
        for _ in 0..GROUP {
            site.press()?;
        }
        site.clear_wire_until(begun + Duration::from_secs(1) * (group * GROUP) / FRAMES_PER_S);
    }
    let frames = GROUPS * GROUP;
    for _ in 0..frames {
        subscriber.next(From::Urgent)?;
    }
    let (took_s, used_s) = (begun.elapsed().as_secs_f64(), site.processor_s()? - before_s);
    println!("# load: {frames} presses in {took_s:.2} s, all at the centre");
    print("load.frames_per_s", f64::from(frames) / took_s, "1/s");
    print("load.core_percent", used_s / took_s * 100.0, "%");
    print("load.us_per_frame", used_s * 1e6 / f64::from(frames), "us");
    Ok(())
}
