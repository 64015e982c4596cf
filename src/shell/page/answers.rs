//! What is answered to a request: who may ask, which view it is, and the headers
//! that keep a browser from doing more than showing it.

use super::access::{Access, Denied, Token};
use super::headers::{cookie, hex, is_foreign, is_named_here, no_cookie, session};
use super::live::{Live, Snapshot};
use super::metrics;
use super::render::frame::{Frame, View, document};
use super::render::{enter, overview, walk};
use super::server::Peer;
use super::signals::{Period, SignalReader};
use super::stream::{self, Watched};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::response::Builder;
use hyper::{Method, Request, Response, StatusCode};
use pendant_protocol::PendantId;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use zeroize::Zeroizing;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Browsers that are told of changes; the next one asks again by itself.
const STREAMS_MAX: usize = 8;
/// `code=1234-5678` and some room.
const FORM_BYTES_MAX: usize = 256;
const FORM_WAIT: Duration = Duration::from_secs(5);
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What one port serves.
#[derive(Debug)]
pub(super) enum Site {
    Page(Page),
    Metrics(Arc<Live>),
}

/// Who is let in.
#[derive(Debug)]
pub(super) enum Door {
    /// Everybody on this machine; browsers only under a name of this machine.
    Loopback,
    /// Whoever traded a code.
    Code(Arc<Mutex<Access>>),
}

#[derive(Debug)]
pub(super) struct Page {
    frame: Frame,
    door: Door,
    live: Arc<Live>,
    signals: SignalReader,
    streams: Arc<Semaphore>,
}

impl Site {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Result<Response<Body>, Infallible> {
        Ok(match self {
            Self::Page(page) => page.answer(request, peer).await,
            Self::Metrics(live) => metrics_answer(live, &request).await,
        })
    }
}

async fn metrics_answer(live: &Live, request: &Request<Incoming>) -> Response<Body> {
    if !is_named_here(request.headers()) {
        return wrong_host();
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match live.snapshot().await {
            Some(snapshot) => {
                full(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&snapshot.status))
            }
            None => no_answer(),
        },
        (&Method::GET | &Method::HEAD, _) => plain(StatusCode::NOT_FOUND, "only /metrics is here"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "metrics are only read"),
    }
}

impl Page {
    pub(super) fn new(frame: Frame, door: Door, live: Arc<Live>, signals: SignalReader) -> Self {
        Self { frame, door, live, signals, streams: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }

    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let access = match &self.door {
            Door::Loopback if !is_named_here(request.headers()) => return wrong_host(),
            Door::Loopback => None,
            Door::Code(access) => Some(access),
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_foreign(request.headers(), is_read) {
            return plain(StatusCode::FORBIDDEN, "another site's page may not ask here");
        }
        if let Some(access) = access {
            match path.as_str() {
                "/enter" if is_read => return self.show(StatusCode::OK, &enter::view(None)),
                "/enter" => return self.enter(access, request, peer).await,
                _ => {}
            }
            let token = session(request.headers());
            let Some(token) = token.filter(|token| locked(access).admits(token, Instant::now()))
            else {
                return match path.as_str() {
                    "/" | "/walk" => redirect("/enter"),
                    _ => plain(StatusCode::UNAUTHORIZED, "the code of /enter is needed first"),
                };
            };
            if path == "/leave" && request.method() == Method::POST {
                locked(access).end(&token);
                return ended();
            }
        }
        if !is_read {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here");
        }
        self.view(&path, request.uri().query().unwrap_or_default(), peer).await
    }

    async fn view(&self, path: &str, query: &str, peer: &Peer) -> Response<Body> {
        if path == "/walk" {
            if let Some(number) = parameter(query, "pendant") {
                return match number.trim().parse::<PendantId>() {
                    Ok(pendant) => redirect(&format!("/walk/{pendant}")),
                    Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
                };
            }
        }
        let Some(watched) = watched(path, query) else {
            return plain(StatusCode::NOT_FOUND, "there is no such page");
        };
        let Some(snapshot) = self.live.snapshot().await else { return no_answer() };
        if path == "/live" {
            let Ok(place) = self.streams.clone().try_acquire_owned() else {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "too many browsers look on");
            };
            peer.is_stream.store(true, Ordering::Relaxed);
            return stream::answer(self.live.clone(), watched, place);
        }
        let period = if parameter(query, "days") == Some("7") { Period::Week } else { Period::Day };
        let view = self.view_of(watched, &snapshot, period).await;
        self.show(StatusCode::OK, &view)
    }

    async fn view_of(
        &self,
        watched: Watched,
        snapshot: &Snapshot,
        period: Period,
    ) -> View<'static> {
        match watched {
            Watched::Overview => {
                let signals = match snapshot.unix_s {
                    Some(now) => self.signals.signals(period, now).await,
                    None => None,
                };
                View {
                    title: "Overview",
                    live: Some("/live".into()),
                    here: "/",
                    main: overview::main(snapshot, period, signals.as_deref()),
                }
            }
            Watched::Walk => View {
                title: "Walk test",
                live: Some("/live?walk".into()),
                here: "/walk",
                main: walk::list_main(snapshot),
            },
            Watched::Pendant(pendant) => View {
                title: "Walk test",
                live: Some(format!("/live?pendant={pendant}")),
                here: "/walk/",
                main: format!(
                    "<p>Pendant <b>{pendant}</b></p>{}",
                    walk::one_main(snapshot, pendant)
                ),
            },
        }
    }

    async fn enter(
        &self,
        access: &Mutex<Access>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Body> {
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "the code comes by POST");
        }
        let form = Limited::new(request.into_body(), FORM_BYTES_MAX).collect();
        let Ok(Ok(form)) = tokio::time::timeout(FORM_WAIT, form).await else {
            return plain(StatusCode::BAD_REQUEST, "this is not the form of /enter");
        };
        let form = Zeroizing::new(form.to_bytes().to_vec());
        let typed = std::str::from_utf8(&form).ok().and_then(|form| parameter(form, "code"));
        let mut token = Token::default();
        if getrandom::fill(&mut token).is_err() {
            return no_answer();
        }
        let from = peer.address.ip();
        let traded = locked(access).trade(typed.unwrap_or(""), from, &token, Instant::now());
        match traded {
            Ok(()) => {
                tracing::info!(%from, "a browser was let in to the page");
                let mut response = redirect("/");
                response.headers_mut().insert(header::SET_COOKIE, cookie(&token));
                response
            }
            Err(denied) => {
                // Bounded: an address has a few attempts a minute.
                if denied == Denied::Wrong {
                    tracing::warn!(%from, "a wrong code for the page");
                }
                let status = match denied {
                    Denied::Wrong => StatusCode::FORBIDDEN,
                    Denied::TooMany => StatusCode::TOO_MANY_REQUESTS,
                };
                self.show(status, &enter::view(Some(denied)))
            }
        }
    }

    fn show(&self, status: StatusCode, view: &View<'_>) -> Response<Body> {
        let mut nonce = [0; 16];
        if getrandom::fill(&mut nonce).is_err() {
            return no_answer();
        }
        let nonce = hex(&nonce);
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
             connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        let mut response = full(status, HTML, document(&self.frame, view, &nonce));
        let policy = HeaderValue::try_from(policy).expect("it is ASCII");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }
}

/// Which view a path is, or, for the stream, is meant for.
fn watched(path: &str, query: &str) -> Option<Watched> {
    let pendant = |number: &str| number.parse().ok().map(Watched::Pendant);
    match path {
        "/" => Some(Watched::Overview),
        "/walk" => Some(Watched::Walk),
        "/live" => match (query, parameter(query, "pendant")) {
            ("", _) => Some(Watched::Overview),
            ("walk", _) => Some(Watched::Walk),
            (_, Some(number)) => pendant(number),
            _ => None,
        },
        _ => path.strip_prefix("/walk/").and_then(pendant),
    }
}

/// A parameter as it stands; nothing that is asked for here needs an escape.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let of = |pair: &'q str| pair.split_once('=').filter(|(key, _)| *key == name);
    query.split('&').find_map(of).map(|(_, value)| value)
}

fn ended() -> Response<Body> {
    let mut response = redirect("/enter");
    response.headers_mut().insert(header::SET_COOKIE, no_cookie());
    response
}

/// What another thread's panic left is whole: each change is one assignment.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With the headers that every answer bears.
pub(super) fn builder(status: StatusCode, content_type: &str) -> Builder {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header("cross-origin-resource-policy", "same-origin")
        .header("cross-origin-opener-policy", "same-origin")
}

fn full(status: StatusCode, content_type: &str, text: String) -> Response<Body> {
    let response = builder(status, content_type).body(Full::new(Bytes::from(text)).boxed());
    response.expect("its headers are ours")
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    full(status, TEXT, format!("{text}\n"))
}

fn redirect(path: &str) -> Response<Body> {
    let mut response = plain(StatusCode::SEE_OTHER, path);
    let path = HeaderValue::try_from(path).expect("it is ASCII");
    response.headers_mut().insert(header::LOCATION, path);
    response
}

fn wrong_host() -> Response<Body> {
    plain(StatusCode::MISDIRECTED_REQUEST, "ask under a name of this machine, such as localhost")
}

fn no_answer() -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "the gateway gives no answer; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_views_and_nothing_else_is() {
        let pendant = |number| PendantId::new(number).map(Watched::Pendant);
        assert_eq!(watched("/", "days=7"), Some(Watched::Overview));
        assert_eq!(watched("/walk/00012f", ""), pendant(0x12f));
        assert_eq!(watched("/live", "pendant=00012f"), pendant(0x12f));
        assert_eq!(watched("/live", "walk"), Some(Watched::Walk));
        for (path, query) in [("/walk/", ""), ("/walk/../x", ""), ("/live", "x"), ("/metrics", "")]
        {
            assert_eq!(watched(path, query), None, "{path}");
        }
    }
}
