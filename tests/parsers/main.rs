//! Every parser of bytes from outside, with the bytes that fuzzing found (`tests/fuzz`):
//! each way through the code once, and whatever once broke something.

mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A file of the corpus is small, so that it tells what it is about.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// All of the corpora: they live in the repository.
const BYTES_MAX: u64 = 1024 * 1024;

fn home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}: a target needs a corpus", folder.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Gives a target its corpus, and bytes that are in none.
fn replay(name: &str, target: fn(&[u8])) {
    let corpus = files(&home("corpus").join(name));
    assert!(corpus.len() >= 5, "{name} has a corpus of {} files", corpus.len());
    let broken: Vec<_> = corpus
        .iter()
        .filter(|path| {
            let data = fs::read(path).expect("a file of the corpus");
            catch_unwind(AssertUnwindSafe(|| target(&data))).is_err()
        })
        .collect();
    assert!(broken.is_empty(), "{name} breaks on {broken:#?}");
    for data in [&[][..], &[0], &[0xFF; 4096], &[0; 4096]] {
        target(data);
    }
}

macro_rules! targets {
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), targets::$target);
            }
        )*
    };
}

targets! {
    at_lines cobs commands configuration control dc09_answers gateway_events gwmp journal
    lorawan native_frames payloads radio_hints receipts store_values
}

/// What is replayed here is what is fuzzed, and nothing lies there that nobody reads.
#[test]
fn targets_corpora_and_fuzzers_are_the_same() {
    let stems = |folder: &str| -> Vec<String> {
        let stem = |path: PathBuf| path.file_stem()?.to_str().map(str::to_owned);
        files(&home(folder)).into_iter().filter_map(stem).collect()
    };
    assert_eq!(stems("targets"), TARGETS);
    assert_eq!(stems("corpus"), TARGETS);
    let manifest = fs::read_to_string(home("Cargo.toml")).expect("fuzz/Cargo.toml");
    for target in TARGETS {
        let face = fs::read_to_string(home("targets").join(target).with_extension("rs"));
        assert!(face.expect("a face").contains(&format!("targets::{target}(")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
    }
}

#[test]
fn corpora_are_small() {
    let mut sum = 0;
    for target in TARGETS {
        let corpus = files(&home("corpus").join(target));
        assert!(corpus.len() <= 150, "{target}: {} files", corpus.len());
        for path in corpus {
            let bytes = fs::metadata(&path).expect("a file").len();
            assert!(bytes <= FILE_BYTES_MAX, "{} has {bytes} bytes", path.display());
            sum += bytes;
        }
    }
    assert!(sum <= BYTES_MAX, "{sum} bytes");
}
