#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_core::fuzz::headers(bytes));
