//! What stands on the gateway's disk, where bits rot and a stranger may write.

use super::first;
use pendant_gateway::engine::journal::reading::{Clear, rewritten, sealed};
use pendant_gateway::engine::journal::recover::{Replay, Survey};
use pendant_gateway::engine::journal::{JournalKey, SEGMENT_BYTES, SLOT_BYTES, SLOTS_PER_SEGMENT};
use pendant_gateway::engine::keyring::Secrets;
use pendant_gateway::engine::name::Name;
use pendant_gateway::shell::history::{KEY_BYTES, row, row_bytes};
use pendant_gateway::shell::keyring_files::shared::{self, Shared};
use pendant_gateway::shell::keyring_files::unsealed;
use pendant_protocol::PendantId;

/// Values once they are unsealed, by the first byte: a record of the journal, a row of the
/// history, an enrolment; what another gateway shared, which anybody can seal.
pub(crate) fn store_values(data: &[u8]) {
    let (which, text) = first(data);
    if which == b'S' {
        return shared_enrolments(text);
    }
    match which % 3 {
        0 => {
            if let Some(record) = rewritten(text) {
                assert_eq!(rewritten(&record), Some(record.clone()), "a record changes");
            }
        }
        1 => {
            let Some((key, value)) = text.split_first_chunk::<KEY_BYTES>() else { return };
            let Some(read) = row(key, value) else { return };
            let (key_again, value_again) = row_bytes(&read);
            assert_eq!(row(&key_again, &value_again), Some(read), "a row changes");
            let mut sum = read.tally;
            sum.merge(&read.tally);
            assert!(sum.count >= read.tally.count);
        }
        _ => {
            let pendant = PendantId::new(0x12f).expect("a number in range");
            let Some(enrolment) = unsealed(pendant, text) else { return };
            assert_eq!(enrolment.pendant, pendant, "it is another's");
            let wearer = enrolment.wearer.as_str();
            assert_eq!(Name::new(wearer).as_ref(), Ok(&enrolment.wearer), "a name that is none");
        }
    }
}

fn shared_enrolments(text: &[u8]) {
    let Ok(Shared { from, enrolments }) = shared::read(text) else { return };
    assert!(from.slot.get() < 32 && !enrolments.is_empty());
    assert!(enrolments.is_sorted_by(|one, next| one.pendant < next.pendant), "one comes twice");
    for enrolment in enrolments {
        assert!(matches!(enrolment.secrets, Secrets::Native { .. }), "one that was bought");
        assert_ne!(enrolment.id, 0, "an id that is none");
        let wearer = enrolment.wearer.as_str();
        assert_eq!(Name::new(wearer).as_ref(), Ok(&enrolment.wearer), "a name that is none");
    }
}

/// Bytes of one frame's description in what [`journal`] is given.
const DESCRIPTION_BYTES: usize = 8;
/// Files of the journal that it is given.
const FILES: usize = 3;

/// A journal's files with any headers, as somebody may write them who can write files and
/// compute checksums, but has no key; and some that are the gateway's own.
///
/// The first byte says which files have their full length. Each frame is eight bytes: the
/// file, its index, its segment, the four positions in it, and what is damaged.
pub(crate) fn journal(data: &[u8]) {
    let (full, descriptions) = first(data);
    let key = JournalKey::from_bytes([7; 32]);
    let mut files = vec![Vec::new(); FILES];
    for description in descriptions.chunks_exact(DESCRIPTION_BYTES).take(64) {
        let description: &[u8; DESCRIPTION_BYTES] = description.try_into().expect("eight bytes");
        put(&mut files, &key, description);
    }
    for (place, file) in files.iter_mut().enumerate() {
        if full >> place & 1 == 1 {
            file.resize(SEGMENT_BYTES as usize, 0);
        }
    }
    let survey = || {
        let mut survey = Survey::new();
        for (number, bytes) in (0..).zip(&files) {
            survey.file(number, bytes);
        }
        survey
    };
    if let Some(stretch) = survey().unvouched() {
        let file = &files[stretch.file as usize];
        let end = stretch.offset + stretch.bytes as u64;
        assert!(end <= file.len() as u64, "beyond the end of the file");
    }
    for plan in [survey().plan(), survey().plan_unsettled()] {
        let Ok(plan) = plan else { continue };
        let mut replay = Replay::new(plan, key.clone());
        let order = replay.order();
        assert!(order.len() <= FILES, "a file counts twice");
        for file in order {
            replay.file(file, &files[file as usize]);
        }
        let findings = replay.findings();
        let there = files.iter().map(|file| file.len() / SLOT_BYTES).sum::<usize>() as u64;
        assert!(findings.frames <= there && findings.lost.len() <= 64);
        if let Ok(waiting) = replay.into_waiting() {
            assert_eq!(waiting.count(), 0, "an event that nobody sealed");
        }
    }
}

/// A number of few that matter, near and far.
fn position(byte: u8, segment: u64) -> u64 {
    let base = match byte >> 6 {
        0 => 0,
        1 => segment.wrapping_mul(SLOTS_PER_SEGMENT),
        2 => segment.wrapping_sub(1).wrapping_mul(SLOTS_PER_SEGMENT),
        _ => u64::MAX - 31,
    };
    base.wrapping_add(u64::from(byte & 31) * if byte & 32 == 0 { 1 } else { 100 })
}

fn put(files: &mut [Vec<u8>], key: &JournalKey, description: &[u8; DESCRIPTION_BYTES]) {
    let [file, index, segment, durable, previous, tail, next, damage] = *description;
    // Segments near the beginning, and at the end of all numbers.
    let last_segment = u64::MAX / SLOTS_PER_SEGMENT;
    let segment = match segment >> 6 {
        3 => last_segment - u64::from(segment & 63),
        _ => u64::from(segment),
    };
    let index = match index >> 7 {
        1 => SLOTS_PER_SEGMENT - 1 - u64::from(index & 127),
        _ => u64::from(index),
    };
    let clear = Clear {
        lsn: segment * SLOTS_PER_SEGMENT + index,
        durable_before: position(durable, segment),
        previous_end: position(previous, segment),
        tail: position(tail, segment),
        boot: u64::from(damage & 3) + 1,
        next_file: (next < 8).then_some(u32::from(next)),
    };
    // Releases of nothing, which is a record; or zeros, which are none.
    let record: &[u8] = if next & 128 == 0 { &[2, 0, 3, 0] } else { &[] };
    let mut frame = sealed(key, &clear, record);
    if damage >= 128 {
        let place = usize::from(damage & 127) * 4;
        frame[place] ^= 1;
    }
    let file = &mut files[usize::from(file) % FILES];
    let start = index as usize * SLOT_BYTES;
    if file.len() < start + SLOT_BYTES {
        file.resize(start + SLOT_BYTES, 0);
    }
    file[start..start + SLOT_BYTES].copy_from_slice(&frame);
}
