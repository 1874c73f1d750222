#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_endpoints::http::fuzz::answer(bytes));
