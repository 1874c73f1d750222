//! Bytes nobody would write on purpose.
use proptest::prelude::*;
use std::{fs, path::PathBuf};
use tidegate_config::fuzz::configuration;

#[expect(clippy::disallowed_methods, reason = "the test reads its own corpus")]
fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| fs::read(path).unwrap()).collect()
}
#[test]
fn nothing_of_the_corpus_panics_whole_or_cut() {
    let corpus = corpus();
    assert!(corpus.len() >= 15);
    for bytes in &corpus {
        configuration(bytes);
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 40) {
            configuration(&bytes[..end]);
        }
    }
}
/// Long lines and long lists: what takes a second with a few thousand and hours with a few hundred thousand would hang here.
#[test]
fn a_file_of_the_largest_size_takes_no_longer_than_reading_it() {
    let pieces = [
        ("data_dir: [", "1,", "]"),
        ("data_dir: [", "\"1\",", "]"),
        ("kind: stream\nname: a\ntopics: [", "\"a/#/b\",", "]"),
        ("{", "\"password\":1,", "}"),
        ("{", "a: {b: 1},", "}"),
        ("limits: {", "x: \"${env:X}\",", "}"),
    ];
    for (head, piece, tail) in pieces {
        let text = format!("{head}{}{tail}", piece.repeat(24_000));
        configuration(text.as_bytes());
    }
    let numbered = |piece: &dyn Fn(usize) -> String| (0..10_000).map(piece).collect::<String>();
    configuration(format!("{{{}}}", numbered(&|i| format!("x{i}: 1,"))).as_bytes());
    configuration(format!("kind: stream\nname: a\ntopics: [{}]", numbered(&|i| format!("x{i},"))).as_bytes());
    configuration(format!("kind: endpoint\nname: a\ntype: mock\n{}", numbered(&|i| format!("x{i}: 1\n"))).as_bytes());
    let apis = |i| format!("kind: api\nname: a{i}\npaths: [/{i}]\nbackend: {{ stream: s{i} }}\n---\nkind: stream\nname: t{i}\n---\n");
    configuration((0..300).map(apis).collect::<String>().as_bytes());
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    /// Pieces of good files in a wrong order, with the characters that mean something to YAML between them.
    #[test]
    fn mixed_pieces_do_not_panic(picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..40usize, "[-:,{}\\[\\]\"'|>&*!%#?\n \\t$a${env:}]{0,4}"), 1..12)) {
        let corpus = corpus();
        let mut bytes = Vec::new();
        for (file, start, len, between) in picks {
            let file = file.get(&corpus);
            if !file.is_empty() {
                let start = start.index(file.len());
                bytes.extend_from_slice(&file[start..file.len().min(start + len)]);
            }
            bytes.extend_from_slice(between.as_bytes());
        }
        configuration(&bytes);
    }
    #[test]
    fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        configuration(&bytes);
    }
}
