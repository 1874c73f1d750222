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

const TOO_LONG: Wrong = "the head of its answer is too long";

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
            // However it came: in pieces it would have been refused before its end.
            Ok(Status::Complete(length)) if skipped + length > LARGEST => return Err(TOO_LONG),
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if came.len() > LARGEST => return Err(TOO_LONG),
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
                    Ok(Status::Complete((line, _))) if line > CHUNK_LINE => {
                        return Err("a chunk of its answer begins with too long a line");
                    }
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
                    if *seen > LARGEST {
                        return Err("the trailers of its answer are too long");
                    }
                    if line == 0 {
                        return Ok(Taken { bytes: at, over: true });
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

#[doc(hidden)]
pub mod fuzz;
