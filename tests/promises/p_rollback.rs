//! An old image of the SD card is put back (P3, P8): events and windows are what
//! they were then, but no boot, no nonce and no event id comes twice.

use crate::pendant::*;
use crate::rig::*;
use pendant_protocol::FrameBytes;
use std::collections::{BTreeMap, BTreeSet};

/// A life, an image of the card, a life after it, and the image put back. What
/// was heard after the image is heard once more, as a listener would repeat it.
struct Tale {
    rig: Rig,
    /// Frames on the medium, as they stood at any time: (boot, position) -> text.
    sealed: BTreeMap<(u64, u64), BTreeSet<Vec<u8>>>,
    /// Presses after the image.
    presses: u32,
}

impl Tale {
    fn look(&mut self) {
        for (index, sector) in
            self.rig.disk.files.values().flat_map(|file| file.chunks_exact(512).enumerate())
        {
            let number =
                |at: usize| u64::from_le_bytes(sector[at..at + 8].try_into().expect("8 bytes"));
            let position = number(8);
            if position != 0 && position % 2048 == index as u64 {
                let texts = self.sealed.entry((number(40), position)).or_default();
                texts.insert(sector[48..].to_vec());
            }
        }
    }

    fn said(&mut self, frames: &[FrameBytes]) {
        for frame in frames {
            self.rig.frame(0, frame);
            self.rig.run_ms(3_000);
            self.look();
        }
    }
}

fn tale() -> Tale {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.run_ms(1_000);
    rig.exchange(&mut pendant, PANIC);
    let image = rig.disk.clone();
    let mut tale = Tale { rig, sealed: BTreeMap::new(), presses: 0 };
    tale.look();
    let bodies = [HEARTBEAT, start(30), PANIC, pin(DURESS), DISCREET, PANIC];
    let frames: Vec<FrameBytes> = bodies.iter().map(|body| pendant.say(*body)).collect();
    tale.presses = u32::try_from(frames.len()).expect("few");
    tale.said(&frames);
    for _ in 0..3 {
        tale.rig.crash();
        tale.rig.disk = image.clone();
        tale.rig.start();
        tale.rig.run_ms(500);
        tale.look();
        tale.said(&frames);
    }
    tale
}

#[test]
fn a_card_put_back_repeats_no_boot() {
    let tale = tale();
    let started = tale.rig.seen.iter().filter(|seen| seen.kind() == "gateway_started");
    let mut ids = BTreeMap::new();
    for seen in started {
        assert_eq!(*ids.entry(seen.boot()).or_insert(seen.id()), seen.id(), "a boot twice");
    }
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_card_put_back_repeats_no_nonce_of_the_journal() {
    let tale = tale();
    assert!(tale.sealed.len() > 40);
    for (nonce, texts) in &tale.sealed {
        assert_eq!(texts.len(), 1, "{nonce:?}: two texts under one key and nonce");
    }
}

/// Slot, pendant, counter and salt are the nonce, and all of the header.
#[test]
fn a_card_put_back_repeats_no_nonce_of_an_answer() {
    let tale = tale();
    let mut sealed: BTreeMap<[u8; 8], Vec<u8>> = BTreeMap::new();
    for downlink in &tale.rig.downlinks {
        let header: [u8; 8] = downlink.frame[..8].try_into().expect("8 bytes");
        assert_eq!(*sealed.entry(header).or_insert(downlink.frame.clone()), downlink.frame);
    }
    assert_eq!(sealed.len(), 1 + 4 * tale.presses as usize, "each was answered anew");
}

#[test]
fn a_card_put_back_repeats_no_event_id() {
    let tale = tale();
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut ids: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for seen in &tale.rig.seen {
        let data = &seen.json["data"];
        let name = match data["counter"].as_u64() {
            Some(counter) => format!("what frame {counter} said"),
            None => format!("{} {} {}", seen.boot(), seen.lane(), seen.number()),
        };
        names.entry(seen.id()).or_default().insert(name.clone());
        ids.entry(name).or_default().insert(seen.id());
    }
    for (id, names) in &names {
        assert_eq!(names.len(), 1, "{id} names {names:?}");
    }
    for (name, ids) in &ids {
        assert_eq!(ids.len(), 1, "{name} has {ids:?}");
    }
}
