//! `cargo bench --bench gateway [-- NAME_PREFIX]`: the figures of the gateway, one
//! line `name value unit` each; lines that begin with `#` say what they were
//! measured on. Every ratio is over a floor measured in the same run.
//! `docs/performance.md` explains them.

mod backlog;
mod broker;
mod drain;
mod engine;
mod footprint;
mod growth;
mod load;
mod lorawan;
mod mqtt;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared with the tests")]
#[path = "../../tests/support/pendant.rs"]
mod pendant;
mod press;
mod radio;
mod site;
mod stats;
mod store;
mod world;

use cap::Cap;
use std::alloc::System;
use std::process::ExitCode;

/// Counts what is on the heap.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What one function prints, and the function.
type Measurement = (&'static [&'static str], fn() -> Outcome);

/// The large journal comes last: writing it back would disturb the others.
const MEASUREMENTS: [Measurement; 17] = [
    (&["engine.frames_per_s"], engine::frames),
    (&["engine.broker_down_frames_per_s"], engine::broker_down),
    (&["engine.lorawan_frames_per_s", "engine.lorawan_concentrator_core"], lorawan::frames),
    (&["engine.bytes_per_pendant"], engine::bytes),
    (
        &["radio.listening_cpu_percent", "radio.answer_off_max_us", "radio.hand_over_max_us"],
        radio::radio,
    ),
    (&["store.commit_p50_ratio", "store.bytes_per_event"], store::commit),
    (&["store.routine_bytes_per_event"], store::routine),
    (&["start.ms_to_first_event", "rss.idle_mib"], footprint::start),
    (&["press_to_centre.p50_ratio", "press_to_centre.p99_ratio"], press::to_centre),
    (&["load.frames_per_s", "load.core_percent"], load::processor),
    (&["drain.events_per_s_ratio"], drain::drain),
    (&["growth.pendants"], growth::pendants),
    (&["growth.links"], growth::links),
    (&["growth.events"], growth::events),
    (&["growth.starts"], growth::starts),
    (&["overtake.p99_ratio"], press::overtake),
    (&["recover.backlog_1m_ms", "rss.backlog_1m_mib"], footprint::recover),
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let count = words.len();
    words.retain(|word| word != "--bench");
    if words.len() == count {
        println!("# not measured: run it by `cargo bench --bench gateway`");
        return ExitCode::SUCCESS;
    }
    let prefix = words.first().map_or("", String::as_str);
    let wanted = |(names, _): &&Measurement| names.iter().any(|name| name.starts_with(prefix));
    if !MEASUREMENTS.iter().any(|measurement| wanted(&measurement)) {
        let names: Vec<&str> = MEASUREMENTS.iter().flat_map(|(names, _)| *names).copied().collect();
        eprintln!("nothing begins with {prefix:?}; there are: {}", names.join(" "));
        return ExitCode::FAILURE;
    }
    for (names, measure) in MEASUREMENTS.iter().filter(wanted) {
        if let Err(error) = measure() {
            eprintln!("{}: {error}", names[0]);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
