//! The last word on a connection, in the protocol of its client.
use super::{
    connection::Connection,
    opening::{Opening, opening},
    tls::REFUSED,
    transport::Transport,
};
use crate::http::problem;
use std::{io, time::Duration};
use tidegate_core::error::{Code, Error, Fault, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long, and for how many bytes, a client that is still sending is listened to after the last word.
pub(super) const LINGER: Duration = Duration::from_secs(1);
const UNREAD: usize = 256 << 10;
/// For those over the cap of connections: many may come at once.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// Over the cap: an answer rather than silence, at the price of one small write. Who says nothing is answered in HTTP/1.1.
pub(super) async fn shed(mut socket: Transport, state: &Connection, tls: bool) {
    if tls {
        // A handshake would cost more than all that is saved by sending it away.
        farewell(socket, Some(REFUSED.to_vec()), SHORT).await;
        return;
    }
    let error =
        Error::new(Code::Overloaded, Fault::Operator, "all connections are in use").with_retry(Retry::After(Duration::from_secs(1)));
    let word = async {
        match opening(&mut socket, state).await? {
            Opening::Http2 => http2(&mut socket, &error).await,
            Opening::Nothing | Opening::Http1(_) => Ok(problem::last(&error)),
        }
    };
    let word = match tokio::time::timeout(SHORT, word).await {
        Ok(Ok(word)) => word,
        Ok(Err(_gone)) => return,
        Err(_silent) => problem::last(&error),
    };
    farewell(socket, Some(word), SHORT).await;
}
/// Says the last word and goes. What the client still sends is read and thrown away for a moment: closing on it would cost the client
/// the answer (RFC 9112, section 9.6).
pub(super) async fn farewell(mut socket: Transport, word: Option<Vec<u8>>, patience: Duration) {
    let going = async {
        // The client may be gone; then nobody is owed an answer.
        if let Some(word) = word {
            socket.write_all(&word).await?;
        }
        socket.shutdown().await?;
        let mut thrown_away = [0; 4 << 10];
        let mut left = UNREAD;
        while left > 0 {
            match socket.read(&mut thrown_away).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, io::Error>(())
    };
    let _late_or_gone = tokio::time::timeout(patience, going).await;
}

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// The first request of a client is among its first frames.
const FRAMES: u32 = 16;

/// The answer to the first request, and GOAWAY. An answer may not come before its request (RFC 9113, section 5.1.1), so that one is awaited.
async fn http2(socket: &mut Transport, error: &Error) -> io::Result<Vec<u8>> {
    let mut out = frame(SETTINGS, 0, 0, b"");
    // Some clients wait for these before they ask.
    socket.write_all(&std::mem::take(&mut out)).await?;
    for _ in 0..FRAMES {
        let mut header = [0; HEADER];
        socket.read_exact(&mut header).await?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let length = u64::from(high) << 16 | u64::from(middle) << 8 | u64::from(low);
        tokio::io::copy(&mut (&mut *socket).take(length), &mut tokio::io::sink()).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => out.extend(frame(SETTINGS, ACK, 0, b"")),
            HEADERS => {
                let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
                let (head, body) = problem::last_of_http2(error);
                out.extend(frame(HEADERS, END_HEADERS, stream, &head));
                out.extend(frame(DATA, END_STREAM, stream, &body));
                // The last stream that was answered, and no error: the client may come again.
                let goaway = [stream.to_be_bytes(), [0; 4]].concat();
                out.extend(frame(GOAWAY, 0, 0, &goaway));
                break;
            }
            _ => {}
        }
    }
    Ok(out)
}
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
