//! Time to start and memory, with an empty journal and with a full one.

use crate::Outcome;
use crate::backlog;
use crate::broker::Broker;
use crate::mqtt::{From, Publisher, Subscriber};
use crate::site::{Site, UNPACED};
use crate::stats::{median, now, print, us};
use std::net::TcpListener;

const STARTS: usize = 7;
const RECOVERIES: usize = 3;
const BACKLOG: usize = 1_000_000;

pub(crate) fn start() -> Outcome {
    let broker = Broker::start()?;
    let mut subscriber = Subscriber::start(&broker)?;
    let publisher = Publisher::start(&broker)?;
    let mut site = Site::new(&broker, broker.port, UNPACED)?;
    let mut times = Vec::new();
    for round in 0..=STARTS {
        if round > 0 {
            site.stop()?;
            // What the last run said came before this.
            publisher.publish(1)?;
            subscriber.next(From::Floor)?;
        }
        let begun = site.start()?;
        times.push(us(subscriber.next(From::Trouble)? - begun) / 1000.0);
    }
    print("start.ms_to_first_event", median(&times[1..]), "ms");
    print("start.first_ever_ms", times[0], "ms");
    // Once its wearer is answered it has nothing more to do.
    site.press()?;
    site.hear()?;
    print("rss.idle_mib", site.memory_mib("VmRSS")?, "MiB");
    print("rss.idle_anonymous_mib", site.memory_mib("RssAnon")?, "MiB");
    Ok(())
}

pub(crate) fn recover() -> Outcome {
    let events = match std::env::var("BENCH_BACKLOG") {
        Ok(text) => text.parse().map_err(|_| "BENCH_BACKLOG is not a number of events")?,
        Err(_) => BACKLOG,
    };
    let broker = Broker::start()?;
    // A port at which nobody is: the backlog stays.
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut site = Site::new(&broker, nobody, UNPACED)?;
    let begun = now();
    backlog::make(&mut site, events)?;
    println!("# recover: {events} events, made in {:.1} s", begun.elapsed().as_secs_f64());
    let mut times = Vec::new();
    for round in 0..RECOVERIES {
        if round > 0 {
            site.stop()?;
        }
        let begun = site.start()?;
        times.push(us(begun.elapsed()) / 1000.0);
    }
    print("recover.backlog_1m_ms", median(&times), "ms");
    site.press()?;
    site.hear()?;
    print("rss.backlog_1m_mib", site.memory_mib("VmRSS")?, "MiB");
    print("rss.backlog_1m_anonymous_mib", site.memory_mib("RssAnon")?, "MiB");
    print("rss.backlog_1m_peak_mib", site.memory_mib("VmHWM")?, "MiB");
    Ok(())
}
