//! What all viewers and collectors see: asked of the loop at most once a second,
//! however many look, and only while somebody does.

use crate::engine::time::Wall;
use crate::shell::clock::Clock;
use crate::shell::control::{Asked, Question};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

/// How old a snapshot may get.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// A loop that turns answers within milliseconds.
const WAIT: Duration = Duration::from_secs(3);

/// One look at the gateway.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// As `status` has it.
    pub(super) status: Value,
    /// As `survey` has it.
    pub(super) survey: Value,
    /// Seconds since 1970, if the clock was ever set.
    pub(super) unix_s: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Live {
    asked: mpsc::Sender<Asked>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    clock: Clock,
    taken: Option<(Instant, Arc<Snapshot>)>,
}

impl Live {
    pub(super) fn new(asked: mpsc::Sender<Asked>) -> Self {
        Self { asked, last: Mutex::new(Last { clock: Clock::start(), taken: None }) }
    }

    /// `None` if the loop gives no answer: it is stopping, or stuck.
    pub(super) async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        // Whoever comes meanwhile waits for the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, snapshot)) = &last.taken {
            if at.elapsed() < FRESH {
                return Some(snapshot.clone());
            }
        }
        let answers =
            async { Some((self.ask(Question::Status).await?, self.ask(Question::Survey).await?)) };
        let (status, survey) = tokio::time::timeout(WAIT, answers).await.ok()??;
        let unix_s = match last.clock.now().wall {
            Wall::Unset => None,
            Wall::Set { unix_ms, .. } => u64::try_from(unix_ms / 1000).ok(),
        };
        let snapshot = Arc::new(Snapshot { status, survey, unix_s });
        last.taken = Some((Instant::now(), snapshot.clone()));
        Some(snapshot)
    }

    async fn ask(&self, question: Question) -> Option<Value> {
        let (answer, waiting) = oneshot::channel();
        self.asked.send(Asked { question, answer }).await.ok()?;
        waiting.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn many_viewers_cost_the_loop_one_look_a_second() {
        let (asked, mut questions) = mpsc::channel::<Asked>(16);
        let looks = tokio::spawn(async move {
            let mut looks = 0;
            while let Some(asked) = questions.recv().await {
                looks += usize::from(asked.question == Question::Status);
                drop(asked.answer.send(json!({ "backlog": looks })));
            }
            looks
        });
        let live = Arc::new(Live::new(asked));
        for _ in 0..3 {
            let viewers: Vec<_> = (0..50)
                .map(|_| {
                    let live = live.clone();
                    tokio::spawn(async move { live.snapshot().await.is_some() })
                })
                .collect();
            for viewer in viewers {
                assert!(viewer.await.expect("it ends"));
            }
            tokio::time::advance(FRESH).await;
        }
        drop(live);
        assert_eq!(looks.await.expect("it ends"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_answer_is_not_waited_for() {
        let (asked, _questions) = mpsc::channel(16);
        assert!(Live::new(asked).snapshot().await.is_none());
    }
}
