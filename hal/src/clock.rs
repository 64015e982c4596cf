//! What the kernel knows of the wall clock.

use std::time::Duration;

/// The kernel's bound on the clock's error, if the clock is synchronised (NTP,
/// PTP or the like); `None` if it is not, or if the kernel does not say.
///
/// Source: adjtimex(2), fields `status` (`STA_UNSYNC`) and `maxerror` (us).
pub fn synchronised_within() -> Option<Duration> {
    // SAFETY: all-zero bytes are a valid `timex`: it is a C struct of integers.
    #[expect(unsafe_code, reason = "adjtimex has no safe wrapper in the crates at hand")]
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so the call only reads the kernel's state into `state`,
    // which outlives it.
    #[expect(unsafe_code, reason = "adjtimex has no safe wrapper in the crates at hand")]
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    let synchronised = answer >= 0 && state.status & libc::STA_UNSYNC == 0;
    synchronised.then(|| Duration::from_micros(u64::try_from(state.maxerror).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_answers_without_privileges() {
        // Either answer is right; a bound of more than a day would be nonsense.
        if let Some(error) = super::synchronised_within() {
            assert!(error.as_secs() < 86_400, "{error:?}");
        }
    }
}
