//! The rooms of the house, held by reading the sources: the engine imports no
//! clock, chance, file, socket, runtime or log; the hardware layer knows no
//! pendants, keys or MQTT; nobody but the kit and the tests knows the kit. Files
//! stay short, and the proofs and files that the documents name are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words that bring a world in which the engine must not have.
const FORBIDDEN_IN_ENGINE: [&str; 22] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "std::process",
    "std::env",
    "std::sync",
    "std::os",
    "Instant",
    "SystemTime::now",
    "tokio",
    "async fn",
    "async move",
    "tracing",
    "println!",
    "eprintln!",
    "getrandom",
    "rand::",
    "HashMap",
    "HashSet",
    "pendant_hal",
    "rumqttc",
];
const FORBIDDEN_IN_HAL: [&str; 5] =
    ["pendant_protocol", "pendant_gateway", "rumqttc", "rustls", "EnrolmentKey"];

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// Lines of code that hold one of the words: path, line number, word.
fn offences(folder: &str, forbidden: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for path in sources(folder) {
        let text = fs::read_to_string(&path).expect("a source");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                offences.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    offences
}

#[test]
fn the_engine_has_no_clock_chance_io_async_or_log() {
    assert_eq!(offences("src/engine", &FORBIDDEN_IN_ENGINE), Vec::<String>::new());
}

#[test]
fn the_reader_of_sources_finds_what_it_looks_for() {
    // The shell does use tokio; if that is not seen, the test above sees nothing.
    assert!(!offences("src/shell", &["tokio"]).is_empty());
}

#[test]
fn the_hardware_layer_knows_bytes_only() {
    assert_eq!(offences("hal/src", &FORBIDDEN_IN_HAL), Vec::<String>::new());
}

/// It is built into firmware: the compiler refuses `std` as long as the first line stands, and
/// a heap as long as nobody asks for one.
#[test]
fn the_protocol_needs_neither_an_operating_system_nor_a_heap() {
    let lib = include_str!("../protocol/src/lib.rs");
    assert!(lib.contains("\n#![no_std]\n"), "protocol/src/lib.rs begins with #![no_std]");
    let found = offences("protocol/src", &["std::", "extern crate", "alloc::"]);
    let outside: Vec<_> = found.iter().filter(|line| !line.contains("/tests.rs:")).collect();
    assert!(outside.is_empty() && !found.is_empty(), "{outside:?}");
}

#[test]
fn the_daemon_does_not_know_the_kit() {
    assert_eq!(offences("src", &["pendant_kit", "rumqttd"]), Vec::<String>::new());
}

#[test]
fn unsafe_code_stands_in_the_hardware_layer_alone() {
    for folder in ["src", "protocol/src", "kit/src"] {
        assert_eq!(offences(folder, &["unsafe "]), Vec::<String>::new());
    }
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = |path: &str| fs::read_to_string(home.join(path)).expect("a manifest");
    // The compiler holds it: forbidden, with no way to allow it in one place.
    let workspace = lints(&manifest("Cargo.toml"), "workspace.lints");
    assert!(workspace.contains(&"unsafe_code = \"forbid\"".to_owned()), "{workspace:?}");
    for package in ["Cargo.toml", "protocol/Cargo.toml", "kit/Cargo.toml"] {
        assert!(manifest(package).contains("\n[lints]\nworkspace = true\n"), "{package}");
    }
    let mut hal = lints(&manifest("hal/Cargo.toml"), "lints");
    for lint in &mut hal {
        *lint = lint.replace("unsafe_code = \"deny\"", "unsafe_code = \"forbid\"");
    }
    assert_eq!(hal, workspace, "the hardware layer's lints are the workspace's");
}

/// The lints that stand in a manifest's tables below this name.
fn lints(manifest: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    for line in manifest.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            within = line.starts_with(&format!("[{name}."));
        } else if within {
            found.push(line.to_owned());
        }
    }
    found
}

/// Only the shell's telling may log what the engine says, and no covert kind
/// exists outside the engine's payload and records.
#[test]
fn no_covert_word_stands_in_the_shell() {
    let covert = ["duress", "Duress", "discreet", "Discreet", "covert", "Covert", "TrackPoint"];
    let found: Vec<String> = offences("src/shell", &covert)
        .into_iter()
        // Enrolments hold both PINs' hashes under names of their own.
        .filter(|line| !line.contains("keyring_files"))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];
const LINES_MAX: usize = 600;

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    let long: Vec<String> = ["src", "hal", "protocol", "kit", "tests", "benches", "fuzz/targets"]
        .into_iter()
        .flat_map(sources)
        .filter(|path| !LONG_FILES.iter().any(|(long, _)| path.ends_with(long)))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).expect("a source").lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

/// Documents that may be longer, and why.
const LONG_DOCUMENTS: [(&str, &str); 1] = [(
    "docs/install.md",
    "an installer takes one document along, and messages of the program name its headings",
)];

#[test]
fn no_document_is_longer_than_a_source_without_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("docs"), root.join("docs/decisions"), root.to_owned()];
    let documents = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let paths = documents.map(|document| document.expect("an entry").path());
    let long: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| fs::read_to_string(path).expect("a document").lines().count() > LINES_MAX)
        .map(|path| path.strip_prefix(root).expect("below it").to_owned())
        .collect();
    assert_eq!(long, LONG_DOCUMENTS.map(|(document, _)| PathBuf::from(document)));
}

/// Between backquotes in the table of promises of the README.
fn named_in_the_promise_table(readme: &str) -> Vec<String> {
    let rows = readme.lines().filter(|line| line.starts_with("| P"));
    let is_place = |named: &&str| named.contains(['/', ':']) || named.ends_with(".rs");
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).filter(is_place))
        .map(str::to_owned)
        .collect()
}

/// What the table names and the tree has not. `::name` is a test of the file before it.
fn missing_proofs(readme: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut missing, mut text) = (Vec::new(), String::new());
    for named in named_in_the_promise_table(readme) {
        let (file, test) = named.split_once("::").unwrap_or((&named, ""));
        if !file.is_empty() {
            let found = [root.join("tests").join(file), root.join(file)]
                .into_iter()
                .find(|path| path.exists());
            match found {
                Some(path) if path.is_file() => text = fs::read_to_string(path).expect("a file"),
                Some(_) => text.clear(),
                None => missing.push(named.clone()),
            }
        }
        if !test.is_empty() && !text.contains(&format!("fn {test}(")) {
            missing.push(named.clone());
        }
    }
    missing
}

#[test]
fn every_proof_that_the_promise_table_names_is_there() {
    let readme = include_str!("../README.md");
    assert!(named_in_the_promise_table(readme).len() > 60, "the table is read");
    assert_eq!(missing_proofs(readme), Vec::<String>::new());
}

#[test]
fn a_proof_that_is_not_there_is_missed() {
    let row = "| P0 | `purity.rs::no_such_test`, `::no_covert_word_stands_in_the_shell`; `no_such/file.rs` | kept |";
    assert_eq!(missing_proofs(row), ["purity.rs::no_such_test", "no_such/file.rs"]);
}

/// Where the table says "`NAME` (so many tests", and the tree has another number.
fn miscounted(readme: &str) -> Vec<String> {
    let is_test = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    };
    let tests = |named: &str| -> usize {
        let files = match named.strip_suffix('/') {
            Some(folder) => sources(&format!("tests/{folder}")),
            None => vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(named)],
        };
        let texts = files.iter().map(|file| fs::read_to_string(file).expect("a file"));
        texts.map(|text| text.lines().filter(is_test).count()).sum()
    };
    let rows = readme.lines().filter(|line| line.starts_with("| P"));
    let pairs = rows.flat_map(|row| {
        let pieces: Vec<&str> = row.split('`').collect();
        let named = pieces.chunks_exact(2).map(|pair| pair[1]);
        let after = pieces.iter().copied().skip(2).step_by(2);
        named.zip(after).collect::<Vec<_>>()
    });
    pairs
        .filter_map(|(named, after)| {
            let told = after.strip_prefix(" (")?.split_once(" tests")?.0.parse::<usize>().ok()?;
            let there = tests(named);
            (there != told).then(|| format!("{named}: {told} are told, {there} are there"))
        })
        .collect()
}

#[test]
fn the_promise_table_counts_tests_as_they_are() {
    assert_eq!(miscounted(include_str!("../README.md")), Vec::<String>::new());
    let row = "| P0 | `leaks.rs` (2 tests, both quick); `hostile/` (16 tests) | kept |";
    assert_eq!(miscounted(row), ["leaks.rs: 2 are told, 4 are there"]);
}

#[test]
fn every_subcommand_stands_in_the_readme() {
    let readme = include_str!("../README.md");
    let layout = readme.split("\n## Layout\n").nth(1).expect("a section");
    let (_, line) = layout.split_once("one file a subcommand:").expect("its line");
    let (line, _) = line.split_once("config/").expect("the line after it");
    let told: BTreeSet<String> = line.split_whitespace().map(str::to_owned).collect();
    let command = pendant_gateway::cli::command();
    let there: BTreeSet<String> =
        command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    assert_eq!(told, there);
}

/// Where files stand that documents name in full.
const ROOMS: [&str; 10] =
    ["benches", "config", "docs", "fuzz", "hal", "kit", "protocol", "src", "systemd", "tests"];

/// Files and folders between backquotes that are not there, also not below `tests/`, from
/// where the README counts. `NAME` stands for any; a decision may be named by its number.
fn missing_files(document: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = document.split('`').skip(1).step_by(2);
    let places = named.map(|named| named.split("::").next().unwrap_or_default()).filter(|named| {
        let in_a_room = named.split_once('/').is_some_and(|(room, _)| ROOMS.contains(&room));
        in_a_room && !named.contains(|c: char| c.is_whitespace() || "{}*<>".contains(c))
    });
    let is_there = |place: &&str| {
        let decision = place.strip_prefix("docs/decisions/").filter(|number| number.len() == 4);
        place.contains("NAME")
            || root.join(place).exists()
            || root.join("tests").join(place).exists()
            || decision.is_some_and(|number| {
                let decisions = fs::read_dir(root.join("docs/decisions")).expect("a folder");
                let mut names = decisions.flatten().map(|decision| decision.file_name());
                names.any(|name| name.to_string_lossy().starts_with(number))
            })
    };
    places.filter(|place| !is_there(place)).map(str::to_owned).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut read = 0;
    for folder in [docs.clone(), docs.join("decisions")] {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("a document");
                assert_eq!(missing_files(&text), Vec::<String>::new(), "{}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 30, "the documents are read");
    assert_eq!(missing_files(include_str!("../README.md")), Vec::<String>::new());
}

#[test]
fn a_file_that_is_not_there_is_missed() {
    let text = "`src/no_such.rs::f`, `src/lib.rs`, `docs/decisions/0001`, `docs/decisions/0006`, `hal/src/NAME.rs`";
    assert_eq!(missing_files(text), ["src/no_such.rs", "docs/decisions/0006"]);
}
