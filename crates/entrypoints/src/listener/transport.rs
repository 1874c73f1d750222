//! What carries the bytes of a client: its socket, or TLS over it. Either way what is written is on its way, or the next write waits.
use bytes::Bytes;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// A client's bytes, in both directions. What only TLS needs is behind a pointer, so that plain connections do not pay for it.
pub(super) enum Transport {
    Plain(Front),
    Tls(Box<TlsStream<Front>>),
}
/// A socket of which some bytes were read already.
pub(super) struct Front {
    tcp: TcpStream,
    /// They come first.
    early: Bytes,
}
impl Front {
    pub(super) fn new(tcp: TcpStream, early: Bytes) -> Self {
        Self { tcp, early }
    }
    /// The first byte there is, which stays; `None`: the client has gone.
    pub(super) async fn first(&self) -> io::Result<Option<u8>> {
        if let Some(first) = self.early.first() {
            return Ok(Some(*first));
        }
        let mut first = [0];
        Ok(match self.tcp.peek(&mut first).await? {
            0 => None,
            _ => first.first().copied(),
        })
    }
}
impl Transport {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self::Plain(Front::new(tcp, Bytes::new()))
    }
    /// The socket itself, for its options.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(front) => &front.tcp,
            Self::Tls(tls) => &tls.get_ref().0.tcp,
        }
    }
    /// Encrypted bytes that the socket did not take yet go first: else nobody might come back for them.
    fn poll_sent(tls: &mut TlsStream<Front>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if tls.get_ref().1.wants_write() {
            return Pin::new(tls).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }
}
impl AsyncRead for Front {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}
impl AsyncWrite for Front {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let tcp = Pin::new(&mut self.tcp);
        match parts {
            // As TLS writes every record: the system has a shorter way for one.
            [one] => tcp.poll_write(cx, one),
            parts => tcp.poll_write_vectored(cx, parts),
        }
    }
    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(front) => Pin::new(front).poll_read(cx, buf),
            Self::Tls(tls) => {
                // Whoever waits for words of the client is woken by a socket that takes more, too.
                if let Poll::Ready(Err(error)) = Self::poll_sent(tls, cx) {
                    return Poll::Ready(Err(error));
                }
                Pin::new(tls).poll_read(cx, buf)
            }
        }
    }
}
impl AsyncWrite for Transport {
    /// What counts as written is with the system, all but one record of TLS, which goes before anything else.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(front) => Pin::new(front).poll_write(cx, bytes),
            Self::Tls(tls) => {
                ready!(Self::poll_sent(tls, cx))?;
                Pin::new(tls).poll_write(cx, bytes)
            }
        }
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(front) => Pin::new(front).poll_write_vectored(cx, parts),
            Self::Tls(tls) => {
                ready!(Self::poll_sent(tls, cx))?;
                Pin::new(tls).poll_write_vectored(cx, parts)
            }
        }
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(front) => front.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(front) => Pin::new(front).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(front) => Pin::new(front).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::tls::{Identities, Own, Tls};
    use futures::future::poll_fn;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        time::Duration,
    };
    use tidegate_core::tasks;
    use tidegate_testkit::{Authority, Trust};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// Nobody writes or flushes any more; whoever listens to the client sends the rest.
    #[tokio::test]
    async fn what_the_socket_did_not_take_is_sent_while_the_client_is_listened_to() {
        let authority = Authority::new("test");
        let (certificate, key) = authority.sign("server".into());
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let tls = Tls::new(Identities {
            own: vec![Own::new(chain, key, Vec::new()).unwrap()],
            clients: Vec::new(),
            newest_only: true,
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(
            async {
                let socket = TcpStream::connect(address).await.unwrap();
                Trust::new(&authority, &[]).connect(socket).await.unwrap()
            },
            async {
                let (socket, _) = listener.accept().await.unwrap();
                let front = Front::new(socket, Bytes::new());
                tls.accept(front).await.ok().unwrap()
            }
        );
        let (mut client, mut server) = (client, server);
        let held = |server: &Transport| match server {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.get_ref().1.wants_write(),
        };
        // Until the socket is full in the middle of a record, which counts as written.
        let mut written = 0;
        while !held(&server) {
            written += server.write(&[b'x'; 1_000]).await.unwrap();
        }
        let (read, heard) = (AtomicUsize::new(0), AtomicBool::new(false));
        let listening = async {
            let mut word = [0; 4];
            server.read_exact(&mut word).await.unwrap();
            heard.store(true, Ordering::Relaxed);
            assert!(!held(&server));
        };
        let reading = async {
            let mut taken = vec![0; 64 << 10];
            while read.load(Ordering::Relaxed) < written {
                let more = client.read(&mut taken).await.unwrap();
                read.fetch_add(more, Ordering::Relaxed);
            }
            client.write_all(b"done").await.unwrap();
        };
        let both = async { tokio::join!(listening, reading) };
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("it is sent");
        assert_eq!((read.into_inner(), heard.into_inner()), (written, true));
        // A write waits for what is held, and so does the end.
        while !held(&server) {
            written = server.write(&[b'x'; 1_000]).await.unwrap();
        }
        let more = poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_write(cx, b"more"))).await;
        assert!(more.is_pending() && written > 0);
        let ending = tasks::spawn(async move { server.shutdown().await.unwrap() });
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        ending.ended().await;
        assert!(rest.iter().all(|byte| *byte == b'x'));
    }
}
