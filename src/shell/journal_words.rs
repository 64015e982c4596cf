//! What a reading of the journal found, in words: for the log at the start, for
//! `status` and for `queue`. Frames and places only (P5).

use crate::engine::journal::recover::{Findings, LostFrames};
use serde_json::{Value, json};

/// A sentence each, the state first.
#[must_use]
pub fn words(findings: &Findings) -> Vec<String> {
    if findings.files == 0 {
        return vec!["the journal is empty: there are no segment files".into()];
    }
    let mut words = vec![format!(
        "read back: {} in {}, written in {}",
        counted(findings.frames, "frame"),
        counted(findings.segments, "segment"),
        counted(findings.boots.len() as u64, "run"),
    )];
    words.push(format!("{} to be delivered", counted(findings.waiting, "event")));
    if findings.void_frames > 0 {
        words.push(format!(
            "{} of commits that were cut off: void, nobody was answered on them",
            counted(findings.void_frames, "frame")
        ));
    }
    if findings.files_short > 0 {
        words.push(format!(
            "{} shorter than a segment, with nothing in them that counts",
            counted(findings.files_short, "file")
        ));
    }
    if findings.damaged == 0 {
        words.push("nothing that was durable is missing".into());
        return words;
    }
    words.push(format!(
        "DAMAGED: {} that were durable cannot be read back",
        counted(findings.damaged, "frame")
    ));
    words.extend(findings.lost.iter().map(lost));
    if findings.lost_elsewhere() > 0 {
        words.push(format!("and {} elsewhere", counted(findings.lost_elsewhere(), "frame")));
    }
    words
}

/// The same for programs.
#[must_use]
pub fn json(findings: &Findings) -> Value {
    json!({
        "files": findings.files,
        "files_free": findings.files_free,
        "files_short": findings.files_short,
        "segments": findings.segments,
        "frames": findings.frames,
        "waiting": findings.waiting,
        "void_frames": findings.void_frames,
        "damaged_frames": findings.damaged,
        "boots": findings.boots.iter().map(|found| json!({
            "boot": format!("{:016x}", found.boot),
            "frames": found.frames,
            "first_segment": found.first_segment,
            "last_segment": found.last_segment,
        })).collect::<Vec<_>>(),
        "lost": findings.lost.iter().map(|range| json!({
            "file": range.file.map(file_name),
            "first_segment": range.first().0,
            "first_frame": range.first().1,
            "last_segment": range.last().0,
            "last_frame": range.last().1,
            "frames": range.frames(),
        })).collect::<Vec<_>>(),
        "lost_elsewhere": findings.lost_elsewhere(),
    })
}

/// Says it in the log.
pub fn tell(findings: &Findings) {
    let (backlog, damaged_frames) = (findings.waiting, findings.damaged);
    tracing::info!(backlog, damaged_frames, "journal read");
    for words in words(findings) {
        if findings.damaged > 0 {
            tracing::warn!("journal: {words}");
        } else {
            tracing::info!("journal: {words}");
        }
    }
}

fn lost(range: &LostFrames) -> String {
    let ((segment, first), (last_segment, last)) = (range.first(), range.last());
    match range.file {
        Some(file) if first == last => {
            format!("lost: frame {first} of segment {segment}, in {}", file_name(file))
        }
        Some(file) => {
            format!("lost: frames {first} to {last} of segment {segment}, in {}", file_name(file))
        }
        None => format!(
            "lost with their file: from frame {first} of segment {segment} to frame {last} of \
             segment {last_segment}, {}",
            counted(range.frames(), "frame")
        ),
    }
}

fn file_name(file: u32) -> String {
    format!("{file:08}.seg")
}

/// A number and its noun.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
