//! The local page and metrics: HTTP for a browser and for a collector on site.
//!
//! A client of the loop's question channel, as the control socket is: it shows what
//! `status` and `survey` say and the history of signals, which are apparent facts
//! only (P5), and changes nothing. It has a thread of its own, so that neither
//! drawing nor a flood of connections takes a turn of the loop. Whatever is wrong
//! with it is shown in `status` and tried again; the gateway runs on.

mod access;
mod answers;
mod certificate;
mod headers;
mod live;
mod metrics;
mod render;
mod server;
mod signals;
mod stream;

use super::clock;
use super::control::Asked;
use super::history::HistoryReader;
use crate::config::{self, Config};
use access::{Access, CODE_LASTS};
use answers::{Door, Page, Site, locked};
use certificate::{is_outdated, page_tls};
use live::Live;
use render::frame::Frame;
use serde_json::{Value, json};
use signals::SignalReader;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// How often a port that cannot be had is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// How often the clock is looked at: it may be set only after the certificate was made.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// The outer end. Dropped, nothing is served any more.
#[derive(Debug, Default)]
pub struct LocalPage {
    page: Option<Shown>,
    metrics: Option<Port>,
    _stop: Option<oneshot::Sender<()>>,
}

#[derive(Clone, Debug)]
struct Shown {
    port: Port,
    access: Option<Arc<Mutex<Access>>>,
}

/// A port, and how it fares.
#[derive(Clone, Debug)]
struct Port {
    address: SocketAddr,
    state: Arc<Mutex<PortState>>,
}

#[derive(Clone, Debug, Default)]
struct PortState {
    fault: Option<String>,
    /// Of the certificate with which it speaks.
    fingerprint: Option<String>,
}

impl LocalPage {
    /// Starts what the configuration wants; nothing listens unless it does.
    #[must_use]
    pub fn start(config: &Config, asked: mpsc::Sender<Asked>, history: HistoryReader) -> Self {
        if config.page.is_none() && config.metrics.is_none() {
            return Self::default();
        }
        let live = Arc::new(Live::new(asked));
        let (stop, stopped) = oneshot::channel();
        let mut served = Vec::new();
        let page = config.page.as_ref().map(|page| {
            let shown = Shown::new(page);
            let door = match &shown.access {
                None => Door::Loopback,
                Some(access) => Door::Code(access.clone()),
            };
            let frame = Frame {
                site: config.site.to_string(),
                gateway: config.gateway.to_string(),
                has_session: shown.access.is_some(),
            };
            let site = Site::Page(Page::new(frame, door, live.clone(), SignalReader::new(history)));
            served.push(Served {
                port: shown.port.clone(),
                tls: Tls::of(page, config),
                site: Arc::new(site),
            });
            shown
        });
        let metrics = config.metrics.map(|metrics| {
            let port = Port::new(metrics.listen.address());
            let site = Arc::new(Site::Metrics(live));
            served.push(Served { port: port.clone(), tls: None, site });
            port
        });
        if let Err(error) = spawn(served, stopped) {
            tracing::error!(error, "the page and metrics are not served");
            let ports = page.iter().map(|shown| &shown.port).chain(&metrics);
            ports.for_each(|port| port.set(Err(error.clone())));
        }
        Self { page, metrics, _stop: Some(stop) }
    }

    /// What `status` says of it: nothing of who looks on.
    #[must_use]
    pub fn status(&self) -> Value {
        let state = |port: &Port| json!({ "listen": port.address.to_string(), "fault": locked(&port.state).fault });
        json!({
            "page": self.page.as_ref().map(|shown| state(&shown.port)),
            "metrics": self.metrics.as_ref().map(state),
        })
    }

    /// Where the page is, and what its certificate looks like.
    #[must_use]
    pub fn about(&self) -> Value {
        let Some(shown) = &self.page else { return json!({ "page": null }) };
        let state = locked(&shown.port.state).clone();
        let sessions = shown.access.as_ref().map(|access| locked(access).sessions(Instant::now()));
        json!({ "page": {
            "address": shown.address(),
            "fault": state.fault,
            "fingerprint_sha256": state.fingerprint,
            "sessions": sessions,
        }})
    }

    /// A new one-time code, for the installer who asks; the one before is void.
    #[must_use]
    pub fn code(&self) -> Value {
        let Some(shown) = &self.page else {
            return json!({ "error": "the page is off: write listen = \"0.0.0.0:8443\" below [page]" });
        };
        let Some(access) = &shown.access else {
            return json!({ "error": "the page is for this machine alone, and needs no code" });
        };
        let mut random = [0; 8];
        if let Err(error) = getrandom::fill(&mut random) {
            return json!({ "error": format!("the kernel's random numbers: {error}") });
        }
        let code = locked(access).new_code(u64::from_le_bytes(random), Instant::now());
        let state = locked(&shown.port.state).clone();
        json!({
            "code": code.as_str(),
            "valid_s": CODE_LASTS.as_secs(),
            "address": shown.address(),
            "fault": state.fault,
            "fingerprint_sha256": state.fingerprint,
        })
    }
}

impl Shown {
    fn new(page: &config::Page) -> Self {
        let access = match page {
            config::Page::Loopback { .. } => None,
            config::Page::Interface { .. } => Some(Arc::default()),
        };
        Self { port: Port::new(page.address()), access }
    }

    fn address(&self) -> String {
        let scheme = if self.access.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.port.address)
    }
}

impl Port {
    fn new(address: SocketAddr) -> Self {
        Self { address, state: Arc::default() }
    }

    fn set(&self, fingerprint: Result<Option<String>, String>) {
        let state = match fingerprint {
            Ok(fingerprint) => PortState { fault: None, fingerprint },
            Err(fault) => PortState { fault: Some(fault), fingerprint: None },
        };
        *locked(&self.state) = state;
    }
}

/// One port, and all that it needs.
struct Served {
    port: Port,
    tls: Option<Tls>,
    site: Arc<Site>,
}

/// With what certificate it speaks.
struct Tls {
    files: Option<config::PageCertificate>,
    name: String,
}

impl Tls {
    fn of(page: &config::Page, config: &Config) -> Option<Self> {
        match page {
            config::Page::Loopback { .. } => None,
            config::Page::Interface { certificate, .. } => {
                Some(Self { files: certificate.clone(), name: config.gateway.to_string() })
            }
        }
    }
}

fn spawn(served: Vec<Served>, stopped: oneshot::Receiver<()>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let run = move || {
        runtime.block_on(async {
            for served in served {
                tokio::spawn(keep_serving(served, unix_now));
            }
            // Ends also when the other end was dropped; then all tasks end with the runtime.
            let _ = stopped.await;
        });
    };
    let thread = thread::Builder::new().name("page".into()).spawn(run);
    thread.map(drop).map_err(|error| error.to_string())
}

fn unix_now() -> Duration {
    Duration::from_secs(u64::try_from(clock::unix_s()).unwrap_or(0))
}

async fn keep_serving(served: Served, unix_now: impl Fn() -> Duration) {
    let mut said = None;
    loop {
        let opened = unix_now();
        match open(&served, opened).await {
            Ok((listener, tls)) => {
                tracing::info!(listen = %served.port.address, "served");
                said = None;
                let serve = server::serve(listener, tls, served.site.clone());
                // Whoever is connected stays.
                tokio::select! {
                    () = serve => {}
                    () = outdated(opened, &unix_now), if served.tls.is_some() => {}
                }
            }
            Err(fault) => {
                served.port.set(Err(fault.clone()));
                if said.as_ref() != Some(&fault) {
                    tracing::error!(listen = %served.port.address, fault, "not served; trying again");
                    said = Some(fault);
                }
                sleep(RETRY_EVERY).await;
            }
        }
    }
}

/// Waits until a certificate that was read, or made, at `since` is better made anew.
async fn outdated(since: Duration, unix_now: impl Fn() -> Duration) {
    while !is_outdated(since, unix_now()) {
        sleep(CLOCK_EVERY).await;
    }
}

type Open = (TcpListener, Option<Arc<rustls::ServerConfig>>);

async fn open(served: &Served, unix_now: Duration) -> Result<Open, String> {
    let address = served.port.address;
    let tls = served.tls.as_ref();
    let tls = tls.map(|tls| page_tls(tls.files.as_ref(), &tls.name, address.ip(), unix_now));
    let tls = tls.transpose()?;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        format!(
            "cannot listen on {address}: {error}; write another address or port, or end what has it"
        )
    })?;
    served.port.set(Ok(tls.as_ref().map(|tls| tls.fingerprint.clone())));
    Ok((listener, tls.map(|tls| tls.config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test(start_paused = true)]
    async fn the_own_certificate_is_made_anew_when_the_clock_is_set() {
        let port = Port::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (asked, _) = mpsc::channel(1);
        let served = Served {
            port: port.clone(),
            tls: Some(Tls { files: None, name: "gw1".to_owned() }),
            site: Arc::new(Site::Metrics(Arc::new(Live::new(asked)))),
        };
        let now_s = Arc::new(AtomicU64::new(17));
        let clock = now_s.clone();
        tokio::spawn(keep_serving(served, move || {
            Duration::from_secs(clock.load(Ordering::Relaxed))
        }));
        let fingerprint = || locked(&port.state).fingerprint.clone();
        sleep(RETRY_EVERY).await;
        let unset = fingerprint().expect("it is served with an unset clock");
        sleep(4 * CLOCK_EVERY).await;
        assert_eq!(fingerprint(), Some(unset.clone()), "nothing has changed");
        now_s.store(1_800_000_000, Ordering::Relaxed);
        sleep(4 * CLOCK_EVERY).await;
        assert_ne!(fingerprint().expect("it is served"), unset);
    }
}
