//! Simulated pendants at work: one task that owns a wire and the pendants on it.

use crate::pendant::{Pendant, PendantOutput, PressError, PressId, Seen};
use crate::wire::Wire;
use pendant_protocol::Body;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// Presses on their way to the task.
const COMMANDS_MAX: usize = 64;

/// What outlives a pendant's power: the counters that it may have used.
#[derive(Clone, Debug)]
pub enum Memory {
    /// Outlives nothing: for a pendant that is enrolled for this run only.
    Forgetful,
    /// A file with one number.
    File(PathBuf),
}

impl Memory {
    /// What the pendant remembered; 0 if the file does not exist yet.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn recall(&self) -> io::Result<u32> {
        let Self::File(path) = self else { return Ok(0) };
        match std::fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "it does not hold one number")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Durable when it returns: a counter that is used twice ends a pendant's
    /// secrecy.
    fn remember(&self, counter: u32) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        write_durably(path, &counter.to_string())
    }
}

/// Writes one line in place of a file, for nobody else's eyes; durable when it returns.
pub(crate) fn write_durably(path: &Path, line: &str) -> io::Result<()> {
    let mut name = path.to_owned().into_os_string();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Why a pendant could not say something, or was never answered.
#[derive(Debug)]
pub enum SayError {
    /// The pendant did not take the press.
    Press(PressError),
    /// The wire, or the pendant's memory, failed in this way.
    Ended(String),
}

impl fmt::Display for SayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Press(PressError::Full) => f.write_str("too many presses wait already"),
            Self::Press(PressError::CountersUsedUp) => {
                f.write_str("all counters are used up: enrol the pendant anew")
            }
            Self::Ended(why) => write!(f, "the wire or the pendant's memory failed: {why}"),
        }
    }
}

impl std::error::Error for SayError {}

struct Command {
    pendant: usize,
    body: Body,
    answer: oneshot::Sender<Result<oneshot::Receiver<Seen>, PressError>>,
}

/// One pendant in its wearer's hand.
#[derive(Clone, Debug)]
pub struct PendantHandle {
    pendant: usize,
    commands: mpsc::Sender<Command>,
    failure: Arc<OnceLock<String>>,
}

impl PendantHandle {
    /// Presses; what the wearer sees comes later.
    ///
    /// # Errors
    /// See [`SayError`].
    pub async fn press(&self, body: Body) -> Result<oneshot::Receiver<Seen>, SayError> {
        let (answer, answered) = oneshot::channel();
        let command = Command { pendant: self.pendant, body, answer };
        self.commands.send(command).await.map_err(|_| self.ended())?;
        answered.await.map_err(|_| self.ended())?.map_err(SayError::Press)
    }

    fn ended(&self) -> SayError {
        let why = self.failure.get().map_or("its task is gone", String::as_str);
        SayError::Ended(why.to_owned())
    }

    /// Presses and waits for what the wearer sees: an answer, or that the
    /// pendant gave up.
    ///
    /// # Errors
    /// See [`SayError`].
    pub async fn say(&self, body: Body) -> Result<Seen, SayError> {
        self.press(body).await?.await.map_err(|_| self.ended())
    }
}

/// Who else is shown how every press ended: whose it was (its place), what was
/// said, and what its wearer saw.
pub type Onlooker = Box<dyn Fn(usize, Body, &Seen) + Send>;

/// Puts pendants on a wire, each with its memory; handles in the same order.
/// They work until all handles are dropped.
#[must_use]
pub fn spawn(wire: Wire, pendants: Vec<(Pendant, Memory)>) -> Vec<PendantHandle> {
    spawn_before(Box::new(|_, _, _| ()), wire, pendants)
}

/// The same before an onlooker.
#[must_use]
pub fn spawn_before(
    onlooker: Onlooker,
    wire: Wire,
    pendants: Vec<(Pendant, Memory)>,
) -> Vec<PendantHandle> {
    let (sender, mut commands) = mpsc::channel(COMMANDS_MAX);
    let failure = Arc::new(OnceLock::new());
    let handles = (0..pendants.len())
        .map(|pendant| PendantHandle {
            pendant,
            commands: sender.clone(),
            failure: Arc::clone(&failure),
        })
        .collect();
    let worn = pendants
        .into_iter()
        .map(|(pendant, memory)| Worn { pendant, memory, waiting: BTreeMap::new() })
        .collect();
    let mut bench = Bench { wire, worn, onlooker };
    tokio::spawn(async move {
        if let Err(error) = bench.run(&mut commands).await {
            // Before bench and commands are dropped, which is what handles notice.
            failure.get_or_init(|| error.to_string());
        }
    });
    handles
}

struct Worn {
    pendant: Pendant,
    memory: Memory,
    waiting: BTreeMap<PressId, (Body, oneshot::Sender<Seen>)>,
}

struct Bench {
    wire: Wire,
    worn: Vec<Worn>,
    onlooker: Onlooker,
}

impl Bench {
    async fn run(&mut self, commands: &mut mpsc::Receiver<Command>) -> io::Result<()> {
        loop {
            self.drain().await?;
            let deadline = self.worn.iter().filter_map(|worn| worn.pendant.next_deadline()).min();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.press(command),
                    None => return Ok(()),
                },
                heard = self.wire.receive() => {
                    let (bytes, ended) = heard?;
                    for worn in &mut self.worn {
                        worn.pendant.handle_heard(&bytes, ended);
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let now = Instant::now();
                    for worn in &mut self.worn {
                        worn.pendant.handle_timer(now);
                    }
                }
            }
        }
    }

    fn press(&mut self, command: Command) {
        let worn = &mut self.worn[command.pendant];
        let pressed = worn.pendant.press(command.body, Instant::now()).map(|press| {
            let (sender, seen) = oneshot::channel();
            worn.waiting.insert(press, (command.body, sender));
            seen
        });
        // Who asked may have gone; the press stands all the same.
        let _ = command.answer.send(pressed);
    }

    async fn drain(&mut self) -> io::Result<()> {
        for (place, worn) in self.worn.iter_mut().enumerate() {
            while let Some(output) = worn.pendant.poll_output() {
                match output {
                    PendantOutput::Remember(counter) => worn.memory.remember(counter)?,
                    PendantOutput::Transmit(frame) => {
                        let ended = self.wire.send(&frame).await?;
                        worn.pendant.handle_sent(ended);
                    }
                    PendantOutput::Show(seen) => {
                        if let Some((body, waiting)) = worn.waiting.remove(&seen.press) {
                            (self.onlooker)(place, body, &seen);
                            // Nobody may look any more.
                            let _ = waiting.send(seen);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pendant::{Habits, PendantIdentity};
    use pendant_hal::serial::cobs;
    use pendant_protocol::{
        DownlinkMessage, EnrolmentKey, Instruction, Outcome, PendantId, SealedUplink, Slot,
    };
    use std::time::Duration;

    fn pendant(number: u32, memory: &Memory) -> (Pendant, Memory) {
        let id = PendantId::new(number).expect("within range");
        let identity = PendantIdentity { id, key: EnrolmentKey::from_bytes([9; 16]) };
        let remembered = memory.recall().expect("a memory");
        (Pendant::power_up(identity, Habits::default(), remembered, 1), memory.clone())
    }

    /// Answers every frame `delay` after it came, and tells its counter.
    async fn gateway(mut wire: Wire, delay: Duration, counters: mpsc::Sender<u32>) {
        let key = EnrolmentKey::from_bytes([9; 16]);
        let slot = Slot::new(0).expect("within range");
        while let Ok((bytes, ended)) = wire.receive().await {
            let sealed = SealedUplink::parse(&bytes).expect("a frame");
            sealed.open(&key.uplink()).expect("a genuine frame");
            let message = DownlinkMessage {
                outcome: Outcome::Noted,
                instruction: Instruction::None,
                minutes_left: 0,
            };
            let (id, counter) = (sealed.pendant(), sealed.counter());
            let answer = message.seal(&key.downlink(slot), slot, id, counter, 77);
            sleep_until(ended + delay).await;
            wire.send(&answer).await.expect("sent");
            counters.send(counter).await.expect("somebody counts");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_pendants_on_a_line_are_answered_each() {
        let (ours, theirs) = tokio::io::duplex(256);
        let (sender, mut counters) = mpsc::channel(8);
        tokio::spawn(gateway(Wire::stream(theirs), Duration::from_millis(1000), sender));
        let memory = Memory::Forgetful;
        let handles = spawn(Wire::stream(ours), vec![pendant(1, &memory), pendant(2, &memory)]);
        for handle in &handles {
            let seen = handle.say(Body::Panic { place: 0 }).await.expect("seen");
            let delay = seen.answer.expect("an answer").delay;
            assert_eq!((seen.attempts, delay.as_millis()), (1, 1000));
            assert_eq!(counters.recv().await, Some(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_memory_that_cannot_be_written_silences_the_pendant() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = Memory::File(directory.path().join("absent/memory"));
        let (ours, mut theirs) = tokio::io::duplex(256);
        let handles = spawn(Wire::stream(ours), vec![pendant(1, &memory)]);
        let error = handles[0].say(Body::Heartbeat { place: 0 }).await.expect_err("no memory");
        assert!(error.to_string().contains("No such file"), "{error}");
        let mut sent = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut sent).await.expect("an end");
        assert!(sent.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn counters_go_on_after_the_power_was_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = Memory::File(directory.path().join("memory"));
        let mut last = 0;
        for _ in 0..3 {
            let (ours, theirs) = tokio::io::duplex(256);
            let (sender, mut counters) = mpsc::channel(8);
            tokio::spawn(gateway(Wire::stream(theirs), Duration::from_millis(1000), sender));
            let handles = spawn(Wire::stream(ours), vec![pendant(1, &memory)]);
            handles[0].say(Body::Heartbeat { place: 0 }).await.expect("seen");
            let counter = counters.recv().await.expect("a counter");
            assert!(counter > last);
            last = counter;
        }
        assert_eq!(last, 1 + 2 * crate::pendant::COUNTER_BLOCK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_radio_under_the_real_driver_answers_through_the_air() {
        use pendant_hal::sim::{ether::Ether, spawn_radio, sx1262};
        use pendant_hal::{LinkEvent, Transmission};
        let ether = Ether::default();
        let (chip, _faults) = sx1262::in_ether(&ether, sx1262::BOARD);
        let (sender, mut events) = mpsc::channel(64);
        let link = spawn_radio(crate::sim::RADIO, chip, 0, sender);
        while !matches!(events.recv().await, Some((_, LinkEvent::Up))) {}
        let wire = Wire::in_ether(&crate::sim::RADIO, &ether);
        let handles = spawn(wire, vec![pendant(1, &Memory::Forgetful)]);
        let seen = handles[0].press(Body::Panic { place: 0 }).await.expect("room");
        let reception = loop {
            if let Some((_, LinkEvent::Received(reception))) = events.recv().await {
                break reception;
            }
        };
        let sealed = SealedUplink::parse(&reception.bytes).expect("a frame");
        let message = DownlinkMessage {
            outcome: Outcome::Noted,
            instruction: Instruction::None,
            minutes_left: 0,
        };
        let (key, slot) = (EnrolmentKey::from_bytes([9; 16]), Slot::new(0).expect("within range"));
        let (id, counter) = (sealed.pendant(), sealed.counter());
        let bytes = message.seal(&key.downlink(slot), slot, id, counter, 77).to_vec();
        let at = reception.ended + Duration::from_millis(1000);
        link.transmit.send(Transmission::native(1, at, bytes)).await.expect("room");
        let answer = seen.await.expect("seen").answer.expect("an answer");
        let airtime = crate::sim::RADIO.shape().frame(24);
        let expected = Duration::from_millis(1000) + airtime;
        assert!(answer.delay.abs_diff(expected) < Duration::from_millis(5), "{:?}", answer.delay);
    }

    #[tokio::test]
    async fn a_pseudo_terminal_carries_frames_and_shrugs_off_rubbish() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("port");
        let (mut device, path) = Wire::pty(Some(&link)).expect("a pseudo terminal");
        assert_eq!(path, link);
        let mut port = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
        port.write_all(b"rubbish\0\xFF\x01\0").expect("written");
        port.write_all(&cobs::encode(&[1, 0, 2])).expect("written");
        assert_eq!(device.receive().await.expect("a frame").0, [1, 0, 2]);
        drop(device);
        assert!(!link.is_symlink());
    }
}
