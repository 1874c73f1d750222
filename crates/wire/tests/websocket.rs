//! What a client writes is what the reader reads, whatever the sizes, masks, fragments and cuts.
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tidegate_wire::websocket::{
    Kind, frame,
    fuzz::{self, masked},
    mask,
    reader::{Event, Limits, Reader},
};

/// A message in fragments, each with a mask, and the ping after it.
type Said = (bool, Vec<(Vec<u8>, [u8; 4])>, Option<Vec<u8>>);

fn said() -> impl Strategy<Value = Said> {
    let size = prop_oneof![8 => 0..40_usize, 2 => 120..130_usize, 1 => 65_530..65_540_usize];
    let payload = size.prop_flat_map(|size| prop::collection::vec(any::<u8>(), size));
    (
        any::<bool>(),
        prop::collection::vec((payload, any::<[u8; 4]>()), 1..5),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..126)),
    )
}
/// Cut anywhere, also within characters.
fn text(of: &[u8]) -> Vec<u8> {
    of.iter().flat_map(|byte| char::from(*byte).to_string().into_bytes()).collect()
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_a_client_writes_is_read(all in prop::collection::vec(said(), 1..6), cuts in prop::collection::vec(1..5_000_usize, 1..20)) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (is_text, fragments, ping) in &all {
            let mut whole: Vec<u8> = fragments.iter().flat_map(|(payload, _)| payload.clone()).collect();
            let kind = if *is_text { whole = text(&whole); Kind::Text } else { Kind::Binary };
            let mut rest = whole.as_slice();
            for (number, (payload, key)) in fragments.iter().enumerate() {
                let last = number + 1 == fragments.len();
                let (piece, tail) = rest.split_at(if last { rest.len() } else { payload.len() });
                rest = tail;
                let opcode = match (number, kind) { (0, Kind::Text) => 1, (0, Kind::Binary) => 2, _ => 0 };
                masked(if last { 0x80 } else { 0 } | opcode, *key, piece, &mut bytes);
                if let Some(ping) = ping.as_ref().filter(|_| number == 0) {
                    masked(0x89, *key, ping, &mut bytes);
                }
            }
            let message = Event::Message { kind, payload: whole.into() };
            match ping.as_ref().map(|ping| Event::Ping(Bytes::copy_from_slice(ping))) {
                Some(ping) if fragments.len() == 1 => expected.extend([message, ping]),
                Some(ping) => expected.extend([ping, message]),
                None => expected.push(message),
            }
        }
        let mut reader = Reader::new(Limits::default());
        let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (mut piece, tail) = rest.split_at((*cut).min(rest.len()));
            while let Some(event) = reader.next(&mut piece).unwrap() {
                found.push(event);
            }
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(found == expected);
        prop_assert!(reader.is_at_rest());
    }
    /// A server's frame with a client's mask is a client's frame.
    #[test]
    fn what_a_server_writes_is_whole(payload in prop::collection::vec(any::<u8>(), 0..70_000), key in any::<[u8; 4]>()) {
        let mut out = BytesMut::new();
        let kind = frame::plain(&payload, &mut out);
        let at = out.len() - payload.len();
        let mut bytes = out.to_vec();
        bytes[1] |= 0x80;
        bytes.splice(at..at, key);
        mask::apply(&mut bytes[at + 4..], key, 0);
        let event = Reader::new(Limits::default()).next(&mut bytes.as_slice()).unwrap();
        let same = event == Some(Event::Message { kind, payload: payload.into() });
        prop_assert!(same);
    }
    /// Fail fast: text is refused at the very byte behind which no more bytes could make it UTF-8.
    #[test]
    fn text_is_refused_at_its_first_bad_byte(good in "[a-zé€😀]{0,9}", bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0_u8, Just(0xf4), Just(0xed), Just(0xe2)], 1..6)) {
        let payload = [good.as_bytes(), &bytes].concat();
        let hopeless = |end: &usize| std::str::from_utf8(&payload[..*end]).is_err_and(|error| error.error_len().is_some());
        let bad = (1..=payload.len()).find(hopeless);
        let mut input = Vec::new();
        masked(0x01, [9, 8, 7, 6], &payload, &mut input);
        let mut reader = Reader::new(Limits::default());
        let refused = input.iter().position(|byte| reader.next(&mut [*byte].as_slice()).is_err());
        prop_assert_eq!(refused.map(|at| at + 1 - (input.len() - payload.len())), bad);
    }
    #[test]
    fn no_bytes_panic_or_depend_on_cuts(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x81), Just(0x80), Just(0x82), Just(0x01)], 0..200)) {
        fuzz::frames(&bytes);
        fuzz::handshake(&bytes);
    }
}
