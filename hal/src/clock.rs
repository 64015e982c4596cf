//! What this machine knows of its wall clock.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// systemd-timesyncd touches it whenever it has compared the clock with a server.
const TIMESYNCD_STAMP: &str = "/run/systemd/timesync/synchronized";
/// timesyncd believes no server that may be farther off (`RootDistanceMaxSec`), and
/// slews what is less than 0.4 s; rounded up.
const TIMESYNCD_BOUND: Duration = Duration::from_secs(6);
/// How fast an oscillator may drift, as the kernel reckons: 500 ppm.
const DRIFT_DIVISOR: u32 = 2000;
/// From here on the kernel, too, says that a clock is not synchronised.
const BOUND_MAX: Duration = Duration::from_secs(16);

/// A bound on the clock's error, if the clock is synchronised (NTP, PTP or the like);
/// `None` if it is not, or if nobody says so.
///
/// The kernel knows best. Where a service may not ask it (the hardened unit), the
/// mark of systemd-timesyncd counts, whose bound is wider.
pub fn synchronised_within() -> Option<Duration> {
    match kernel() {
        Ok(answer) => answer,
        Err(_) => age_of(Path::new(TIMESYNCD_STAMP)).and_then(timesyncd),
    }
}

/// Source: adjtimex(2), fields `status` (`STA_UNSYNC`) and `maxerror` (us).
fn kernel() -> Result<Option<Duration>, std::io::Error> {
    // SAFETY: all-zero bytes are a valid `timex`: it is a C struct of integers.
    #[expect(unsafe_code, reason = "adjtimex has no safe wrapper in the crates at hand")]
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so the call only reads the kernel's state into `state`,
    // which outlives it.
    #[expect(unsafe_code, reason = "adjtimex has no safe wrapper in the crates at hand")]
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    if answer < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let synchronised = state.status & libc::STA_UNSYNC == 0;
    let bound = Duration::from_micros(u64::try_from(state.maxerror).unwrap_or(u64::MAX));
    Ok(synchronised.then_some(bound))
}

/// How long ago a file was touched; `None` if it is not there, or if the clock was set
/// back since: then what was compared is not what is shown now.
#[expect(clippy::disallowed_methods, reason = "a file's age is by the wall clock that it judges")]
fn age_of(stamp: &Path) -> Option<Duration> {
    let touched = std::fs::metadata(stamp).ok()?.modified().ok()?;
    SystemTime::now().duration_since(touched).ok()
}

/// The error of a clock that timesyncd compared so long ago.
fn timesyncd(age: Duration) -> Option<Duration> {
    let bound = TIMESYNCD_BOUND + age / DRIFT_DIVISOR;
    (bound <= BOUND_MAX).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_without_privileges() {
        // Either answer is right; a bound of more than a day would be nonsense.
        if let Some(error) = kernel().expect("nothing forbids it here") {
            assert!(error.as_secs() < 86_400, "{error:?}");
        }
    }

    #[test]
    fn a_comparison_counts_for_less_and_less_and_then_for_nothing() {
        assert_eq!(timesyncd(Duration::ZERO), Some(Duration::from_secs(6)));
        assert_eq!(timesyncd(hours(2)), Some(Duration::from_millis(9600)));
        assert!(timesyncd(hours(5)).is_some());
        assert_eq!(timesyncd(hours(6)), None);
    }

    #[test]
    fn a_mark_of_the_future_or_none_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let stamp = folder.path().join("synchronized");
        assert_eq!(age_of(&stamp), None);
        let file = std::fs::File::create(&stamp).expect("free");
        assert!(age_of(&stamp).expect("there") < hours(1));
        file.set_modified(SystemTime::UNIX_EPOCH).expect("ours");
        assert!(age_of(&stamp).and_then(timesyncd).is_none());
        file.set_modified(far()).expect("ours");
        assert_eq!(age_of(&stamp), None);
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    /// 2100-01-01.
    fn far() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)
    }
}
