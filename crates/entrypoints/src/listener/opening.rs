//! Which protocol a client speaks, told by its first bytes. None of them is lost: what was read is handed on.
use super::{connection::Connection, transport::Transport};
use bytes::Bytes;
use std::io;
use tokio::io::AsyncReadExt;

/// How HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
pub(super) enum Opening {
    /// It left before it said anything.
    Nothing,
    /// These bytes were read.
    Http1(Bytes),
    /// Its preface, and no byte further, was read.
    Http2,
}
/// Reads until it is clear. From the first byte on the time of a head runs.
pub(super) async fn opening(socket: &mut Transport, state: &Connection) -> io::Result<Opening> {
    let mut first = [0; PREFACE.len()];
    let mut have = 0;
    loop {
        let read = socket.read(first.get_mut(have..).unwrap_or_default()).await?;
        let said = first.get(..have + read).unwrap_or_default();
        match read {
            0 if have == 0 => return Ok(Opening::Nothing),
            // Half a preface and no more: no request of HTTP/1 either.
            0 => return Ok(Opening::Http1(Bytes::copy_from_slice(said))),
            _ if have == 0 => state.begun(),
            _ => {}
        }
        have += read;
        if !PREFACE.starts_with(said) {
            return Ok(Opening::Http1(Bytes::copy_from_slice(said)));
        }
        if have == PREFACE.len() {
            return Ok(Opening::Http2);
        }
    }
}
