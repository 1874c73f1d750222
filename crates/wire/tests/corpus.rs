//! The fuzz targets over what has been stored: whole, cut anywhere, and with every byte changed.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};
use tidegate_wire::websocket::fuzz;

#[expect(clippy::disallowed_methods, reason = "the stored corpus")]
fn over(folder: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut ran = 0;
    for entry in fs::read_dir(folder).expect("a corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        target(&bytes);
        for at in 0..bytes.len() {
            target(bytes.get(..at).unwrap_or_default());
            for with in [0, b',', 0x7f, 0x80, 0x81, 0xff] {
                let mut changed = bytes.clone();
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
fn fuzz_frames_of_the_corpus_are_read_alike_however_cut() {
    assert!(over("frames", fuzz::frames) > 5_000);
}
#[test]
fn fuzz_handshakes_of_the_corpus_do_not_panic() {
    assert!(over("handshake", fuzz::handshake) > 3_000);
}
