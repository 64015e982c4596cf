#![no_main]

#[allow(dead_code, unused_imports, reason = "of all targets this is the face of one")]
#[path = "../../tests/parsers/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::gateway_events(data));
