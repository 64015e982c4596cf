//! Somewhere for lora-phy's log to go: nowhere.
//!
//! lora-phy logs through defmt, whose macros call symbols that only a defmt
//! logger defines. Without one a binary links only while the linker throws all
//! callers away: with `DEFMT_LOG` set in the builder's environment, or with
//! `-C link-dead-code` (coverage tools), linking fails on `_defmt_acquire`.

#![expect(
    unsafe_code,
    reason = "defmt's logger is an unsafe trait, and its attribute exports unmangled symbols"
)]

#[defmt::global_logger]
struct Sink;

// SAFETY: the trait asks for a lock that holds in every context of execution.
// There is nothing to lock: every method does nothing, from any thread.
unsafe impl defmt::Logger for Sink {
    fn acquire() {}

    unsafe fn flush() {}

    unsafe fn release() {}

    unsafe fn write(_bytes: &[u8]) {}
}

defmt::timestamp!("");

/// Dead code may call this; nothing that runs does.
#[defmt::panic_handler]
fn panic() -> ! {
    core::panic!("a defmt assertion failed")
}
