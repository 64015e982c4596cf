//! The lamps on the gateway, by the kernel's LED class: a folder a lamp, in it a
//! file `brightness`. Any GPIO that the device tree calls a LED (`gpio-leds`) is one.
//!
//! A thread of its own writes the files: no press waits for a lamp. Lamps blink by
//! that thread's clock, which nothing that is heard can move.

use crate::config::Lamps as LampNames;
use crate::engine::lamp::{Lamps, Light};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Half of a blink.
const BLINK: Duration = Duration::from_millis(500);
/// A lamp that cannot be lit is tried again this often: it may come later than
/// the gateway does.
const RETRY: Duration = Duration::from_secs(10);
/// The kernel takes the lamp's own maximum for anything above it.
const LIT: &str = "255";
const DARK: &str = "0";
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The lamps' outer end. Dropped, they go dark.
#[derive(Debug)]
pub struct LampPanel {
    wanted: Sender<Lamps>,
    shown: Lamps,
    trouble: watch::Receiver<Option<String>>,
    ended: oneshot::Receiver<()>,
}

impl LampPanel {
    /// Starts the thread; without any lamp in the configuration none.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(names: &LampNames) -> io::Result<Option<Self>> {
        let lamp = |name: &Option<String>, of: fn(&Lamps) -> Light| {
            name.as_ref().map(|name| Lamp::new(names.directory.join(name), of))
        };
        let lamps: Vec<Lamp> = [
            lamp(&names.power, |lamps| lamps.power),
            lamp(&names.network, |lamps| lamps.network),
            lamp(&names.reception, |lamps| lamps.reception),
        ]
        .into_iter()
        .flatten()
        .collect();
        if lamps.is_empty() {
            return Ok(None);
        }
        let (wanted, inbox) = channel();
        let (tell, trouble) = watch::channel(None);
        let (end, ended) = oneshot::channel();
        let mut keeper = Keeper { lamps, wanted: Lamps::DARK, phase: true, tell };
        thread::Builder::new().name("lamps".into()).spawn(move || {
            keeper.run(&inbox);
            drop(end);
        })?;
        Ok(Some(Self { wanted, shown: Lamps::DARK, trouble, ended }))
    }

    /// Shows this from now on. Never waits.
    pub fn show(&mut self, lamps: Lamps) {
        if self.shown != lamps {
            self.shown = lamps;
            // The thread ends only with this end.
            let _ = self.wanted.send(lamps);
        }
    }

    /// What is wrong with them, and what to do.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Makes them dark.
    pub async fn close(self) {
        drop(self.wanted);
        // Either it has ended or it is given up: both are an end.
        let _ = tokio::time::timeout(CLOSE_WAIT, self.ended).await;
    }
}

/// One lamp.
struct Lamp {
    folder: PathBuf,
    of: fn(&Lamps) -> Light,
    /// As the kernel was told; `None` if that is not known.
    lit: Option<bool>,
}

struct Keeper {
    lamps: Vec<Lamp>,
    wanted: Lamps,
    /// Whether blinking lamps are lit now.
    phase: bool,
    tell: watch::Sender<Option<String>>,
}

impl Keeper {
    fn run(&mut self, inbox: &Receiver<Lamps>) {
        loop {
            self.show();
            let blinks = self.lamps.iter().any(|lamp| (lamp.of)(&self.wanted) == Light::Blinking);
            let next = if blinks {
                inbox.recv_timeout(BLINK)
            } else if self.tell.borrow().is_some() {
                inbox.recv_timeout(RETRY)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(wanted) => self.wanted = wanted,
                Err(RecvTimeoutError::Timeout) => self.phase = !self.phase,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.wanted = Lamps::DARK;
        self.show();
    }

    fn show(&mut self) {
        let mut trouble = None;
        for lamp in &mut self.lamps {
            let lit = match (lamp.of)(&self.wanted) {
                Light::Off => false,
                Light::Blinking => self.phase,
                Light::On => true,
            };
            if let Err(error) = lamp.light(lit) {
                trouble.get_or_insert(lamp_fault(&lamp.folder, &error));
            }
        }
        self.tell.send_if_modified(|told| {
            let news = *told != trouble;
            if news {
                match &trouble {
                    Some(trouble) => tracing::warn!("{trouble}"),
                    None => tracing::info!("all lamps can be lit"),
                }
                *told = trouble;
            }
            news
        });
    }
}

impl Lamp {
    fn new(folder: PathBuf, of: fn(&Lamps) -> Light) -> Self {
        Self { folder, of, lit: None }
    }

    fn light(&mut self, lit: bool) -> io::Result<()> {
        if self.lit == Some(lit) {
            return Ok(());
        }
        if self.lit.take().is_none() {
            // What the kernel shows by it otherwise (a card's activity) ends. Not
            // every lamp has this file.
            match write(&self.folder.join("trigger"), "none") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        write(&self.folder.join("brightness"), if lit { LIT } else { DARK })?;
        self.lit = Some(lit);
        Ok(())
    }
}

/// Writes to a file that must be there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).truncate(true).open(path)?.write_all(text.as_bytes())
}

/// Why a lamp cannot be lit, and what to do.
#[must_use]
pub fn lamp_fault(folder: &Path, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "there is no such lamp: see `ls /sys/class/leds`",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "this user may not light it: see docs/install.md, \"Lamps\""
        }
        _ => "it is tried again",
    };
    format!("the lamp {} cannot be lit ({error}); {what}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(20);

    fn names(directory: &Path) -> LampNames {
        let name = |name: &str| Some(name.to_owned());
        LampNames {
            directory: directory.to_owned(),
            power: name("lonework:power"),
            network: name("lonework:network"),
            reception: None,
        }
    }

    fn make(directory: &Path, lamp: &str) {
        let folder = directory.join(lamp);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("brightness"), "0").expect("a file");
        fs::write(folder.join("trigger"), "[mmc0] none").expect("a file");
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        #[expect(clippy::disallowed_methods, reason = "a test's patience, outside of tokio")]
        let now = Instant::now;
        let give_up = now() + SOON;
        while !holds() {
            assert!(now() < give_up, "{what}");
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn lamps_are_lit_blink_and_go_dark_at_the_end() {
        let leds = tempfile::tempdir().expect("a folder");
        make(leds.path(), "lonework:power");
        make(leds.path(), "lonework:network");
        let read = |lamp: &str| fs::read_to_string(leds.path().join(lamp)).expect("a file");
        let (power, network) = ("lonework:power/brightness", "lonework:network/brightness");
        let mut panel = LampPanel::start(&names(leds.path())).expect("a thread").expect("lamps");
        panel.show(Lamps { power: Light::On, network: Light::Blinking, reception: Light::Off });
        until("power is lit", || read(power) == LIT);
        assert_eq!(read("lonework:power/trigger"), "none");
        for phase in [LIT, DARK, LIT] {
            until("network blinks", || read(network) == phase);
        }
        assert_eq!(read(power), LIT);
        panel.close().await;
        assert_eq!((read(power), read(network)), (DARK.into(), DARK.into()));
    }

    #[tokio::test]
    async fn a_lamp_that_is_not_there_is_told_and_the_other_is_lit() {
        let leds = tempfile::tempdir().expect("a folder");
        make(leds.path(), "lonework:network");
        let mut panel = LampPanel::start(&names(leds.path())).expect("a thread").expect("lamps");
        panel.show(Lamps { network: Light::On, ..Lamps::DARK });
        let network = leds.path().join("lonework:network/brightness");
        until("network is lit", || fs::read_to_string(&network).is_ok_and(|text| text == LIT));
        until("the other is told", || panel.trouble().is_some());
        let told = panel.trouble().expect("told");
        assert!(told.contains("lonework:power") && told.contains("/sys/class/leds"), "{told}");
        assert!(!leds.path().join("lonework:power").exists(), "nothing is made");
        make(leds.path(), "lonework:power");
        panel.show(Lamps { power: Light::On, network: Light::On, ..Lamps::DARK });
        until("it is well", || panel.trouble().is_none());
        panel.close().await;
    }

    #[test]
    fn without_names_there_is_no_panel() {
        let none = LampNames { power: None, network: None, ..names(Path::new("/nowhere")) };
        assert!(LampPanel::start(&none).expect("nothing to start").is_none());
    }
}
