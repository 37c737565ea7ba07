//! Connections: accepting them, bounding them, speaking HTTP/1.1 on them and
//! letting them finish at the end.
//!
//! What each limit rests on: the number of connections on a semaphore taken
//! before `accept`; headers (size, number, time, and so idle connections) on
//! hyper; a client that does not take its answer on [`Guarded`]; a body that does
//! not arrive on whoever reads it.

mod guarded;
mod held;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use costrel_protocol::TlsVersion;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use guarded::Guarded;
use held::Held;
pub use tls::{Certificate, TlsError};

use crate::metrics::Metrics;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
    /// What it wants to know of the connection that a request came over.
    type Connection: Send + Sync;

    fn connection(peer: SocketAddr, tls: Option<TlsVersion>) -> Self::Connection;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Self::Connection,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to a head that exceeds the limit or cannot be read. The request
    /// stands for the latter if it did not become one.
    fn refuse(
        self: &Arc<Self>,
        status: StatusCode,
        request: Request<Incoming>,
        connection: &Self::Connection,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What stands for a head that could not be read, so that its refusal is an
/// answer like any other.
const UNREADABLE: &[u8] = b"UNREADABLE / HTTP/1.1\r\nConnection: close\r\n\r\n";

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// Bytes of a request's line and headers, at least 8192.
    pub header_size: usize,
    pub header_count: usize,
    /// For a request's headers, from the end of the request before.
    pub header_timeout: Duration,
    /// For a client to take a byte of its answer.
    pub stall_timeout: Duration,
}

/// Serves connections of one or more sockets under common limits.
pub struct Acceptor<H> {
    handler: Arc<H>,
    limits: Limits,
    http: http1::Builder,
    metrics: Arc<Metrics>,
    slots: Arc<Semaphore>,
    drain: watch::Sender<bool>,
}

/// Pause after a failed `accept`: usually descriptors ran out, and trying again
/// at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

impl<H: Handler> Acceptor<H> {
    pub fn new(handler: Arc<H>, limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // Who has said everything may close their side and still wants the answer.
            .half_close(true)
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.header_count)
            // hyper's bound for a head that is still incomplete; what it takes in one
            // read may be larger, so `speak` judges again. Bodies pass through
            // buffers of this size.
            .max_buf_size(limits.header_size);
        Arc::new(Acceptor {
            handler,
            limits,
            http,
            metrics,
            slots: Arc::new(Semaphore::new(limits.connections)),
            drain: watch::Sender::new(false),
        })
    }

    /// Accepts until [`Acceptor::drain`] is called.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let mut drain = self.drain.subscribe();
        tokio::select! {
            biased;
            _ = drain.wait_for(|drain| *drain) => {}
            () = self.accept_forever(&listener, tls) => {}
        }
    }

    async fn accept_forever(self: &Arc<Self>, listener: &TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.metrics.connections_total.fetch_add(1, Relaxed);
                    tokio::spawn(self.clone().connection(stream, peer, tls.clone(), slot));
                }
                // The client gave up while it waited; nothing of ours failed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Stops accepting, lets running requests finish and closes idle connections.
    /// Returns whether all was done within the limit.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.drain.send_replace(true);
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        tokio::time::timeout(limit, self.slots.acquire_many(all)).await.is_ok()
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        slot: OwnedSemaphorePermit,
    ) {
        self.metrics.connections.enter();
        self.secure_and_speak(stream, peer, tls).await;
        self.metrics.connections.leave();
        drop(slot);
    }

    async fn secure_and_speak(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) {
        // Without it, small answers wait for the acknowledgement of the last ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection ended before it began");
            return;
        }
        let served = match tls {
            None => self.speak(stream, H::connection(peer, None)).await,
            Some(tls) => {
                match tokio::time::timeout(self.limits.header_timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let version = tls::version(&stream);
                        self.speak(stream, H::connection(peer, Some(version))).await
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "TLS handshake failed");
                        return;
                    }
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    async fn speak<S>(&self, stream: S, info: H::Connection) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let guarded = Guarded::new(stream, self.limits.stall_timeout, self.drain.subscribe());
        let mut stream = Held::new(guarded);
        let Err(error) = self.converse(&mut stream, &info, None).await else {
            return stream.finish().await;
        };
        let refusal = if error.is_parse() { stream.take_refusal() } else { None };
        if refusal.is_some() {
            let stream = tokio::io::join(UNREADABLE, &mut stream);
            self.converse(stream, &info, refusal).await.map_err(io::Error::other)?;
        }
        Err(io::Error::other(error))
    }

    /// Lets hyper read requests and write their answers, or one refusal.
    async fn converse<S>(
        &self,
        stream: S,
        info: &H::Connection,
        refusal: Option<StatusCode>,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let service = service_fn(async |request| {
            let too_large = head_size(&request) > self.limits.header_size;
            let refusal = refusal.or(too_large.then_some(TOO_LARGE));
            Ok::<_, Infallible>(match refusal {
                Some(status) => self.handler.refuse(status, request, info).await,
                None => self.handler.handle(request, info).await,
            })
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut drain = self.drain.subscribe();
        tokio::select! {
            biased;
            done = connection.as_mut() => return done,
            _ = drain.wait_for(|drain| *drain) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

/// Bytes of a request's line and headers as they stood on the wire, but for
/// optional blanks.
fn head_size(request: &Request<Incoming>) -> usize {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len() + "http://".len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields = request.headers().iter();
    line + fields
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum::<usize>()
}
