//! HTTP/1.1 on one port, with a bound on all that a peer can cost: connections,
//! header, time. One request a connection; a stream has a longer life.

use super::answers::Site;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections at once; the next one is closed at once.
pub(super) const CONNECTIONS_MAX: usize = 24;
/// For the TLS handshake, and then for the request's head.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// From the first byte to the last of the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// A browser asks again by itself for a stream that has ended.
pub(super) const STREAM_LASTS: Duration = Duration::from_secs(600);
/// The least that hyper takes.
const HEAD_BYTES_MAX: usize = 8192;
const HEADERS_MAX: usize = 64;

/// What a request's service knows of its connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Set by an answer that goes on.
    pub(super) is_stream: Arc<AtomicBool>,
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "page");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        // Closed at once: whoever waits would wait for those who hold on.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (acceptor, site) = (acceptor.clone(), site.clone());
        tokio::spawn(async move {
            converse(stream, address, acceptor, site).await;
            drop(place);
        });
    }
}

async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    site: Arc<Site>,
) {
    match acceptor {
        None => answer(stream, address, site).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HEAD_WAIT, acceptor.accept(stream)).await {
                answer(stream, address, site).await;
            }
        }
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, address: SocketAddr, site: Arc<Site>) {
    let peer = Peer { address, is_stream: Arc::default() };
    let is_stream = peer.is_stream.clone();
    let service = service_fn(move |request| {
        let (site, peer) = (site.clone(), peer.clone());
        async move { site.answer(request, &peer).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let give_up = async {
        sleep(ANSWER_WAIT).await;
        if is_stream.load(Ordering::Relaxed) {
            sleep(STREAM_LASTS).await;
        }
    };
    // A peer that goes away, or is cut, concerns nobody.
    tokio::select! { _ = connection => {} () = give_up => {} }
}
