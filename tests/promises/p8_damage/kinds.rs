//! The kinds of damage, drawn by chance.

use super::medium::{Image, SECTOR, SLOTS, frames, segment_of};
use super::past::Past;
use crate::dice::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sectors, singly and in rows, hold something else.
    Sectors,
    /// A file ends early.
    Cut,
    /// The newest file ends early.
    CutNewest,
    /// A file is gone.
    Missing,
    /// The newest file is gone, or the newest ones.
    MissingNewest,
    /// A segment's bytes stand under the name of another file as well.
    Doubled,
    /// A file is as it was before.
    FilePutBack,
    /// The newest file is as it was before.
    NewestPutBack,
    /// The whole journal is as it was before.
    AllPutBack,
    /// Two of the others at once.
    Two,
}

pub(super) const KINDS: [Kind; 10] = [
    Kind::Sectors,
    Kind::Cut,
    Kind::CutNewest,
    Kind::Missing,
    Kind::MissingNewest,
    Kind::Doubled,
    Kind::FilePutBack,
    Kind::NewestPutBack,
    Kind::AllPutBack,
    Kind::Two,
];

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sectors => "sectors",
            Self::Cut => "file cut",
            Self::CutNewest => "newest cut",
            Self::Missing => "file missing",
            Self::MissingNewest => "newest missing",
            Self::Doubled => "doubled",
            Self::FilePutBack => "file put back",
            Self::NewestPutBack => "newest put back",
            Self::AllPutBack => "all put back",
            Self::Two => "two at once",
        }
    }
}

/// A journal after damage.
pub(super) struct Damaged {
    pub(super) image: Image,
    pub(super) what: String,
    /// The end of the log is gone in a way that the rest of the journal shows.
    pub(super) end_is_seen_missing: bool,
}

/// Files in order of their segments, the newest last; without those that hold none.
fn by_age(image: &Image) -> Vec<u32> {
    let mut files: Vec<(u64, u32)> =
        image.iter().filter_map(|(file, bytes)| Some((segment_of(bytes)?, *file))).collect();
    files.sort_unstable();
    files.into_iter().map(|(_, file)| file).collect()
}

pub(super) fn damage(past: &Past, kind: Kind, chance: &mut Dice) -> Damaged {
    let image = past.image.clone();
    let mut damaged = Damaged { image, what: String::new(), end_is_seen_missing: false };
    if kind == Kind::Two {
        let mut kinds = [Kind::Sectors; 2];
        kinds.fill_with(|| chance.pick(&KINDS[..KINDS.len() - 2]));
        for kind in kinds {
            hurt(past, kind, chance, &mut damaged);
        }
        // The second may have hidden what the first showed.
        damaged.end_is_seen_missing = false;
    } else {
        hurt(past, kind, chance, &mut damaged);
    }
    damaged
}

fn hurt(past: &Past, kind: Kind, chance: &mut Dice, damaged: &mut Damaged) {
    let ages = by_age(&damaged.image);
    let newest = *ages.last().expect("some are left");
    let any = chance.pick(&ages);
    let what = match kind {
        Kind::Sectors => sectors(past, chance, &mut damaged.image),
        Kind::Cut => cut(any, chance, &mut damaged.image),
        Kind::CutNewest => {
            damaged.end_is_seen_missing = true;
            cut(newest, chance, &mut damaged.image)
        }
        Kind::Missing => {
            damaged.image.remove(&any);
            damaged.end_is_seen_missing = any == newest;
            format!("file {any} gone")
        }
        Kind::MissingNewest => {
            damaged.end_is_seen_missing = true;
            let gone = 1 + chance.below(2) as usize;
            ages.iter().rev().take(gone).for_each(|file| drop(damaged.image.remove(file)));
            format!("the newest {gone} gone")
        }
        Kind::Doubled => {
            let others: Vec<u32> =
                damaged.image.keys().copied().chain([99]).filter(|file| *file != any).collect();
            let other = chance.pick(&others);
            // Nothing tells a copy of what is void from what stood in the file before.
            let tail = frames(&past.image).map(|(_, frame)| frame.tail).max().unwrap_or(0);
            let in_log = segment_of(&damaged.image[&any]) >= Some(tail / SLOTS);
            damaged.end_is_seen_missing = other == newest && in_log;
            damaged.image.insert(other, damaged.image[&any].clone());
            format!("file {any} also as {other}")
        }
        Kind::FilePutBack | Kind::NewestPutBack => {
            let file = if kind == Kind::NewestPutBack { newest } else { any };
            let times: Vec<usize> = (0..past.before.len())
                .filter(|time| past.before[*time].contains_key(&file))
                .collect();
            match times.is_empty() {
                true => "nothing".into(),
                false => {
                    let time = chance.pick(&times);
                    damaged.image.insert(file, past.before[time][&file].clone());
                    format!("file {file} of time {time}")
                }
            }
        }
        Kind::AllPutBack => {
            let time = chance.below(past.before.len() as u64) as usize;
            damaged.image = past.before[time].clone();
            format!("all of time {time}")
        }
        Kind::Two => unreachable!("two are drawn one by one"),
    };
    damaged.what = format!("{} {what};", damaged.what);
}

fn cut(file: u32, chance: &mut Dice, image: &mut Image) -> String {
    let bytes = image.get_mut(&file).expect("it is there");
    let length = chance.below(bytes.len() as u64) as usize;
    bytes.truncate(length);
    format!("file {file} cut to {length}")
}

/// Rows of sectors that hold zeros, garbage, what stood there before, or what
/// belongs elsewhere.
fn sectors(past: &Past, chance: &mut Dice, image: &mut Image) -> String {
    let files: Vec<u32> = image.keys().copied().collect();
    let mut what = String::new();
    for _ in 0..1 + chance.below(8) {
        let file = chance.pick(&files);
        let first = chance.below(SLOTS);
        let length = chance.pick(&[1, 1, 1, 2, 8, 64, 400]);
        let manner = chance.below(6);
        for index in first..(first + length).min(SLOTS) {
            let at = index as usize * SECTOR;
            let elsewhere = chance.pick(&files);
            let row = match manner {
                0 => vec![0; SECTOR],
                1 => (0..SECTOR).map(|_| chance.below(256) as u8).collect(),
                2 => {
                    let before = &past.before[chance.below(past.before.len() as u64) as usize];
                    let old = before.get(&file).and_then(|bytes| bytes.get(at..at + SECTOR));
                    old.map_or_else(|| vec![0; SECTOR], <[u8]>::to_vec)
                }
                // A write that went astray: to another file, or another place.
                3 => image[&elsewhere]
                    .get(at..at + SECTOR)
                    .map_or_else(|| vec![0; SECTOR], <[u8]>::to_vec),
                4 => {
                    let there = chance.below(SLOTS) as usize * SECTOR;
                    image[&elsewhere]
                        .get(there..there + SECTOR)
                        .map_or_else(|| vec![0; SECTOR], <[u8]>::to_vec)
                }
                _ => {
                    let mut row = image[&file]
                        .get(at..at + SECTOR)
                        .map_or_else(|| vec![0; SECTOR], <[u8]>::to_vec);
                    row[chance.below(SECTOR as u64) as usize] ^= 1 << chance.below(8);
                    row
                }
            };
            if let Some(sector) =
                image.get_mut(&file).and_then(|bytes| bytes.get_mut(at..at + SECTOR))
            {
                sector.copy_from_slice(&row);
            }
        }
        what = format!("{what} {length} sectors of file {file} from {first} by {manner}");
    }
    what
}
