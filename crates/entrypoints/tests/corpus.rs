//! The fuzz targets over what has been stored: whole, cut anywhere, and with every byte changed.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};
use tidegate_entrypoints::{dialects::memphis, http::fuzz};

#[expect(clippy::disallowed_methods, reason = "the stored corpus")]
fn over(folder: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut ran = 0;
    for entry in fs::read_dir(folder).expect("a corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        target(&bytes);
        // Long ones are made of one byte again and again: a few places stand for all.
        let step = bytes.len() / 200 + 1;
        for at in (0..bytes.len()).step_by(step) {
            target(bytes.get(..at).unwrap_or_default());
            let mut changed = bytes.clone();
            for with in [0, b'"', b'\\', b'{', 0xff] {
                if let Some(byte) = changed.get_mut(at) {
                    *byte = with;
                }
                target(&changed);
                ran += 1;
            }
        }
    }
    ran
}
#[test]
fn nothing_of_the_corpus_panics() {
    assert!(over("batch", fuzz::batch) > 1_000);
    assert!(over("query", fuzz::query) > 500);
    assert!(over("words", fuzz::words) > 1_000);
    assert!(over("proxies", fuzz::proxies) > 500);
    assert!(over("forwarded", fuzz::forwarded) > 500);
    assert!(over("memphis-token", memphis::fuzz::token) > 500);
    assert!(over("memphis-batch", memphis::fuzz::batch) > 500);
    assert!(over("memphis-form", memphis::fuzz::form) > 500);
    assert!(over("memphis-headers", memphis::fuzz::headers) > 500);
}
