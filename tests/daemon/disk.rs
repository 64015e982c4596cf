//! The disk is full, read-only, failing or slow under the real daemon: alarms go
//! out live, nothing is acknowledged that is not safe, it is told, and it mends
//! without a restart.

use crate::end_to_end::{World, next_of};
use crate::load::is_long;
use crate::pendant::*;
use crate::sick::{LoopDisk, Sickness, resident_kib, resize, small_file_system};
use crate::site::{SOON, hear};
use pendant_kit::centre::{Centre, CentreSettings, News};
use pendant_kit::wire::Wire;
use pendant_protocol::FrameBytes;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Past both windows in which an answer may come, and a busy machine's delay.
const NO_ANSWER: Duration = Duration::from_millis(2_800);

struct Ward {
    world: World,
    wire: Wire,
    pendant: Pendant,
    /// Sees all, receipts nothing.
    onlooker: Centre,
}

impl Ward {
    async fn new(prepare: impl FnOnce(&mut World)) -> Self {
        let mut world = World::new(None).await;
        let wire = world.site.wire();
        let pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
        let mut onlooker = centre(&world, "onlooker", false);
        // Before there is anything to hear: what nobody subscribes to is held back.
        while !matches!(onlooker.next().await, Some(News::Up { .. })) {}
        prepare(&mut world);
        world.site.start().await;
        world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
        Self { world, wire, pendant, onlooker }
    }

    async fn works(&self, works: bool) {
        let what = format!("journal_works is {works}");
        self.world.site.until(&what, |s| s["journal_works"] == works).await;
    }

    /// Presses; the centre has it at once, whatever the disk does.
    async fn press(&mut self) -> FrameBytes {
        let frame = self.pendant.say(PANIC);
        self.wire.send(&frame).await.expect("the wire holds");
        let sent = Instant::now();
        let event = next_of(&mut self.onlooker, "panic").await;
        assert_eq!(event.data.counter, Some(self.pendant.counter));
        let delay = sent.elapsed();
        assert!(
            delay < Duration::from_secs(2),
            "live after {delay:?}: {:?}",
            self.world.site.status()
        );
        frame
    }

    /// An answer to the last press, if one comes within `patience`.
    async fn answer(&mut self, patience: Duration) -> bool {
        let listen = async {
            loop {
                let (bytes, _) = hear(&mut self.wire).await;
                if self.pendant.clone().hear(&bytes, self.pendant.counter).is_some() {
                    let counter = self.pendant.counter;
                    self.pendant.hear(&bytes, counter);
                    return;
                }
            }
        };
        timeout(patience, listen).await.is_ok()
    }

    /// Repeats a frame, as pendants do, until it is answered.
    async fn repeat(&mut self, frame: &[u8]) {
        let give_up = Instant::now() + SOON;
        loop {
            self.wire.send(frame).await.expect("the wire holds");
            if self.answer(NO_ANSWER).await {
                return;
            }
            assert!(Instant::now() < give_up, "never answered:\n{}", self.world.site.log());
        }
    }

    /// A whole exchange on the journal's word: nobody receipts.
    async fn is_well(&mut self) {
        let frame = self.press().await;
        if !self.answer(NO_ANSWER).await {
            self.repeat(&frame).await;
        }
    }
}

fn centre(world: &World, name: &str, receipts: bool) -> Centre {
    let who = world.authority.issue(name, &[], crate::mosquitto::VALID);
    let tls = world.authority.client_tls(&who);
    let mut settings = CentreSettings::new("localhost", world.site.broker.port, name, tls);
    settings.receipts = receipts;
    if !receipts {
        settings.message_interval = None;
    }
    Centre::start(settings)
}

/// The same for every way in which writing can fail.
async fn live_and_unacknowledged_until_receipted(calls: &str, how: &str) {
    let mut ward = Ward::new(|_| ()).await;
    ward.is_well().await;
    let sickness = Sickness::begin(ward.world.site.process(), calls, how).await;

    let frame = ward.press().await;
    ward.works(false).await;
    ward.wire.send(&frame).await.expect("the wire holds");
    assert!(!ward.answer(NO_ANSWER).await, "{how}: answered, and neither stored nor receipted");
    next_of(&mut ward.onlooker, "journal_failed").await;

    // The centre's receipt is as good as the disk.
    let mut receipting = centre(&ward.world, "centre", true);
    let listening = tokio::spawn(async move { while receipting.next().await.is_some() {} });
    ward.repeat(&frame).await;
    listening.abort();
    // What is told is told once, however often writing is tried again.
    ward.is_told("the journal cannot be written");

    sickness.end().await;
    ward.works(true).await;
    next_of(&mut ward.onlooker, "journal_restored").await;
    ward.is_well().await;
    ward.world.site.kill_9();
    ward.world.site.start().await;
    ward.works(true).await;
    ward.is_well().await;
}

impl Ward {
    fn is_told(&self, what: &str) {
        assert_eq!(self.world.site.log().matches(what).count(), 1, "{}", self.world.site.log());
    }
}

#[tokio::test]
async fn a_disk_that_fails() {
    live_and_unacknowledged_until_receipted("fdatasync,fsync", "error=EIO").await;
    if is_long() {
        live_and_unacknowledged_until_receipted("pwrite64", "error=EIO").await;
        live_and_unacknowledged_until_receipted("pwrite64", "error=ENOSPC").await;
    }
}

/// It says nothing at all, for longer than anybody waits for an answer.
#[tokio::test]
async fn a_disk_that_hangs() {
    live_and_unacknowledged_until_receipted("fdatasync", "delay_exit=20000000").await;
}

#[tokio::test]
async fn a_file_system_that_turned_read_only() {
    live_and_unacknowledged_until_receipted("pwrite64", "error=EROFS").await;
    if is_long() {
        ext4_turns_read_only().await;
    }
}

/// No call that fails by order: ext4 itself turns read-only under the open files, as
/// it does when it meets an error. It stays so until it is mounted anew. (A remount
/// by hand is refused while files are open for writing.)
async fn ext4_turns_read_only() {
    let disk = LoopDisk::new("64M");
    let mut ward = Ward::new(|world| {
        world.site.wrapper = disk.mounted_at(&world.site.path("store"));
    })
    .await;
    ward.is_well().await;
    let safe = ward.pendant.counter;
    disk.fails();
    let frame = ward.press().await;
    ward.works(false).await;
    ward.wire.send(&frame).await.expect("the wire holds");
    assert!(!ward.answer(NO_ANSWER).await, "answered, and neither stored nor receipted");
    next_of(&mut ward.onlooker, "journal_failed").await;
    ward.is_told("the journal cannot be written");

    let mut receipting = centre(&ward.world, "centre", true);
    ward.repeat(&frame).await;
    ward.world.site.kill_9();
    // What was answered before is there, once the file system is mounted anew.
    ward.world.site.start().await;
    ward.works(true).await;
    while next_of(&mut receipting, "panic").await.data.counter != Some(safe) {}
    ward.is_well().await;
}

/// What runs goes on when its card turns read-only; so must what is started on it.
#[tokio::test]
async fn a_start_on_a_read_only_file_system_is_a_start() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut onlooker = centre(&world, "onlooker", false);
    world.site.start().await;
    next_of(&mut onlooker, "gateway_started").await;
    assert!(world.site.terminate().success());
    let lock = world.site.path("store/journal/lock").display().to_string();
    let trace = world.site.path("trace").display().to_string();
    let refused = "inject=openat:error=EROFS:when=1";
    world.site.wrapper =
        ["strace", "-f", "-P", &lock, "-e", "trace=openat", "-e", refused, "-o", &trace]
            .map(str::to_owned)
            .to_vec();
    world.site.start().await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    next_of(&mut onlooker, "panic").await;
    let trace = std::fs::read_to_string(trace).expect("a trace");
    assert!(trace.contains("EROFS"), "{trace}");
}

#[tokio::test]
async fn a_slow_disk_delays_answers_and_not_alarms() {
    let mut ward = Ward::new(|_| ()).await;
    ward.is_well().await;
    let process = ward.world.site.process();
    let sickness = Sickness::begin(process, "fdatasync", "delay_exit=2500000").await;
    for _ in 0..2 {
        // Before the sync can have ended.
        let pressed = Instant::now();
        let frame = ward.press().await;
        let before_the_sync = Duration::from_millis(2_400).saturating_sub(pressed.elapsed());
        assert!(!ward.answer(before_the_sync).await, "answered before its sync returned");
        ward.repeat(&frame).await;
    }
    // Many at once wait for few syncs, and the alarm behind them goes out at once.
    let before = resident_kib(process);
    for _ in 0..500 {
        let frame = ward.pendant.say(HEARTBEAT);
        ward.wire.send(&frame).await.expect("the wire holds");
    }
    let frame = ward.press().await;
    ward.repeat(&frame).await;
    let grown = resident_kib(process).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more for 500 frames that wait");
    ward.works(true).await;
    sickness.end().await;
    ward.is_well().await;
    assert!(!ward.world.site.log().contains("cannot be written"), "{}", ward.world.site.log());
}

#[tokio::test]
async fn a_disk_that_is_full_from_the_start_and_gets_room() {
    let mut ward = Ward::new(|world| {
        world.site.wrapper = small_file_system(&world.site.path("store"), "700k");
    })
    .await;
    ward.works(false).await;
    let frame = ward.press().await;
    assert!(!ward.answer(NO_ANSWER).await, "answered, and neither stored nor receipted");
    let (process, store) = (ward.world.site.process(), ward.world.site.path("store"));
    resize(process, &store, "40m");
    ward.works(true).await;
    ward.repeat(&frame).await;
    ward.is_well().await;
}

#[tokio::test]
async fn a_disk_that_gives_the_store_no_more_files() {
    let mut ward = Ward::new(|world| {
        world.site.wrapper = small_file_system(&world.site.path("store"), "2500k");
    })
    .await;
    next_of(&mut ward.onlooker, "store_tight").await;
    ward.works(true).await;
    ward.is_well().await;
    let (process, store) = (ward.world.site.process(), ward.world.site.path("store"));
    resize(process, &store, "40m");
    next_of(&mut ward.onlooker, "store_roomy").await;
    ward.is_well().await;
}
