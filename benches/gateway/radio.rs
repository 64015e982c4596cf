//! A radio on its thread, under the real driver on a virtual chip: how far
//! answers leave from their time, what listening costs, whether it holds up who
//! hands it an answer.

use crate::Outcome;
use crate::stats::{now, percentile, print, us};
use pendant_hal::radio::account::Account;
use pendant_hal::radio::{self, RadioSettings};
use pendant_hal::sim::busy::BusyCores;
use pendant_hal::sim::ether::{Ether, Station};
use pendant_hal::sim::sx1262::{self, BOARD};
use pendant_hal::{LinkEvent, LinkHandle, Transmission};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const ANSWERS: u64 = 100;
const LISTENING: Duration = Duration::from_secs(10);
/// A transfer of a few bytes at 2 MHz on a small computer.
const TRANSFER: Duration = Duration::from_micros(100);

const SETTINGS: RadioSettings = RadioSettings {
    downlink_frequency_hz: 869_525_000,
    spreading_factor: 7,
    ..RadioSettings::BENCH
};

struct Site {
    link: LinkHandle,
    events: mpsc::Receiver<(u8, LinkEvent)>,
    pendant: Station,
    account: Account,
}

impl Site {
    async fn up() -> Outcome<Self> {
        let ether = Ether::default();
        let (chip, faults) = sx1262::in_ether(&ether, BOARD);
        faults.slow_bus(TRANSFER);
        let account = Account::default();
        let (sender, events) = mpsc::channel(64);
        let link = radio::spawn(SETTINGS, chip, account.clone(), 0, sender);
        let mut site = Self { link, events, pendant: Station::new(ether.port()), account };
        match site.event().await? {
            LinkEvent::Up => Ok(site),
            other => Err(format!("the radio is not up: {other:?}").into()),
        }
    }

    async fn event(&mut self) -> Outcome<LinkEvent> {
        loop {
            let event = timeout(Duration::from_secs(20), self.events.recv()).await?;
            match event.ok_or("the radio's thread is gone")?.1 {
                LinkEvent::Air(_) => {}
                event => return Ok(event),
            }
        }
    }

    /// How far each answer left from its time, and how long handing it over took.
    async fn answers(&mut self) -> Outcome<(Vec<f64>, Vec<f64>)> {
        let (mut off, mut handed) = (Vec::new(), Vec::new());
        for ticket in 0..ANSWERS {
            let at = Instant::now() + Duration::from_millis(60);
            let answer = Transmission::native(ticket, at, vec![0x61; 24]);
            let begun = now();
            self.link.transmit.try_send(answer)?;
            handed.push(us(begun.elapsed()));
            let heard = timeout(Duration::from_secs(20), self.pendant.hear()).await?;
            let started = heard.ok_or("the ether is gone")?.started;
            off.push(us(started.max(at) - started.min(at)));
            match self.event().await? {
                LinkEvent::Sent { .. } => {}
                other => return Err(format!("not sent: {other:?}").into()),
            }
        }
        Ok((off, handed))
    }
}

pub(crate) fn radio() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut site = Site::up().await?;
        let before = thread_cpu("radio-0")?;
        sleep(LISTENING).await;
        let spent = thread_cpu("radio-0")? - before;
        print("radio.listening_cpu_percent", 100.0 * spent.div_duration_f64(LISTENING), "%");

        let (off, handed) = site.answers().await?;
        print("radio.answer_off_p50_us", percentile(&off, 50), "us");
        print("radio.answer_off_max_us", percentile(&off, 100), "us");
        print("radio.hand_over_max_us", percentile(&handed, 100), "us");
        let deaf = site.account.balance(Instant::now()).deaf_permille;
        print("radio.deaf_while_answering_permille", f64::from(deaf), "permille");

        let load = BusyCores::start();
        let loaded = site.answers().await;
        drop(load);
        let (off, _) = loaded?;
        print("radio.answer_off_loaded_p50_us", percentile(&off, 50), "us");
        print("radio.answer_off_loaded_p99_us", percentile(&off, 99), "us");
        print("radio.answer_off_loaded_max_us", percentile(&off, 100), "us");
        site.link.stop().await;
        Ok(())
    })
}

/// How long the thread of this name has run (proc(5), schedstat).
fn thread_cpu(name: &str) -> Outcome<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            let text = std::fs::read_to_string(task.join("schedstat"))?;
            let ns = text.split_whitespace().next().ok_or("an empty schedstat")?.parse()?;
            return Ok(Duration::from_nanos(ns));
        }
    }
    Err(format!("no thread {name}").into())
}
