//! What of HTTP/1 is taken and what is refused: each case whole, cut at every byte, behind another request, and shown to hyper.
use std::{fs, path::Path};
use tidegate_entrypoints::listener::http1::framing::{
    Due, Framed, Framing,
    Refusal::{self, *},
    fuzz::{self, Judged, compare, judge, judge_pieces},
};
use tidegate_entrypoints::outcome::status;

const GOOD: &[u8] = b"POST /before HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nxyz";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What is sent after which head, how many whole requests and bytes of their bodies pass, and what ends it.
type Case = (String, usize, usize, Option<Refusal>);

fn head(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}
fn good(input: impl Into<String>, whole: usize, body: usize) -> Case {
    (input.into(), whole, body, None)
}
fn bad(input: impl Into<String>, refusal: Refusal) -> Case {
    (input.into(), 0, 0, Some(refusal))
}
/// Refused within a chunked body, of which `body` bytes pass.
fn bad_chunks(input: &str, body: usize, refusal: Refusal) -> Case {
    (format!("{CHUNKED}{input}"), 0, body, Some(refusal))
}
fn good_chunks(input: &str, whole: usize, body: usize) -> Case {
    good(format!("{CHUNKED}{input}"), whole, body)
}
fn heads() -> Vec<Case> {
    vec![
        good("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, 0),
        good("GET / HTTP/1.0\r\n\r\n", 1, 0),
        good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1, 0),
        good("GET http://a/b?c=d%20e HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t \r\n\r\n", 1, 0),
        good("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, 0),
        good("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", 2, 0),
        good("PRIX / HTTP/1.1\r\nHost: a\r\n\r\n", 1, 0),
        good("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n", 1, 0),
        // Not whole: neither passes nor is refused.
        good("", 0, 0),
        good("GET / HTTP/1.1\r\nHost: a\r\n\r", 0, 0),
        good("\r\n", 0, 0),
        bad("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", LeadingLines),
        bad(format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(1_000)), LeadingLines),
        bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareLf),
        bad("GET / HTTP/1.1\nHost: a\r\n\r\n", BareLf),
        bad("GET / HTTP/1.1\r\nHost: a\n\r\n", BareLf),
        bad("GET / HTTP/1.1\r\nHost: a\r\n\n", BareLf),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 5\r\n\r\n", BareLf),
        bad("GET / HTTP/1.1\n\n", BareLf),
        bad("GET /\r\n\r\n", RequestLine),
        bad("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET /\tb HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / HTTP/1.2\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad(" HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("\u{16}\u{3}\u{1}\r\n", RequestLine),
        // Before any line ends: a client of TLS, and what no method begins with.
        bad("\u{16}\u{3}\u{1}\u{2}\0\u{1}", RequestLine),
        bad("{}", RequestLine),
        bad("GET\r", RequestLine),
        bad("GET\n", RequestLine),
        bad("\rG", RequestLine),
        bad("\r\n GET", RequestLine),
        bad("x".repeat(33), RequestLine),
        good("x".repeat(32), 0, 0),
        good("GET /\u{1}", 0, 0),
        bad("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Folding),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb: c\r\n\r\n", Folding),
        bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Folding),
        bad("GET / HTTP/1.1\r\nHost : a\r\n\r\n", SpaceBeforeColon),
        bad(head("Content-Length\t: 5"), SpaceBeforeColon),
        bad(head("Transfer-Encoding : chunked"), SpaceBeforeColon),
        bad("GET / HTTP/1.1\r\nHost a\r\n\r\n", SpaceBeforeColon),
        bad("GET / HTTP/1.1\r\nHost\r\n\r\n", FieldLine),
        bad("GET / HTTP/1.1\r\n: a\r\n\r\n", FieldLine),
        bad(head("Transfer\u{b}-Encoding: chunked"), FieldLine),
        bad(head("Content-Length\0: 5"), FieldLine),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Control),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Control),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", Control),
        bad("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n", Control),
        bad("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Control),
        bad(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64 << 10)), HeadTooLarge),
        bad(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)), HeadTooLarge),
        bad(format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(20_000)), HeadTooLarge),
    ]
}
fn lengths() -> Vec<Case> {
    vec![
        good(head("Content-Length: 5") + "hello", 1, 5),
        good(head("content-length:5") + "hello", 1, 5),
        good(head("CONTENT-LENGTH: \t005 ") + "hello", 1, 5),
        good(head("Content-Length: 0"), 1, 0),
        good(head("Content-Length: 5") + "hel", 0, 3),
        good(head("Content-Length: 2") + "\n\n" + &head("Content-Length: 1") + "\0", 2, 3),
        good(head("Content-Length: 9223372036854775807") + "x", 0, 1),
        // Other fields of the same length.
        good(head("Content-Lengti: x\r\nTransfer-Encodinh: x"), 1, 0),
        bad(head("Content-Length: 9223372036854775808"), Length),
        bad(head("Content-Length: 18446744073709551616"), Length),
        bad(head("Content-Length: 99999999999999999999999999"), Length),
        bad(head("Content-Length: +5"), Length),
        bad(head("Content-Length: -5"), Length),
        bad(head("Content-Length:"), Length),
        bad(head("Content-Length: 5, 5"), Length),
        bad(head("Content-Length: 5,6"), Length),
        bad(head("Content-Length: 5 5"), Length),
        bad(head("Content-Length: 0x5"), Length),
        bad(head("Content-Length: 5.0"), Length),
        bad(head("Content-Length: five"), Length),
        bad(head("Content-Length: \u{665}"), Length),
        bad(head("Content-Length: 5\r\nContent-Length: 5"), Lengths),
        bad(head("Content-Length: 5\r\nContent-Length: 6"), Lengths),
        bad(head("Content-Length: 5\r\ncontent-length: 0"), Lengths),
        bad(head("Content-Length: 5\r\nTransfer-Encoding: chunked"), LengthAndCoding),
        bad(head("Transfer-Encoding: chunked\r\nContent-Length: 5"), LengthAndCoding),
        bad(head("Transfer-Encoding: gzip, chunked\r\nContent-Length: 5"), LengthAndCoding),
    ]
}
fn codings() -> Vec<Case> {
    vec![
        good(head("transfer-encoding:\tCHUNKED ") + "0\r\n\r\n", 1, 0),
        bad(head("Transfer-Encoding: gzip, chunked"), UnknownCoding),
        bad(head("Transfer-Encoding: x;y=\"z\" , chunked"), UnknownCoding),
        bad(head("Transfer-Encoding: identity,chunked"), UnknownCoding),
        bad(head("Transfer-Encoding: gzip"), Coding),
        bad(head("Transfer-Encoding: identity"), Coding),
        bad(head("Transfer-Encoding: xchunked"), Coding),
        bad(head("Transfer-Encoding: chunked, identity"), Coding),
        bad(head("Transfer-Encoding: chunked, chunked"), Coding),
        bad(head("Transfer-Encoding: chunked,"), Coding),
        bad(head("Transfer-Encoding: ,chunked"), Coding),
        bad(head("Transfer-Encoding: chunked;q=1"), Coding),
        bad(head("Transfer-Encoding: \"chunked\""), Coding),
        bad(head("Transfer-Encoding: chun ked"), Coding),
        bad(head("Transfer-Encoding: \u{b}chunked"), Coding),
        bad(head("Transfer-Encoding:"), Coding),
        bad(head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Coding),
        bad(head("Transfer-Encoding: gzip, chunked\r\nTransfer-Encoding: chunked"), Coding),
        bad(head("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"), Coding),
        bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OldCoding),
    ]
}
fn chunks() -> Vec<Case> {
    vec![
        good_chunks("5\r\nhello\r\n0\r\n\r\n", 1, 5),
        good_chunks(
            "5\r\nhello\r\n00F\r\n0123456789abcde\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
            20,
        ),
        good_chunks("5\r\nhel", 0, 3),
        good_chunks("0000000000000005\r\nhello\r\n0\r\n\r\n", 1, 5),
        good_chunks("ffffffffffffffff\r\nhello", 0, 5),
        good_chunks("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", 1, 5),
        good_chunks("5 \t; a\r\nhello\r\n0\r\n\r\n", 1, 5),
        good_chunks(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(255)), 1, 5),
        good_chunks("0\r\nA: b\r\nC:\r\n\r\n", 1, 0),
        good_chunks("0\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2, 0),
        good_chunks(&format!("0\r\nA: {}\r\n\r\n", "x".repeat(8_000)), 1, 0),
        good_chunks("2\r\n\r\n\r\n1\r\n\n\r\n0\r\n\r\n", 1, 3),
        bad_chunks("10000000000000000\r\n", 0, ChunkSize),
        bad_chunks("00000000000000005\r\n", 0, ChunkSize),
        bad_chunks("0x5\r\nhello\r\n", 0, ChunkSize),
        bad_chunks("-5\r\nhello\r\n", 0, ChunkSize),
        bad_chunks("+5\r\nhello\r\n", 0, ChunkSize),
        bad_chunks(" 5\r\nhello\r\n", 0, ChunkSize),
        bad_chunks("\r\n", 0, ChunkSize),
        bad_chunks(";a\r\n", 0, ChunkSize),
        bad_chunks("g\r\n", 0, ChunkSize),
        bad_chunks("5_0\r\n", 0, ChunkSize),
        bad_chunks("5\nhello\r\n", 0, ChunkSize),
        bad_chunks("5\rhello\r\n", 0, ChunkLine),
        bad_chunks("5 \r\nhello\r\n", 0, ChunkExtension),
        bad_chunks("5 5\r\nhello\r\n", 0, ChunkExtension),
        bad_chunks("5;a\nhello\r\n", 0, ChunkExtension),
        bad_chunks("5;a\0\r\nhello\r\n", 0, ChunkExtension),
        bad_chunks("5;a\rb\r\nhello\r\n", 0, ChunkLine),
        bad_chunks(&format!("5;{}\r\nhello\r\n", "x".repeat(256)), 0, ChunkExtension),
        bad_chunks("5\r\nhellothere\r\n0\r\n\r\n", 5, ChunkEnd),
        bad_chunks("5\r\nhello\n0\r\n\r\n", 5, ChunkEnd),
        bad_chunks("5\r\nhello0\r\n\r\n", 5, ChunkEnd),
        bad_chunks("5\r\nhello\rx", 5, ChunkEnd),
        bad_chunks("5\r\nhello\r\n\r\n", 5, ChunkSize),
        bad_chunks("0\n\n", 0, ChunkSize),
        bad_chunks("0\r\n\n", 0, Trailer),
        bad_chunks("0\r\nA: b\n\r\n", 0, Trailer),
        bad_chunks("0\r\nA: b\r\n\n", 0, Trailer),
        bad_chunks("0\r\nA\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\n: b\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\nA : b\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\nA: b\r\n c\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\nA: b\0\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\nA: b\rc\r\n\r\n", 0, Trailer),
        bad_chunks("0\r\n\rGET", 0, Trailer),
        bad_chunks(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(2_000)), 0, TrailersTooLarge),
    ]
}
fn cases() -> Vec<Case> {
    [heads(), lengths(), codings(), chunks()].concat()
}
fn summary(judged: &Judged) -> (usize, usize, Option<Refusal>) {
    let whole = judged.requests.iter().filter(|request| request.whole).count();
    let body = judged.requests.iter().map(|request| request.body.len()).sum();
    (whole, body, judged.refused)
}
/// Latin-1, so that bytes above 127 can be written down.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(0xff)).collect()
}

#[test]
fn each_case_is_judged_as_it_should() {
    let cases = cases();
    assert!(cases.len() >= 75, "{}", cases.len());
    for (input, whole, body, refused) in cases {
        let judged = judge(&bytes(&input), usize::MAX);
        assert_eq!(summary(&judged), (whole, body, refused), "{input:?}");
        compare(&judged, 4_096);
        // Of what is refused a body's head is taken, for its request is answered; a bad head is not.
        if refused.is_some() && whole == 0 {
            assert_eq!(judged.requests.len(), usize::from(input.starts_with(CHUNKED)), "{input:?}");
        }
        let behind = judge(&[GOOD, &bytes(&input)].concat(), usize::MAX);
        assert_eq!(summary(&behind), (whole + 1, body + 3, refused), "behind another: {input:?}");
        compare(&behind, 4_096);
        // A good head has passed whole, a bad one not at all.
        assert!(behind.passed.starts_with(GOOD) && behind.passed[GOOD.len()..] == judged.passed);
    }
}
#[test]
fn no_cut_changes_a_verdict() {
    for (input, ..) in cases() {
        for input in [bytes(&input), [GOOD, &bytes(&input)].concat()] {
            let judged = judge(&input, usize::MAX);
            for step in [1, 2, 3, 7] {
                assert_eq!(judge(&input, step), judged, "by {step}: {:?}", input.escape_ascii().to_string());
            }
            // Every byte of the short ones, and of the long ones the beginning, where all that differs is.
            for cut in 1..input.len().min(300) {
                let cut = judge_pieces([&input[..cut], &input[cut..]]);
                assert_eq!(cut, judged, "{:?}", input.escape_ascii().to_string());
            }
        }
    }
}
/// Byte by byte, hyper sees of each what is seen here.
#[test]
fn hyper_frames_alike_what_passes_byte_by_byte() {
    for (input, ..) in cases().iter().filter(|(input, ..)| input.len() < 10_000) {
        let input = [GOOD, &bytes(input)].concat();
        for cut in 0..=input.len().min(400) {
            compare(&judge(&input[..cut], usize::MAX), 1_000);
        }
        compare(&judge(&input, 1), 1);
    }
}
#[test]
fn statuses_are_those_of_the_rfcs() {
    assert!([HeadTooLarge, TrailersTooLarge].iter().all(|refusal| status(refusal.code()) == 431));
    assert_eq!(status(UnknownCoding.code()), 501);
    assert!(
        [LengthAndCoding, Coding, OldCoding, BareLf, Lengths, ChunkEnd]
            .iter()
            .all(|refusal| status(refusal.code()) == 400)
    );
}
#[test]
fn a_preface_of_http2_is_no_request() {
    for input in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n"] {
        assert_eq!(judge(input, 1).refused, Some(RequestLine));
        assert_eq!(judge(&[GOOD, input].concat(), usize::MAX).refused, Some(RequestLine));
    }
    assert_eq!(summary(&judge(b"P / HTTP/1.1\r\nHost: a\r\n\r\n", 1)), (1, 0, None));
}
#[test]
fn a_refusal_is_final_and_hides_what_follows() {
    let mut framing = Framing::new(64 << 10);
    assert_eq!(framing.head(b"GET / HTTP/1.1\nHost: a\n\n"), Err(BareLf));
    assert_eq!(framing.head(GOOD), Err(BareLf));
    let mut framing = Framing::new(64 << 10);
    let head = format!("{CHUNKED}0x3\r\n");
    assert_eq!(length(framing.head(head.as_bytes())), Ok(Some(CHUNKED.len())));
    assert_eq!(framing.body(b"0x3").map(|step| step.taken), Ok(1));
    assert_eq!(framing.body(b"x3"), Err(ChunkSize));
    assert_eq!((framing.body(b"3\r\n"), framing.due()), (Err(ChunkSize), Due::Unknown));
    assert_eq!(framing.head(GOOD), Err(ChunkSize));
}
#[test]
fn a_head_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    let head = |size: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(size - 23)).into_bytes();
    for (size, taken) in [(1_024, Ok(Some(1_024))), (1_025, Err(HeadTooLarge))] {
        for step in [1, 100, 2_000] {
            let mut framing = Framing::new(1_024);
            let bytes = head(size);
            assert_eq!(bytes.len(), size);
            let upto = (0..size).step_by(step).skip(1).chain([size]);
            let last = upto.map(|upto| framing.head(&bytes[..upto])).last().unwrap();
            assert_eq!(length(last), taken, "{size} by {step}");
        }
    }
}
fn length(framed: Result<Option<Framed>, Refusal>) -> Result<Option<usize>, Refusal> {
    framed.map(|framed| framed.map(|framed| framed.length))
}
/// Each byte of a second head is changed, left out, or has another before it: nothing of the first one may be felt.
#[test]
fn a_head_like_the_last_is_framed_as_if_it_stood_alone() {
    const LIMIT: usize = 100;
    let heads = [
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nX: y\r\n\r\n", "123456789012"),
        ("\r\nPOST /a HTTP/1.1\r\nContent-Length:\t 0 \r\n\r\n", ""),
        ("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"),
        ("GET /a?b HTTP/1.0\r\nHost: a\r\n\r\n", ""),
    ];
    let bytes: Vec<Vec<u8>> = b"019 \t\r\n:x-".iter().map(|byte| vec![*byte]).collect();
    let many = [b"".to_vec(), b"0".repeat(25), b"9".repeat(25), b"1".repeat(LIMIT - 50)];
    let mut known = 0;
    for ((first, body), (second, _)) in heads.iter().flat_map(|first| heads.iter().map(move |second| (first, second))) {
        // Of another head all but its beginning is another anyway.
        let places = if first == second { second.len() } else { 2 };
        for (at, put) in (0..=places).flat_map(|at| bytes.iter().chain(&many).map(move |put| (at, put))) {
            let (before, after) = second.as_bytes().split_at(at);
            for after in [after, after.get(1..).unwrap_or_default()] {
                let bytes = [before, put, after].concat();
                let mut alone = Framing::new(LIMIT);
                let mut framing = Framing::new(LIMIT);
                framing.head(first.as_bytes()).unwrap().unwrap();
                while framing.due() != Due::Nothing {
                    let step = framing.body(body.as_bytes()).unwrap();
                    assert_eq!(step.taken, body.len());
                }
                for upto in [bytes.len() / 2, bytes.len()] {
                    let (found, expected) = (framing.head(&bytes[..upto]), alone.head(&bytes[..upto]));
                    known += usize::from(found.as_ref().is_ok_and(|found| found.as_ref().is_some_and(|framed| framed.again)));
                    assert_eq!(length(found), length(expected), "{:?}", bytes.escape_ascii().to_string());
                    assert_eq!(framing.due(), alone.due(), "{:?}", bytes.escape_ascii().to_string());
                }
            }
        }
    }
    assert!(known > 100, "{known} were known again");
}
#[test]
fn what_is_known_of_a_connection_is_small() {
    assert!(size_of::<Framing>() <= 112, "{}", size_of::<Framing>());
}
#[test]
#[expect(clippy::disallowed_methods, reason = "the stored corpus")]
fn fuzz_what_is_stored_is_framed_as_hyper_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/framing");
    let mut ran = 0;
    for entry in fs::read_dir(folder).expect("a corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        fuzz::framing(&bytes);
        for at in 0..bytes.len() {
            fuzz::framing(&bytes[..at]);
            for with in *b"\0\n\r\t :;,05x\x80" {
                let mut changed = bytes.clone();
                changed[at] = with;
                fuzz::framing(&changed);
                changed.insert(at, bytes[at]);
                fuzz::framing(&changed);
                ran += 1;
            }
        }
    }
    assert!(ran > 10_000, "{ran}");
}
/// Pieces of requests in any order: what smuggles is made of good pieces in wrong places.
#[test]
fn fuzz_pieces_in_any_order_are_framed_as_hyper_does() {
    const PIECES: &[&str] = &[
        "GET / HTTP/1.1\r\n",
        "POST /b HTTP/1.1\r\n",
        "PUT http://h/ HTTP/1.0\r\n",
        "CONNECT h:1 HTTP/1.1\r\n",
        "Host: h\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 3\r\n",
        "content-length:12\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: x, chunked\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "X: y\r\n",
        "X",
        ": ",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        "0",
        "3",
        "c",
        "0\r\n",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "3;e=f\r\n",
        "abc",
        "A: b\r\n",
        "\0",
        ";",
        ",",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
    ];
    // A xorshift (Marsaglia 2003): the same numbers in each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % below
    };
    let mut seen = [0, 0];
    for _ in 0..20_000 {
        let mut input = vec![next(256) as u8];
        let begin = PIECES.len() - 3;
        input.extend_from_slice(PIECES[[begin, begin + 1, begin + 2, next(PIECES.len())][next(4)]].as_bytes());
        for _ in 0..next(10) {
            input.extend_from_slice(PIECES[next(PIECES.len())].as_bytes());
        }
        fuzz::framing(&input);
        let judged = judge(&input[1..], usize::MAX);
        seen[usize::from(judged.refused.is_some())] += 1;
    }
    assert!(seen.iter().all(|count| *count > 2_000), "{seen:?}");
}
