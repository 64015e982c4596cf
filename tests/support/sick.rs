//! A sick disk under a running daemon: `strace` makes its system calls fail or
//! wait for as long as it is attached, and a small file system fills up.

use crate::system::system;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(20);

/// The disk is sick for as long as this lives.
pub struct Sickness {
    strace: Child,
    process: u32,
}

impl Sickness {
    /// `calls` of the process fail or wait as strace's `inject` says.
    pub async fn begin(process: u32, calls: &str, how: &str) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:{how}"), "-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is missing: install the Debian package strace");
        let complaints = BufReader::new(strace.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for line in complaints.lines().map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        let sickness = Self { strace, process };
        sickness.until(|tracers| tracers.iter().all(|tracer| *tracer != 0)).await;
        sickness
    }

    /// The disk is well again.
    pub async fn end(mut self) {
        self.detach();
        self.until(|tracers| tracers.iter().all(|tracer| *tracer == 0)).await;
    }

    fn detach(&mut self) {
        let pid = i32::try_from(self.strace.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended with the process that it traced.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.strace.wait();
    }

    async fn until(&self, wanted: impl Fn(&[u32]) -> bool) {
        let give_up = Instant::now() + SOON;
        while !wanted(&tracers(self.process)) {
            assert!(Instant::now() < give_up, "strace may not trace process {}", self.process);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Sickness {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Who traces each thread of a process; 0 for nobody.
fn tracers(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    let status = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("status"));
    let tracer = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
        line.trim().parse().ok()
    };
    threads
        .map(|threads| threads.flatten().filter_map(|t| tracer(status(t).ok()?)).collect())
        .unwrap_or_default()
}

/// Words before a daemon's command that give it `folder` as a file system of its
/// own, of this size, with what stood there. It ends with the daemon.
pub fn small_file_system(folder: &Path, size: &str) -> Vec<String> {
    let folder = folder.display();
    let script = format!(
        "set -e; cp -a {folder} {folder}.before; mount -t tmpfs -o size={size},mode=700 tmpfs {folder}; \
         cp -a {folder}.before/. {folder}/; exec \"$0\" \"$@\""
    );
    let namespace: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["unshare", "--mount"],
        false => &["unshare", "--user", "--map-root-user", "--mount"],
    };
    namespace.iter().copied().chain(["sh", "-c", &script]).map(str::to_owned).collect()
}

/// Makes the file system of [`small_file_system`] as large as this.
pub fn resize(process: u32, folder: &Path, size: &str) {
    let user: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--preserve-credentials"]
    };
    let done = Command::new("nsenter")
        .args(["--target", &process.to_string(), "--mount"])
        .args(user)
        .args(["mount", "-o", &format!("remount,size={size}")])
        .arg(folder)
        .status();
    assert!(done.expect("nsenter is part of util-linux").success(), "remount");
}

/// A file system ext4 on a loop device, which turns read-only at its first error.
pub struct LoopDisk {
    _folder: tempfile::TempDir,
    device: String,
}

impl LoopDisk {
    /// Needs root, a loop device and e2fsprogs.
    pub fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = folder.path().join("image").display().to_string();
        system(&["truncate", "--size", size, &image]);
        system(&["mkfs.ext4", "-q", "-F", &image]);
        let device = system(&["losetup", "--find", "--show", &image]);
        Self { _folder: folder, device }
    }

    /// Words before a daemon's command that mount it at `folder`, at first with what
    /// stood there.
    pub fn mounted_at(&self, folder: &Path) -> Vec<String> {
        let (folder, device) = (folder.display(), &self.device);
        let script = format!(
            "set -e; test -e {folder}.before || cp -a {folder} {folder}.before; \
             mount -t ext4 -o errors=remount-ro {device} {folder}; \
             test -e {folder}/store.key || cp -a {folder}.before/. {folder}/; sync; exec \"$0\" \"$@\""
        );
        ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned).to_vec()
    }

    /// It meets an error.
    pub fn fails(&self) {
        let name = self.device.rsplit('/').next().expect("a device's name");
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        std::fs::write(&trigger, "1").unwrap_or_else(|error| panic!("{trigger}: {error}"));
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // What failed before must not be hidden by a panic here.
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

/// Memory of a process that is in use, KiB.
pub fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.and_then(|number| number.trim().parse().ok()).expect("a number of kB")
}
