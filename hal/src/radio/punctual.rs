//! To the millisecond, beside whatever else this machine does: the priority of the
//! radio's thread, and how it waits for a moment.

use std::hint::spin_loop;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Above all ordinary programs, below the kernel's own interrupt threads (50).
const PRIORITY: i32 = 10;

/// The runtime's timer counts milliseconds and rounds up; a busy host adds to it.
const BY_RUNTIME: Duration = Duration::from_millis(3);

/// The kernel's timer is late by about as much as it takes to wake a thread.
const BY_KERNEL: Duration = Duration::from_micros(200);

/// Whose thread a radio's task is on, which says how exactly it can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    /// Its own: it may be held up for some milliseconds.
    Own,
    /// A caller's, who may run in paused time.
    Shared,
}

impl Thread {
    /// Waits until this moment, and no more than some microseconds longer if the
    /// thread gets its turn.
    pub(super) async fn wait_until(self, moment: Instant) {
        if self == Self::Shared {
            return sleep_until(moment).await;
        }
        if let Some(nearly) = moment.checked_sub(BY_RUNTIME) {
            sleep_until(nearly).await;
        }
        let rest = moment.saturating_duration_since(Instant::now());
        #[expect(
            clippy::disallowed_methods,
            reason = "the thread is the radio's own, and it is due"
        )]
        std::thread::sleep(rest.saturating_sub(BY_KERNEL));
        while Instant::now() < moment {
            spin_loop();
        }
    }
}

/// Gives the calling thread, not those that it starts, a real-time priority. It
/// reckons for a few milliseconds an answer, so nobody is held up by it.
///
/// # Errors
/// Needs root, or `LimitRTPRIO=` of at least 10 in the unit.
pub(super) fn ask_for_priority() -> io::Result<()> {
    let wanted = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: 0 is the calling thread, and `wanted` outlives the call, which only
    // reads it.
    #[expect(unsafe_code, reason = "sched_setscheduler has no safe wrapper in the crates at hand")]
    let answer = unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const wanted)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
