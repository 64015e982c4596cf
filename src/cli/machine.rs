//! What this machine tells of itself in files. Tests give it another root and plant
//! there what they want found.

use std::path::{Path, PathBuf};

/// A machine, seen through its file system.
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one on which this runs.
    pub(super) fn this() -> Self {
        Self { root: PathBuf::from("/") }
    }

    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where an absolute path is.
    pub(super) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The same path as the machine itself calls it.
    pub(super) fn own_name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root)
            .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
    }

    pub(super) fn has(&self, absolute: impl AsRef<Path>) -> bool {
        self.path(absolute).symlink_metadata().is_ok()
    }

    /// A small text, without white space and zeros around it.
    pub(super) fn text(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let bytes = std::fs::read(self.path(absolute)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
    }

    /// What stands in a folder, by name; nothing if there is none.
    pub(super) fn entries(&self, absolute: impl AsRef<Path>) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(absolute)).into_iter().flatten();
        let mut found: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.sort();
        found
    }
}

#[cfg(test)]
pub(super) mod planted {
    use super::*;

    /// A machine of which only what is planted is known.
    pub(in crate::cli) struct Planted {
        pub(in crate::cli) folder: tempfile::TempDir,
    }

    impl Planted {
        pub(in crate::cli) fn new(files: &[(&str, &str)]) -> Self {
            let planted = Self { folder: tempfile::tempdir().expect("a folder for the test") };
            for (path, text) in files {
                planted.plant(path, text);
            }
            planted
        }

        pub(in crate::cli) fn plant(&self, path: &str, text: &str) {
            let path = self.machine().path(path);
            std::fs::create_dir_all(path.parent().expect("a file")).expect("ours");
            std::fs::write(path, text).expect("ours");
        }

        pub(in crate::cli) fn link(&self, path: &str, to: &str) {
            let path = self.machine().path(path);
            std::fs::create_dir_all(path.parent().expect("a file")).expect("ours");
            std::os::unix::fs::symlink(to, path).expect("ours");
        }

        pub(in crate::cli) fn machine(&self) -> Machine {
            Machine::at(self.folder.path())
        }
    }
}
