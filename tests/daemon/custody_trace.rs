//! P1 by the kernel's own word: a trace of the daemon's system calls shows that
//! every answer to a pendant follows a sync of the journal that covers it.

use crate::end_to_end::World;
use crate::pendant::*;
use crate::site::hear;
use std::collections::{BTreeMap, BTreeSet};

/// One line of interest of a trace, in order.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    JournalWrite,
    Sync,
    /// An answer written to the serial port.
    Answer,
}

#[tokio::test]
async fn every_answer_follows_a_sync() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let trace = world.site.path("trace");
    let strace = which("strace");
    world.site.wrapper =
        [strace.as_str(), "-f", "-y", "-e", "trace=write,writev,pwrite64,fdatasync", "-o"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain([trace.display().to_string()])
            .collect();
    world.site.start().await;
    world.site.until("the port is up", |s| s["links"][0]["up"] == true).await;
    let mut answers = BTreeSet::new();
    for _ in 0..5 {
        wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
        answers.insert(hear(&mut wire).await.0);
    }
    assert_eq!(answers.len(), 5);
    let text = std::fs::read_to_string(&trace).expect("the trace");
    let calls: Vec<Call> = text.lines().filter_map(call).collect();
    // Each press is made after the answer to the one before, so its record is written
    // and synced between the two. Other records may be under way when the answer leaves.
    let (mut written, mut synced) = (false, false);
    let mut seen = 0;
    for call in &calls {
        match call {
            Call::JournalWrite => written = true,
            Call::Sync => synced |= std::mem::take(&mut written),
            Call::Answer => {
                assert!(std::mem::take(&mut synced), "answer {seen} without a sync:\n{text}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 5, "{text}");
}

/// A gateway that was killed may have left frames that only the cache has. They are
/// written again and synced before anything is made of them.
#[tokio::test]
async fn the_last_commit_is_written_again_before_it_is_believed() {
    let mut world = World::new(None).await;
    world.site.start().await;
    let segment = world.site.path("store/journal/00000000.seg");
    let written = || std::fs::read(&segment).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0));
    world.site.until("a commit is written", |_| written()).await;
    world.site.kill_9();
    let trace = world.site.path("trace");
    let calls = "trace=pread64,pwrite64,fdatasync,connect";
    world.site.wrapper = [which("strace").as_str(), "-f", "-y", "-e", calls, "-o"]
        .iter()
        .map(|word| (*word).to_owned())
        .chain([trace.display().to_string()])
        .collect();
    world.site.start().await;
    world.site.until("it runs again", |status| status["boot"].is_string()).await;
    let text = whole_calls(&std::fs::read_to_string(&trace).expect("the trace"));
    let names: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(".seg>"))
        .filter_map(|line| {
            ["pread64(", "pwrite64(", "fdatasync("].into_iter().find(|call| line.contains(call))
        })
        .collect();
    let place =
        |line: &str| line.rsplit(", ").next().map(|end| end.split(')').next().map(str::to_owned));
    let first =
        |call: &str| text.lines().find(|line| line.contains(".seg>") && line.contains(call));
    let written = first("pwrite64(").expect("a write");
    let reads = text.lines().filter(|line| line.contains(".seg>") && line.contains("pread64("));
    // The same stretch that was read alone just before.
    assert!(reads.clone().any(|read| place(read) == place(written)), "{text}");
    let write = names.iter().position(|call| *call == "pwrite64(").expect("just seen");
    assert_eq!(names.get(write + 1), Some(&"fdatasync("), "{text}");
}

/// The trace with each call on one line, at the place where it returned: strace cuts a
/// call in two if another thread makes one meanwhile.
fn whole_calls(trace: &str) -> String {
    let mut begun = BTreeMap::new();
    let mut whole = String::new();
    for line in trace.lines() {
        let thread = line.split(' ').next();
        if let Some(beginning) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, beginning);
        } else if let Some((_, end)) = line.split_once(" resumed>") {
            whole += begun.remove(&thread).unwrap_or_default();
            whole += end;
            whole.push('\n');
        } else {
            whole += line;
            whole.push('\n');
        }
    }
    whole
}

#[test]
fn a_call_that_strace_cut_in_two_is_put_together() {
    let trace = "7  pread64(11</a.seg>,  <unfinished ...>\n\
                 8  +++ exited with 0 +++\n\
                 7  <... pread64 resumed>\"x\"..., 2048, 0) = 2048\n";
    let whole = "8  +++ exited with 0 +++\n7  pread64(11</a.seg>, \"x\"..., 2048, 0) = 2048\n";
    assert_eq!(whole_calls(trace), whole);
}

fn call(line: &str) -> Option<Call> {
    let done = line.contains(" = ") && !line.contains("unfinished");
    // Files that are made meanwhile are filled with zeros, 64 KiB at a time.
    let zeros = line.contains(", 65536, ");
    if line.contains("pwrite64(") && line.contains(".seg>") && !zeros {
        Some(Call::JournalWrite)
    } else if done && line.contains("fdatasync") && line.ends_with("= 0") {
        Some(Call::Sync)
    } else if line.contains("/dev/pts/") && (line.contains("write(") || line.contains("writev(")) {
        Some(Call::Answer)
    } else {
        None
    }
}

fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: install the Debian package {program}"))
        .display()
        .to_string()
}
