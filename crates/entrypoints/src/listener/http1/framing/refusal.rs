//! What of the framing is refused, and how that is answered.
use std::fmt;
use tidegate_core::error::Code;

/// Why a connection is not listened to any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A head is larger than is taken.
    HeadTooLarge,
    /// A line ends with LF alone (RFC 9112, section 2.2).
    BareLf,
    /// More than one empty line before a request (section 2.2).
    LeadingLines,
    /// The request line is not method, target and HTTP/1.0 or 1.1, with one space between (section 3).
    RequestLine,
    /// A field is continued on another line (section 5.2).
    Folding,
    /// White space between the name of a field and its colon (section 5.1).
    SpaceBeforeColon,
    /// A line is no field (section 5).
    FieldLine,
    /// A control character: NUL, CR alone and others (section 2.2; RFC 9110, section 5.5).
    Control,
    /// `Content-Length` is no number that makes sense (RFC 9110, section 8.6).
    Length,
    /// `Content-Length` is there more than once, equal or not (RFC 9112, section 6.3).
    Lengths,
    /// `Content-Length` and `Transfer-Encoding` in one head (section 6.3).
    LengthAndCoding,
    /// `Transfer-Encoding` is malformed, is there twice, or does not end with `chunked` (section 6.1).
    Coding,
    /// `Transfer-Encoding` in a request of HTTP/1.0 (section 6.1).
    OldCoding,
    /// `Transfer-Encoding` names more than `chunked` (section 6.1).
    UnknownCoding,
    /// The size of a chunk is not 1 to 16 hexadecimal digits (section 7.1).
    ChunkSize,
    /// The line with the size of a chunk does not end with CR LF (section 7.1).
    ChunkLine,
    /// Extensions of a chunk are malformed or longer than is taken (section 7.1.1).
    ChunkExtension,
    /// The data of a chunk does not end where it should (section 7.1).
    ChunkEnd,
    /// A line of the trailer section is no field (section 7.1.2).
    Trailer,
    /// The trailer section is larger than is taken.
    TrailersTooLarge,
}
impl Refusal {
    /// What the answer says; the connection is closed after it.
    pub fn code(self) -> Code {
        match self {
            Self::HeadTooLarge | Self::TrailersTooLarge => Code::HeadTooLarge,
            Self::UnknownCoding => Code::UnknownCoding,
            Self::BareLf
            | Self::LeadingLines
            | Self::RequestLine
            | Self::Folding
            | Self::SpaceBeforeColon
            | Self::FieldLine
            | Self::Control
            | Self::Length
            | Self::Lengths
            | Self::LengthAndCoding
            | Self::Coding
            | Self::OldCoding
            | Self::ChunkSize
            | Self::ChunkLine
            | Self::ChunkExtension
            | Self::ChunkEnd
            | Self::Trailer => Code::BadRequest,
        }
    }
    /// In words, for the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "the request head is larger than `limits.head` allows",
            Self::BareLf => "a line ends with LF alone",
            Self::LeadingLines => "more than one empty line before the request",
            Self::RequestLine => "the request line is malformed",
            Self::Folding => "a header is continued on another line",
            Self::SpaceBeforeColon => "white space before the colon of a header",
            Self::FieldLine => "a header is malformed",
            Self::Control => "a control character in the request head",
            Self::Length => "`Content-Length` is not a number of bytes",
            Self::Lengths => "`Content-Length` is there more than once",
            Self::LengthAndCoding => "`Content-Length` and `Transfer-Encoding` exclude each other",
            Self::Coding => "`Transfer-Encoding` is not `chunked` once",
            Self::OldCoding => "HTTP/1.0 has no `Transfer-Encoding`",
            Self::UnknownCoding => "only the transfer coding `chunked` is known here",
            Self::ChunkSize => "the size of a chunk is malformed",
            Self::ChunkLine => "the line of a chunk does not end with CR LF",
            Self::ChunkExtension => "the extensions of a chunk are malformed or too long",
            Self::ChunkEnd => "a chunk is longer than it says",
            Self::Trailer => "a trailer is malformed",
            Self::TrailersTooLarge => "the trailers are too large",
        }
    }
}
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
