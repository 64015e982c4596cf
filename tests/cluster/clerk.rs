//! A centre that speaks MQTT 3.1.1 to any node of a cluster, books what it hears, receipts
//! it only then, and measures how old what is urgent was.

use crate::ledger::{Acknowledged, Counts, Ledger};
use crate::mosquitto::{Authority, Identity};
use crate::site::SOON;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, TlsConfiguration, Transport,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Receipts that may wait to be sent.
const RECEIPTS_MAX: usize = 4096;
/// A node that does not let us in by then is given up.
const PATIENCE: Duration = Duration::from_secs(8);
/// What was heard at a node's death or so long after it counts as heard during it.
const DEATH: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Books {
    ledger: Ledger,
    known: BTreeSet<String>,
    /// When the gateway heard it (since 1970), and how much later it came here first.
    urgent: Vec<(Duration, Duration)>,
    /// Who lets the centre in, and how long it was without any.
    gaps: Vec<Duration>,
}

pub(crate) struct Clerk {
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().expect("no clerk panics")
}

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "events bear the time of this clock")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

impl Clerk {
    /// Listens at these ports of this machine, at one at a time. Returns once it hears.
    pub(crate) async fn start(authority: &Authority, who: &Identity, ports: Vec<u16>) -> Self {
        let tls = authority.client_tls(who);
        let books = Arc::<Mutex<Books>>::default();
        let (heard, mut hears) = tokio::sync::watch::channel(false);
        let book = Arc::clone(&books);
        let task = tokio::spawn(async move {
            let mut away = Instant::now();
            for port in ports.iter().cycle() {
                let mut options = MqttOptions::new("centre", "localhost", *port);
                options
                    .set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::clone(&tls))))
                    .set_clean_session(false)
                    .set_keep_alive(Duration::from_secs(5));
                // A fresh one each time: what the library keeps of an old line is lost or
                // doubled.
                let (client, mut events) = AsyncClient::new(options, RECEIPTS_MAX);
                if serve(&client, &mut events, &book, || {
                    lock(&book).gaps.push(away.elapsed());
                    heard.send_replace(true);
                })
                .await
                {
                    away = Instant::now();
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        let up = timeout(SOON, hears.wait_for(|hears| *hears)).await;
        up.expect("a node lets the centre in").expect("the clerk goes on");
        Self { books, task }
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.books).ledger.counts()
    }

    /// Waits until nothing is wrong any more; what is, if that does not come.
    pub(crate) async fn judge(&self, acknowledged: &BTreeSet<Acknowledged>) -> Vec<String> {
        let give_up = Instant::now() + SOON;
        loop {
            let wrong = lock(&self.books).ledger.judge(acknowledged);
            if wrong.is_empty() || Instant::now() > give_up {
                return wrong;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How late the urgent came, for all and for what was heard during a death.
    pub(crate) fn delays(&self, deaths: &[Duration]) -> String {
        let books = lock(&self.books);
        let during = |at: Duration| {
            deaths.iter().any(|death| at + DEATH / 15 >= *death && at <= *death + DEATH)
        };
        let (dying, well): (Vec<_>, Vec<_>) =
            books.urgent.iter().copied().partition(|(at, _)| during(*at));
        let longest = books.gaps.iter().skip(1).max().copied().unwrap_or_default();
        format!(
            "urgent events, heard by the gateway until first at the centre: {}; within {} s of a \
             death: {}. The centre was let in again {} times, after {} ms at most",
            stated(&well),
            DEATH.as_secs(),
            stated(&dying),
            books.gaps.len() - 1,
            longest.as_millis()
        )
    }
}

fn stated(delays: &[(Duration, Duration)]) -> String {
    let mut delays: Vec<Duration> = delays.iter().map(|(_, delay)| *delay).collect();
    delays.sort_unstable();
    let at = |share: f64| {
        let place = ((delays.len() as f64) * share) as usize;
        delays.get(place.min(delays.len().saturating_sub(1))).map_or(0, Duration::as_millis)
    };
    let count = delays.len();
    format!("{count} events, median {} ms, p99 {} ms, worst {} ms", at(0.5), at(0.99), at(1.0))
}

/// Serves until the line ends; says whether it was up.
async fn serve(
    client: &AsyncClient,
    events: &mut EventLoop,
    books: &Mutex<Books>,
    mut up: impl FnMut(),
) -> bool {
    let mut is_up = false;
    loop {
        match timeout(PATIENCE, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                let all = "lonework/v1/+/+/event/+";
                client.try_subscribe(all, QoS::AtLeastOnce).expect("there is room");
            }
            Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => {
                is_up = true;
                up();
            }
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => book(client, &publish, books),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return is_up,
        }
    }
}

fn book(client: &AsyncClient, publish: &Publish, books: &Mutex<Books>) {
    let payload = String::from_utf8_lossy(&publish.payload);
    let event: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
    let Some((gateway, _)) = publish.topic.split_once("/event/") else { return };
    let (id, data) = (event["id"].as_str().expect("an id"), &event["data"]);
    let mut books = lock(books);
    books.ledger.hear(&publish.topic, &payload);
    if books.known.insert(id.to_owned()) && data["lane"] == "urgent" {
        let time = event["time"].as_str().expect("the clock is set");
        let time = humantime::parse_rfc3339(time).expect("a time");
        let time = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        books.urgent.push((time, now().saturating_sub(time)));
    }
    let receipt = format!(r#"{{"received":{},"boot":{}}}"#, event["id"], data["boot"]);
    // Without room the event comes again.
    drop(client.try_publish(format!("{gateway}/receipt"), QoS::AtLeastOnce, false, receipt));
}
