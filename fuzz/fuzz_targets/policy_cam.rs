#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| costrel_fuzz_targets::policy_cam(data));
