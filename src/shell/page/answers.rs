//! What is answered to a request: who may ask, which view it is, and the headers
//! that keep a browser from doing more than showing it.

use super::access::{Access, Denied, SESSION_LASTS, Token};
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
use hyper::header::{self, HeaderMap, HeaderValue};
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
const COOKIE: &str = "__Host-session";
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
        if is_foreign(request.headers()) {
            return plain(StatusCode::FORBIDDEN, "another site's page may not ask here");
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
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

/// Against a foreign page whose name suddenly means this machine (DNS rebinding): its
/// browser still says the foreign name. A tunnel's end may have any port.
fn is_named_here(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

/// Browsers say from where a request comes. Links from elsewhere may lead here.
fn is_foreign(headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate")
        || says("sec-fetch-site", "same-site") && !says("sec-fetch-mode", "navigate")
}

fn session(headers: &HeaderMap) -> Option<Token> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let value = cookies.split(';').find_map(|pair| {
        pair.trim().split_once('=').filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
    })?;
    let mut token = Token::default();
    let digits = value.as_bytes();
    if digits.len() != 2 * token.len() {
        return None;
    }
    for (byte, pair) in token.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(token)
}

fn cookie(token: &Token) -> HeaderValue {
    let text = format!(
        "{COOKIE}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        hex(token),
        SESSION_LASTS.as_secs()
    );
    let mut value = HeaderValue::try_from(text).expect("it is ASCII");
    value.set_sensitive(true);
    value
}

fn ended() -> Response<Body> {
    let mut response = redirect("/enter");
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");
    let gone = HeaderValue::try_from(gone).expect("it is ASCII");
    response.headers_mut().insert(header::SET_COOKIE, gone);
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::try_from(value).expect("a value");
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value)])
    }

    #[test]
    fn only_names_of_this_machine_are_answered_to() {
        for host in ["127.0.0.1", "127.0.0.1:8080", "localhost:9", "LOCALHOST", "[::1]:8080"] {
            assert!(is_named_here(&headers("host", host)), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "192.0.2.7"]
        {
            assert!(!is_named_here(&headers("host", host)), "{host}");
        }
        assert!(!is_named_here(&HeaderMap::new()));
    }

    #[test]
    fn a_session_is_read_back_from_its_cookie() {
        let token = [0xAB; 16];
        let set = cookie(&token);
        let pair = set.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
        assert_eq!(session(&headers("cookie", &format!("a=b; {pair}; c=d"))), Some(token));
        for other in ["", "a=b", "__Host-session=", "__Host-session=zz", &format!("{pair}00")] {
            assert_eq!(session(&headers("cookie", other)), None, "{other}");
        }
    }

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
