#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_entrypoints::listener::http1::framing::fuzz::framing(bytes));
