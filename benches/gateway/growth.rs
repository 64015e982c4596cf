//! How the cost of a frame, and of a start, grows: with pendants, with events that wait,
//! with links.

use crate::Outcome;
use crate::backlog;
use crate::broker::Broker;
use crate::engine::Site as Pendants;
use crate::site::{Site, UNPACED};
use crate::stats::{median, print, us};
use std::net::TcpListener;

const ROUNDS: usize = 3;
const FRAMES: usize = 20_000;

/// Of a pendant that is heard among so many, all in turn.
pub(crate) fn pendants() -> Outcome {
    for count in [1, 10, 100, 1_000, 10_000] {
        let site = Pendants::new(count);
        let frame_us = typical(|| site.frame_us(true, 5 * FRAMES, 1))?;
        print(&format!("growth.pendants_{count}.frame_us"), frame_us, "us");
    }
    Ok(())
}

/// Behind so many events that wait for a broker.
pub(crate) fn events() -> Outcome {
    let site = Pendants::new(100);
    for count in [0, 1_000, 10_000, 100_000, 1_000_000] {
        let frame_us = typical(|| site.frame_behind_us(count, FRAMES))?;
        print(&format!("growth.events_{count}.frame_us"), frame_us, "us");
    }
    Ok(())
}

/// Of a frame that so many links hear.
pub(crate) fn links() -> Outcome {
    let site = Pendants::new(100);
    for count in [1, 2, 4, 8] {
        let frame_us = typical(|| site.frame_us(true, FRAMES, count))?;
        print(&format!("growth.links_{count}.frame_us"), frame_us, "us");
    }
    Ok(())
}

/// Of the daemon's start with so many events in its journal; a million is `recover`.
pub(crate) fn starts() -> Outcome {
    let broker = Broker::start()?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    for count in [0, 1_000, 10_000, 100_000] {
        let mut site = Site::new(&broker, nobody, UNPACED)?;
        backlog::make(&mut site, count)?;
        let start_ms = typical(|| {
            let begun = site.start()?;
            let took_ms = us(begun.elapsed()) / 1000.0;
            site.stop()?;
            Ok(took_ms)
        })?;
        print(&format!("growth.events_{count}.start_ms"), start_ms, "ms");
    }
    Ok(())
}

fn typical(mut measure: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let rounds: Outcome<Vec<f64>> = (0..ROUNDS).map(|_| measure()).collect();
    Ok(median(&rounds?))
}
