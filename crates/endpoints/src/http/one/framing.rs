//! Where an answer's head and body end (RFC 9112, sections 4 to 7). What two readers could take for different answers is an error: the connection
//! is given up with it, so nothing of it is ever taken for the answer to another request.
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use httparse::Status;

/// Bytes of a head, and of the trailers behind a body.
pub(super) const LARGEST: usize = 64 << 10;
/// Fields of a head.
const FIELDS: usize = 100;
/// Bytes of the line before a chunk.
const CHUNK_LINE: usize = 1 << 10;

/// What is wrong.
pub(super) type Wrong = &'static str;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) rest: Rest,
    /// Another request may go out behind it.
    pub(super) keeps: bool,
}
/// What of a body has not come yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunks(Chunk),
    /// All until the connection ends.
    Open,
}
/// What comes next of a body in chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Line,
    Data(u64),
    /// The line end behind it.
    End,
    /// So many bytes of trailers have come.
    Trailers(usize),
}
/// What became of the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many are done with.
    pub(super) bytes: usize,
    /// The body is whole.
    pub(super) over: bool,
}

/// The head at the beginning of `came`, and how long it is; `None`: it is not whole yet. Interim answers (1xx) are passed over: they count with
/// the one behind them.
pub(super) fn head(came: &[u8], method: &Method) -> Result<Option<(Head, usize)>, Wrong> {
    let mut skipped = 0;
    loop {
        let rest = came.get(skipped..).unwrap_or_default();
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let length = match answer.parse(rest) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if came.len() > LARGEST => return Err("the head of its answer is too long"),
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err("the head of its answer has too many fields"),
            Err(_) => return Err("its answer is no HTTP/1.1"),
        };
        let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or("its answer has no status")?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err("it switches to a protocol nobody asked for");
        }
        if status.is_informational() {
            skipped += length;
            continue;
        }
        let mut headers = HeaderMap::with_capacity(answer.headers.len());
        for field in &*answer.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "a field of its answer has a bad name")?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| "a field of its answer has a bad value")?;
            headers.append(name, value);
        }
        let new = answer.version == Some(1);
        let (rest, clear) = rest_of(&headers, status, method, new)?;
        let keeps = new && clear && rest != Rest::Open && !has_word(&headers, &header::CONNECTION, "close");
        let head = Head {
            status,
            headers,
            rest,
            keeps,
        };
        return Ok(Some((head, skipped + length)));
    }
}
/// RFC 9112, section 6.3; and whether it is said in one way only.
fn rest_of(headers: &HeaderMap, status: StatusCode, method: &Method, new: bool) -> Result<(Rest, bool), Wrong> {
    if method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok((Rest::Bytes(0), true));
    }
    let length = length(headers)?;
    let mut codings = words(headers, &header::TRANSFER_ENCODING).peekable();
    if codings.peek().is_none() {
        return Ok((length.map_or(Rest::Open, Rest::Bytes), true));
    }
    if !new {
        return Err("its answer of HTTP/1.0 has a transfer coding");
    }
    // What other codings there are is not undone: only the status counts, and the body is shown as it came.
    match codings.last() {
        Some(last) if last.eq_ignore_ascii_case("chunked") => Ok((Rest::Chunks(Chunk::Line), length.is_none())),
        _ => Ok((Rest::Open, false)),
    }
}
/// The same number said several times is that number.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Wrong> {
    const WRONG: Wrong = "the length of its answer is no number";
    let mut all = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let text = value.to_str().map_err(|_| WRONG)?;
        for text in text.split(',').map(str::trim) {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let one: u64 = text.parse().ok().filter(|_| digits).ok_or(WRONG)?;
            if *all.get_or_insert(one) != one {
                return Err("its answer has two lengths");
            }
        }
    }
    Ok(all)
}
/// The members of a list, in all fields of that name.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lists = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
}
fn has_word(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    words(headers, name).any(|word| word.eq_ignore_ascii_case(wanted))
}

impl Rest {
    /// Takes what of it has come, and shows its data. What it leaves is to be there again, with more behind it.
    pub(super) fn take(&mut self, came: &[u8], mut data: impl FnMut(&[u8])) -> Result<Taken, Wrong> {
        let mut at = 0;
        loop {
            let rest = came.get(at..).unwrap_or_default();
            let not_yet = Ok(Taken { bytes: at, over: false });
            match self {
                Self::Bytes(left) => {
                    let piece = first(rest, *left);
                    data(piece);
                    *left -= piece.len() as u64;
                    return Ok(Taken {
                        bytes: at + piece.len(),
                        over: *left == 0,
                    });
                }
                Self::Open => {
                    data(rest);
                    return Ok(Taken {
                        bytes: came.len(),
                        over: false,
                    });
                }
                Self::Chunks(chunk) if rest.is_empty() && *chunk != Chunk::Data(0) => return not_yet,
                Self::Chunks(Chunk::Line) => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((line, 0))) => {
                        at += line;
                        *self = Self::Chunks(Chunk::Trailers(0));
                    }
                    Ok(Status::Complete((line, size))) => {
                        at += line;
                        *self = Self::Chunks(Chunk::Data(size));
                    }
                    Ok(Status::Partial) if rest.len() <= CHUNK_LINE => return not_yet,
                    _ => return Err("a chunk of its answer has no length"),
                },
                Self::Chunks(Chunk::Data(left)) => {
                    let piece = first(rest, *left);
                    data(piece);
                    at += piece.len();
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        *self = Self::Chunks(Chunk::End);
                    }
                }
                Self::Chunks(Chunk::End) => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        *self = Self::Chunks(Chunk::Line);
                    }
                    [b'\r'] => return not_yet,
                    _ => return Err("a chunk of its answer does not end where it should"),
                },
                Self::Chunks(Chunk::Trailers(seen)) => {
                    let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
                        if *seen + rest.len() > LARGEST {
                            return Err("the trailers of its answer are too long");
                        }
                        return not_yet;
                    };
                    at += line + 2;
                    *seen += line + 2;
                    if line == 0 {
                        return Ok(Taken { bytes: at, over: true });
                    }
                    if *seen > LARGEST {
                        return Err("the trailers of its answer are too long");
                    }
                }
            }
        }
    }
}
fn first(bytes: &[u8], most: u64) -> &[u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    bytes.get(..most).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            long(&format!("{lines}\r\n")),
            "HTTP/1.1 103 Early\r\n\r\n".repeat(4_000),
            long(&format!("transfer-encoding: chunked\r\n\r\n1;{}", "a".repeat(CHUNK_LINE))),
            long(&format!(
                "transfer-encoding: chunked\r\n\r\n0\r\n{}",
                "x: 1\r\n".repeat(LARGEST / 6 + 1)
            )),
            long(&format!("transfer-encoding: chunked\r\n\r\n0\r\nx: {}", "a".repeat(LARGEST))),
        ] {
            assert!(read(text.as_bytes(), &Method::POST, 1 << 10).is_err(), "{text:.80}");
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
    }
}
