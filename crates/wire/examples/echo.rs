//! A WebSocket server that says back what it is told, for the Autobahn test suite: the codec with as little round it as can be.
//! `echo [PORT]` listens on the loopback and prints its address. One thread for each connection and limits that no gateway has: for tests.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    process::ExitCode,
    thread,
    time::Duration,
};
use tidegate_wire::websocket::{
    frame,
    handshake::{self, Accepted},
    reader::{Event, Limits, Reader},
};

/// The largest message of the suite has 16 MiB.
const LIMITS: Limits = Limits { message: 32 << 20 };
/// The largest head of a request.
const HEAD: usize = 16 << 10;
/// What is read at once.
const READ: usize = 64 << 10;
/// How long a client may be silent after the last frame it is sent.
const FAREWELL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match arguments.as_slice() {
        [] => Ok(0),
        [port] => port.parse(),
        _ => "".parse(),
    };
    let Ok(port) = port else {
        eprintln!("usage: echo [PORT]");
        return ExitCode::from(2);
    };
    match listen(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
fn listen(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("{}", listener.local_addr()?);
    for socket in listener.incoming() {
        let socket = socket?;
        thread::Builder::new().spawn(move || {
            if let Err(error) = serve(socket) {
                eprintln!("{error}");
            }
        })?;
    }
    Ok(())
}
/// From the handshake until one side has closed.
fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; READ];
    let Some((mut early, accepted)) = open(&mut socket)? else {
        return Ok(());
    };
    socket.write_all(&answer(StatusCode::SWITCHING_PROTOCOLS, &accepted.headers()))?;
    let mut reader = Reader::new(LIMITS);
    let mut out = BytesMut::new();
    loop {
        let mut input = &early[..];
        let end = echo(&mut reader, &mut input, &mut out);
        socket.write_all(&out)?;
        out.clear();
        if end {
            return farewell(&mut socket, &mut buffer);
        }
        match socket.read(&mut buffer)? {
            0 => return Ok(()),
            read => {
                early.clear();
                early.extend_from_slice(buffer.get(..read).unwrap_or_default());
            }
        }
    }
}
/// Answers all there is. Whether the answer is the last one.
fn echo(reader: &mut Reader, input: &mut &[u8], out: &mut BytesMut) -> bool {
    loop {
        match reader.next(input) {
            Ok(Some(Event::Message { kind, payload })) => {
                frame::head(kind, payload.len(), out);
                out.extend_from_slice(&payload);
            }
            Ok(Some(Event::Ping(payload))) => frame::pong(&payload, out),
            Ok(Some(Event::Pong(_))) => {}
            Ok(Some(Event::Close { code, .. })) => {
                frame::close(code, "", out);
                return true;
            }
            Ok(None) => return false,
            Err(failure) => {
                frame::close(Some(failure.code()), failure.reason(), out);
                return true;
            }
        }
    }
}
/// Closing on what the client still sends would cost it the close frame.
fn farewell(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(FAREWELL))?;
    while socket.read(buffer).is_ok_and(|read| read > 0) {}
    Ok(())
}
/// What came behind the head, and the handshake; `None` if it was refused or nobody asked.
fn open(socket: &mut TcpStream) -> io::Result<Option<(Vec<u8>, Accepted)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1 << 10];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = socket.read(&mut buffer)?;
        if read == 0 || bytes.len() + read > HEAD {
            return Ok(None);
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    };
    let behind = bytes.split_off(end + 4);
    let Some((method, version, headers)) = parse(bytes.get(..end).unwrap_or_default()) else {
        socket.write_all(&answer(StatusCode::BAD_REQUEST, &HeaderMap::new()))?;
        return Ok(None);
    };
    match handshake::check(&method, version, &headers, &[]) {
        Ok(accepted) => Ok(Some((behind, accepted))),
        Err(refusal) => {
            socket.write_all(&answer(refusal.status(), &refusal.headers()))?;
            Ok(None)
        }
    }
}
/// A head without its empty line.
fn parse(head: &[u8]) -> Option<(Method, Version, HeaderMap)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let method = words.next()?.parse().ok()?;
    let version = match (words.next()?, words.next()?) {
        (_, "HTTP/1.1") => Version::HTTP_11,
        (_, "HTTP/1.0") => Version::HTTP_10,
        _ => return None,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = HeaderValue::from_str(value.trim_ascii()).ok()?;
        headers.append(name.parse::<HeaderName>().ok()?, value);
    }
    Some((method, version, headers))
}
fn answer(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if status == StatusCode::SWITCHING_PROTOCOLS {
        b"\r\n"
    } else {
        b"connection: close\r\ncontent-length: 0\r\n\r\n"
    });
    out
}
