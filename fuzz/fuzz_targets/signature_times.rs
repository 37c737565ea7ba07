#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| costrel_fuzz_targets::signature_times(data));
