//! What a fleet did and what it took, for people and for programs.

use super::Carried;
use super::books::{Delays, Verdict};
use super::load::Cpu;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

const DAY_S: f64 = 86_400.0;

/// What the lines of some gateways carried in some time: TLS and what is in it, without
/// the headers of TCP and IP; and what the machine took for all gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// How long.
    pub time: Duration,
    /// Bytes of one gateway to the broker in a second.
    pub up_bytes_per_s: f64,
    /// And back.
    pub down_bytes_per_s: f64,
    /// Events of one gateway in a second.
    pub events_per_s: f64,
    /// Processor time for all of them.
    pub cpu: Cpu,
    /// Events of all of them.
    pub events: u64,
}

impl Traffic {
    pub(super) fn between(
        (before, after): (Carried, Carried),
        lines: u64,
        gateways: u32,
    ) -> Option<Self> {
        let time = after.at?.duration_since(before.at?);
        let of_line = time.as_secs_f64() * lines as f64;
        if of_line == 0.0 {
            return None;
        }
        let events = after.events - before.events;
        Some(Self {
            time,
            up_bytes_per_s: (after.up - before.up) as f64 / of_line,
            down_bytes_per_s: (after.down - before.down) as f64 / of_line,
            events_per_s: events as f64 / time.as_secs_f64() / f64::from(gateways),
            cpu: after.cpu.since(before.cpu),
            events,
        })
    }

    fn json(&self) -> Value {
        json!({
            "seconds": self.time.as_secs_f64(),
            "gateway_up_bytes_per_s": self.up_bytes_per_s,
            "gateway_down_bytes_per_s": self.down_bytes_per_s,
            "gateway_events_per_s": self.events_per_s,
            "events": self.events,
            "cpu_s": {
                "gateways": self.cpu.gateways.as_secs_f64(),
                "desk": self.cpu.desk.as_secs_f64(),
                "broker": self.cpu.broker.as_secs_f64(),
            },
        })
    }
}

/// A fleet's report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How many gateways.
    pub gateways: u32,
    /// How many pendants at each.
    pub pendants: u32,
    /// How long people worked.
    pub worked: Duration,
    /// Frames that were acknowledged.
    pub acknowledged: u64,
    /// Presses that their pendants gave up.
    pub given_up: u64,
    /// Frames sent, repetitions too.
    pub transmissions: u64,
    /// Events offered to the broker, repetitions too.
    pub offers: u64,
    /// Whether the centre has what pendants were told.
    pub verdict: Verdict,
    /// From a frame to the receipt of its event at the gateway, while nothing was disturbed.
    pub calm: Delays,
    /// The same, disturbances and all.
    pub all: Delays,
    /// Before the first disturbance.
    pub traffic: Option<Traffic>,
    /// While nobody did anything.
    pub idle: Option<Traffic>,
    /// Memory of a gateway and its pendants: connected, and at the end; bytes.
    pub resident_bytes: (u64, u64),
}

impl Report {
    /// Whether nothing was lost, nothing came twice, and nobody was left without an answer.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.verdict.faults.is_empty() && self.given_up == 0 && self.acknowledged > 0
    }

    /// Bytes of one event, both ways, with its acknowledgement and receipt: what passes
    /// beyond what passes always.
    #[must_use]
    pub fn event_bytes(&self) -> Option<(f64, f64)> {
        let (busy, idle) = (self.traffic?, self.idle?);
        let of_event = |busy_bytes: f64, idle_bytes: f64| {
            (busy_bytes - idle_bytes) / (busy.events_per_s - idle.events_per_s)
        };
        (busy.events_per_s > idle.events_per_s).then(|| {
            let up = of_event(busy.up_bytes_per_s, idle.up_bytes_per_s);
            (up, of_event(busy.down_bytes_per_s, idle.down_bytes_per_s))
        })
    }

    /// For a program.
    #[must_use]
    pub fn json(&self) -> Value {
        let delays = |it: &Delays| {
            let ms = |time: Duration| time.as_secs_f64() * 1000.0;
            json!({
                "count": it.count, "p50_ms": ms(it.p50), "p99_ms": ms(it.p99),
                "worst_ms": ms(it.worst),
            })
        };
        json!({
            "gateways": self.gateways,
            "pendants_each": self.pendants,
            "worked_s": self.worked.as_secs_f64(),
            "acknowledged": self.acknowledged,
            "given_up": self.given_up,
            "transmissions": self.transmissions,
            "offers": self.offers,
            "events_at_centre": self.verdict.events,
            "events_again": self.verdict.again,
            "faults": self.verdict.faults,
            "whole": self.is_whole(),
            "frame_to_receipt_calm": delays(&self.calm),
            "frame_to_receipt_all": delays(&self.all),
            "traffic": self.traffic.map(|it| it.json()),
            "idle": self.idle.map(|it| it.json()),
            "event_bytes": self.event_bytes().map(|(up, down)| json!({ "up": up, "down": down })),
            "resident_bytes_each": {
                "connected": self.resident_bytes.0, "end": self.resident_bytes.1,
            },
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateways, pendants, acknowledged, verdict, .. } = self;
        let worked_s = self.worked.as_secs_f64();
        writeln!(
            f,
            "{gateways} gateways, {pendants} pendants each, {worked_s:.0} s: {acknowledged} frames \
             acknowledged ({:.0}/s), {} given up, {} transmissions",
            *acknowledged as f64 / worked_s,
            self.given_up,
            self.transmissions,
        )?;
        writeln!(
            f,
            "at the centre: {} events ({:.0}/s), {} came again; {} offers",
            verdict.events,
            verdict.events as f64 / worked_s,
            verdict.again,
            self.offers,
        )?;
        for (what, it) in [("undisturbed", &self.calm), ("all", &self.all)] {
            writeln!(
                f,
                "from frame to receipt, {what} ({}): half within {:.1} ms, 99 % within {:.1} ms, \
                 the last {:.1} ms",
                it.count,
                it.p50.as_secs_f64() * 1e3,
                it.p99.as_secs_f64() * 1e3,
                it.worst.as_secs_f64() * 1e3,
            )?;
        }
        for (what, it) in [("at work", self.traffic), ("idle", self.idle)] {
            let Some(it) = it else { continue };
            let cores = |cpu: Duration| cpu.as_secs_f64() / it.time.as_secs_f64();
            writeln!(
                f,
                "{what}: a gateway sends {:.0} B/s and gets {:.0} B/s with {:.3} events/s ({:.1} and \
                 {:.1} MB a day); cores busy: gateways {:.3}, desk {:.3}, broker {:.3}",
                it.up_bytes_per_s,
                it.down_bytes_per_s,
                it.events_per_s,
                it.up_bytes_per_s * DAY_S / 1e6,
                it.down_bytes_per_s * DAY_S / 1e6,
                cores(it.cpu.gateways),
                cores(it.cpu.desk),
                cores(it.cpu.broker),
            )?;
        }
        if let Some((up, down)) = self.event_bytes() {
            writeln!(f, "an event with its receipt: {up:.0} B up, {down:.0} B down")?;
        }
        let (connected, end) = self.resident_bytes;
        writeln!(
            f,
            "memory of a gateway with its pendants: {} KiB connected, {} KiB at the end",
            connected / 1024,
            end / 1024,
        )?;
        if verdict.faults.is_empty() {
            write!(f, "nothing lost, nothing twice, nothing left")
        } else {
            write!(f, "FAILED: {}", verdict.faults.join("\nFAILED: "))
        }
    }
}
