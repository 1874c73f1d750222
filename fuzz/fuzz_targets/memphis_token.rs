#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_entrypoints::dialects::memphis::fuzz::token(bytes));
