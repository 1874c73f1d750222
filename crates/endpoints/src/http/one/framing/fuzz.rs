//! An answer's framing on bytes of anybody's: nothing panics, and no cut changes what they are.
use super::{Head, Rest, Wrong, head};
use http::Method;

/// Whatever comes.
pub fn answer(bytes: &[u8]) {
    let _told = same_however_it_comes(bytes, &Method::POST);
    let _told = same_however_it_comes(bytes, &Method::HEAD);
}
/// Status, body, whether it is whole, and whether the connection may go on.
type Told = Result<Option<(u16, Vec<u8>, bool, bool)>, Wrong>;
/// Fed so many bytes at a time.
fn read(bytes: &[u8], method: &Method, step: usize) -> Told {
    let (mut came, mut found, mut body, mut over) = (Vec::new(), None::<Head>, Vec::new(), false);
    for piece in bytes.chunks(step) {
        came.extend_from_slice(piece);
        if found.is_none()
            && let Some((head, length)) = head(&came, method)?
        {
            came.drain(..length);
            found = Some(head);
        }
        if let Some(head) = found.as_mut().filter(|_| !over) {
            let taken = head.rest.take(&came, |data| body.extend_from_slice(data))?;
            came.drain(..taken.bytes);
            over = taken.over;
        }
    }
    Ok(found.map(|head| {
        let whole = over || head.rest == Rest::Open;
        (head.status.as_u16(), body, whole, whole && head.keeps && came.is_empty())
    }))
}
fn same_however_it_comes(bytes: &[u8], method: &Method) -> Told {
    let whole = read(bytes, method, bytes.len().max(1));
    for step in [1, 2, 7] {
        assert_eq!(read(bytes, method, step), whole, "{step} at a time: {}", bytes.escape_ascii());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What hyper makes of it, if it is a whole answer to it.
    fn of_hyper(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let (mut send, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(near)).await.unwrap();
            let asking = async move {
                let response = send.send_request(Request::post("/").header("host", "x").body(Empty::new()).unwrap());
                let (head, body) = response.await.ok()?.into_parts();
                Some((head.status.as_u16(), body.collect().await.ok()?.to_bytes().to_vec()))
            };
            let target = async {
                let mut request = [0; 1 << 10];
                let _read = far.read(&mut request).await.unwrap();
                far.write_all(bytes).await.unwrap();
                drop(far);
            };
            tokio::join!(asking, async { drop(connection.await) }, target).0
        })
    }
    /// A whole answer is the same one to hyper, or none.
    fn is_hypers(bytes: &[u8]) {
        if let Ok(Some((status, body, true, _))) = same_however_it_comes(bytes, &Method::POST)
            && let Some(other) = of_hyper(bytes)
        {
            assert_eq!((status, body), other, "{}", bytes.escape_ascii());
        }
    }
    #[test]
    fn hyper_reads_alike_what_it_reads() {
        let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(of_hyper(text.as_bytes()), Some((200, b"ok".to_vec())));
        is_hypers(text.as_bytes());
    }
    #[test]
    fn where_an_answer_ends() {
        for (text, status, body, whole, keeps) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok", true, true),
            ("HTTP/1.1 200\r\ncontent-length: 2, 2\r\n\r\nok", 200, "ok", true, true),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n", 204, "", true, true),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", true, true),
            ("HTTP/1.1 200 OK\r\n\r\nall", 200, "all", true, false),
            (
                "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n",
                200,
                "",
                true,
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
                200,
                "ok",
                true,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1;a=b\r\n!\r\n0\r\n\r\n",
                200,
                "ok!",
                true,
                true,
            ),
            (
                "HTTP/1.1 500 No\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n",
                500,
                "",
                true,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
                200,
                "",
                true,
                false,
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nz", 200, "z", true, false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 202 OK\r\ncontent-length: 0\r\n\r\n",
                202,
                "",
                true,
                true,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", 200, "ok", false, false),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\no",
                200,
                "o",
                false,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n",
                200,
                "",
                false,
                false,
            ),
        ] {
            let told = same_however_it_comes(text.as_bytes(), &Method::POST).unwrap().unwrap();
            assert_eq!(told, (status, body.as_bytes().to_vec(), whole, keeps), "{text}");
            is_hypers(text.as_bytes());
        }
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(same_however_it_comes(head, &Method::HEAD), Ok(Some((200, Vec::new(), true, true))));
        // What comes behind an answer is nobody's.
        let more = read(
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
            &Method::POST,
            99,
        );
        assert_eq!(more, Ok(Some((200, Vec::new(), true, false))));
    }
    #[test]
    fn what_could_be_read_in_two_ways_is_no_answer() {
        for text in [
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 2,3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n",
        ] {
            assert!(same_however_it_comes(text.as_bytes(), &Method::POST).is_err(), "{text}");
        }
        let long = |text: &str| format!("HTTP/1.1 200 OK\r\n{text}");
        let lines = "x: 1\r\n".repeat(FIELDS + 1);
        for text in [
            long(&format!("x: {}", "a".repeat(LARGEST))),
            long(&format!("x: {}\r\n\r\n", "a".repeat(LARGEST))),
            long(&format!("{lines}\r\n")),
            "HTTP/1.1 103 Early\r\n\r\n".repeat(4_000),
            format!(
                "{}{}",
                "HTTP/1.1 103 Early\r\n\r\n".repeat(4_000),
                long("content-length: 0\r\n\r\n")
            ),
            long(&format!("transfer-encoding: chunked\r\n\r\n1;{}", "a".repeat(CHUNK_LINE))),
            long(&format!(
                "transfer-encoding: chunked\r\n\r\n1;{}\r\n!\r\n0\r\n\r\n",
                "a".repeat(CHUNK_LINE)
            )),
            long(&format!(
                "transfer-encoding: chunked\r\n\r\n0\r\n{}",
                "x: 1\r\n".repeat(LARGEST / 6 + 1)
            )),
            long(&format!("transfer-encoding: chunked\r\n\r\n0\r\nx: {}", "a".repeat(LARGEST))),
            long(&format!(
                "transfer-encoding: chunked\r\n\r\n0\r\nx: {}\r\n\r\n",
                "a".repeat(LARGEST)
            )),
        ] {
            for step in [1 << 10, text.len()] {
                assert!(read(text.as_bytes(), &Method::POST, step).is_err(), "{text:.80}");
            }
        }
    }
    proptest! {
        /// However a body is cut into chunks and they into pieces, it is the body.
        #[test]
        fn chunks_are_the_body(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1..50_usize) {
            let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for part in &parts {
                text.extend(format!("{:X}\r\n", part.len()).bytes().chain(part.iter().copied()).chain(*b"\r\n"));
            }
            text.extend(b"0\r\n\r\n");
            prop_assert_eq!(read(&text, &Method::POST, step), Ok(Some((200, parts.concat(), true, true))));
        }
        #[test]
        fn no_bytes_panic_and_no_cut_changes_what_they_are(bytes in prop::collection::vec(any::<u8>(), 0..60), which in 0..3_usize) {
            let begin = ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"][which];
            let _told = same_however_it_comes(&[begin.as_bytes(), &bytes].concat(), &Method::POST);
        }
        #[test]
        fn fuzz_pieces_in_any_order_are_read_as_hyper_does(pieces in prop::collection::vec(0..PIECES.len(), 1..9)) {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            for piece in pieces {
                text.extend_from_slice(PIECES[piece].as_bytes());
            }
            is_hypers(&text);
        }
    }
    const PIECES: [&str; 20] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.0 404 No\r\n",
        "HTTP/1.1 204 No\r\n",
        "content-length: 2\r\n",
        "Content-Length: 0\r\n",
        "content-length: 2, 2\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "connection: close\r\n",
        "x: y\r\n",
        "\r\n",
        "\r\n",
        "2\r\nok\r\n",
        "1;x=y\r\n!\r\n",
        "0\r\n\r\n",
        "0\r\nx: y\r\n\r\n",
        "ok",
        "\n",
    ];
}
