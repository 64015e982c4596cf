//! Server-sent events: the parts of a view that have changed, once a second at
//! most.

use super::answers::{Body, builder};
use super::live::{FRESH, Live, Snapshot};
use super::render::{Parts, overview, walk};
use super::server::STREAM_LASTS;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use hyper::{Response, StatusCode};
use pendant_protocol::PendantId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// A word at least so often shows a dead line.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A browser that does not read for so long is left.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// The view that a browser has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    Overview,
    Walk,
    Pendant(PendantId),
}

fn parts(watched: Watched, snapshot: &Snapshot) -> Parts {
    match watched {
        Watched::Overview => overview::parts(snapshot),
        Watched::Walk => walk::list_parts(snapshot),
        Watched::Pendant(pendant) => walk::one_parts(snapshot, pendant),
    }
}

/// `place` is given back when the stream ends.
pub(super) fn answer(
    live: Arc<Live>,
    watched: Watched,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    let (sender, words) = mpsc::channel(1);
    tokio::spawn(async move {
        // A browser that has gone to another view needs the place there.
        tokio::select! { () = tell(&live, watched, &sender) => {} () = sender.closed() => {} }
        drop(place);
    });
    let response = builder(StatusCode::OK, "text/event-stream").body(Words(words).boxed());
    response.expect("its headers are ours")
}

/// A body that goes on as long as somebody sends.
struct Words(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Words {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|word| word.map(|word| Ok(Frame::data(word))))
    }
}

async fn tell(live: &Live, watched: Watched, sender: &mpsc::Sender<Bytes>) {
    let mut told = BTreeMap::new();
    let ends = Instant::now() + STREAM_LASTS;
    let mut spoke = Instant::now();
    let mut turns = interval(FRESH);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < ends {
        turns.tick().await;
        // The browser shows that it has lost the gateway.
        let Some(snapshot) = live.snapshot().await else { return };
        let word = match news(parts(watched, &snapshot), &mut told) {
            Some(news) => format!("data: {news}\n\n"),
            None if spoke.elapsed() >= SILENCE_MAX => ":\n\n".to_owned(),
            None => continue,
        };
        spoke = Instant::now();
        if !matches!(timeout(SEND_WAIT, sender.send(Bytes::from(word))).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The parts that are not as they were told, as one line of JSON.
fn news(parts: Parts, told: &mut BTreeMap<String, String>) -> Option<Value> {
    let mut news = Map::new();
    for (id, content) in parts {
        if told.get(&id) != Some(&content) {
            news.insert(id.clone(), content.clone().into());
            told.insert(id, content);
        }
    }
    (!news.is_empty()).then_some(Value::Object(news))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_told() {
        let mut told = BTreeMap::new();
        let part = |id: &str, content: &str| (id.to_owned(), content.to_owned());
        let first = news(vec![part("a", "1"), part("b", "x\ny")], &mut told).expect("news");
        assert!(!first.to_string().contains('\n'), "one line: {first}");
        assert_eq!(news(vec![part("a", "1"), part("b", "x\ny")], &mut told), None);
        let second = news(vec![part("a", "2"), part("b", "x\ny")], &mut told).expect("news");
        assert_eq!(second, serde_json::json!({ "a": "2" }));
    }
}
