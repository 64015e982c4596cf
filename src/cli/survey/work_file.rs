//! The file in which a walk test is kept as it goes, so that a session that is cut off
//! loses nothing: JSON, one line a fact, appended.

use super::super::Failure;
use super::walk::{FORMAT, Line, Walk};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A walk test of eight hours that hears a frame a second has some 6 MiB.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What to do about a file that is none.
const NAME_IT: &str = "name the file ending in .jsonl that `survey` kept";

/// Open for appending.
#[derive(Debug)]
pub(super) struct WorkFile {
    path: PathBuf,
    file: File,
}

impl WorkFile {
    /// A new one. What is there already is not touched.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::options().append(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::refused(format!(
                "{} exists already; go on with it by --resume, or name another by --out",
                path.display()
            )),
            _ => Failure::of_file(path, &error),
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// One to go on with, and the walk so far. Half a line at its end is cut off.
    pub(super) fn resume(path: &Path) -> Result<(Self, Walk), Failure> {
        let (walk, torn_at) = read(path)?;
        let file = File::options()
            .append(true)
            .open(path)
            .map_err(|error| Failure::of_file(path, &error))?;
        if let Some(whole_bytes) = torn_at {
            file.set_len(whole_bytes).map_err(|error| Failure::of_file(path, &error))?;
        }
        Ok((Self { path: path.to_owned(), file }, walk))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Each line is with the system when this returns; with [`Self::sync`], on the medium.
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            text += &serde_json::to_string(line).map_err(Failure::failed)?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).map_err(|error| Failure::of_file(&self.path, &error))
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.file.sync_data().map_err(|error| Failure::of_file(&self.path, &error))
    }
}

/// The walk in a file, and how many bytes of it are whole lines, if half a line follows.
pub(super) fn read(path: &Path) -> Result<(Walk, Option<u64>), Failure> {
    let length = std::fs::metadata(path).map_err(|error| Failure::of_file(path, &error))?.len();
    if length > BYTES_MAX {
        return Err(Failure::failed(format!("{} is too long for a walk test", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|error| Failure::of_file(path, &error))?;
    parse(&bytes).map_err(|fault| Failure::failed(format!("{}: {fault}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<(Walk, Option<u64>), String> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let torn_at = (whole < bytes.len()).then_some(whole as u64);
    let whole = std::str::from_utf8(&bytes[..whole]).map_err(|error| error.to_string())?;
    let mut lines = whole.lines().zip(1..).map(|(line, number)| {
        serde_json::from_str(line)
            .map_err(|error| format!("line {number} is none of a walk test ({error}): {NAME_IT}"))
    });
    let Some(Line::Walk(head)) = lines.next().transpose()? else {
        return Err(format!("this is no walk test: {NAME_IT}"));
    };
    if head.format != FORMAT {
        return Err(format!("it has format {}, and this command reads {FORMAT}", head.format));
    }
    let mut walk = Walk::new(head);
    for line in lines {
        walk.apply(line?);
    }
    Ok((walk, torn_at))
}

#[cfg(test)]
mod tests {
    use super::super::walk::tests::{at_place, head};
    use super::*;

    #[test]
    fn half_a_line_at_the_end_is_cut_off_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("walk.jsonl");
        let mut file = WorkFile::create(&path).expect("a new file");
        let lines = [Line::Walk(head()), at_place(Some("lobby"), 1_000_000)];
        file.append(&lines).expect("written");
        file.sync().expect("synced");
        let again = WorkFile::create(&path).expect_err("it exists");
        assert!(again.text.contains("--resume"), "{}", again.text);

        let whole = std::fs::read(&path).expect("the file");
        let torn = [whole.as_slice(), b"{\"line\":\"place\",\"label\":\"K\xc3"].concat();
        std::fs::write(&path, torn).expect("written");
        let (mut file, walk) = WorkFile::resume(&path).expect("a walk test");
        assert_eq!(walk.place(), Some("lobby"));
        file.append(&[at_place(Some("cellar"), 1_001_000)]).expect("written");
        let (walk, _) = read(&path).expect("whole again");
        assert_eq!((walk.place(), walk.stretches.len()), (Some("cellar"), 2));
    }

    #[test]
    fn what_is_no_walk_test_is_refused_with_the_reason() {
        let head = serde_json::to_string(&Line::Walk(head())).expect("JSON");
        for (text, words) in [
            (String::new(), "this is no walk test"),
            ("{\"line\":\"missed\",\"receptions\":1}\n".into(), "this is no walk test"),
            (head.replace("\"format\":1", "\"format\":9") + "\n", "it has format 9"),
            (format!("{head}\nnonsense\n"), "line 2 is none of a walk test"),
        ] {
            let fault = parse(text.as_bytes()).expect_err(words);
            assert!(fault.contains(words), "{fault}");
        }
    }
}
