//! The subscriber, and the bare publisher that is the floor. Each has a thread
//! and a runtime of its own; moments are taken there.

use crate::Outcome;
use crate::broker::Broker;
use crate::stats::{SOON, now};
use pendant_gateway::engine::payload::EVENT_WIRE_BYTES;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

const FLOOR_TOPIC: &str = "lonework/v1/ward-3/gw1/event/floor";
/// The gateway's window for its backlog.
pub(crate) const WINDOW: u16 = 128;

/// What a message is, by the end of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Urgent,
    Trouble,
    Routine,
    Floor,
}

impl From {
    fn of(topic: &[u8]) -> Option<Self> {
        match topic.rsplit(|byte| *byte == b'/').next()? {
            b"urgent" => Some(Self::Urgent),
            b"trouble" => Some(Self::Trouble),
            b"routine" => Some(Self::Routine),
            b"floor" => Some(Self::Floor),
            _ => None,
        }
    }
}

pub(crate) struct Subscriber {
    messages: std_mpsc::Receiver<(From, Instant)>,
    /// Routine events so far.
    pub(crate) routine: usize,
}

impl Subscriber {
    pub(crate) fn start(broker: &Broker) -> Outcome<Self> {
        let (client, mut events) = client(broker, "centre")?;
        client.try_subscribe("lonework/v1/+/+/event/+", QoS::AtLeastOnce)?;
        let (sender, messages) = std_mpsc::channel();
        let (ready, subscribed) = std_mpsc::channel();
        on_a_thread(async move {
            while let Ok(event) = events.poll().await {
                let at = now();
                match event {
                    Event::Incoming(Packet::Publish(publish)) => {
                        let Some(from) = From::of(&publish.topic) else { continue };
                        if sender.send((from, at)).is_err() {
                            return;
                        }
                    }
                    // Nobody waits for a second one.
                    Event::Incoming(Packet::SubAck(_)) => drop(ready.send(())),
                    _ => {}
                }
            }
        })?;
        subscribed.recv_timeout(SOON)?;
        Ok(Self { messages, routine: 0 })
    }

    /// When the next message of this kind came; others are passed over.
    pub(crate) fn next(&mut self, wanted: From) -> Outcome<Instant> {
        loop {
            let (from, at) =
                self.messages.recv_timeout(SOON).map_err(|_| format!("no {wanted:?} event"))?;
            self.routine += usize::from(from == From::Routine);
            if from == wanted {
                return Ok(at);
            }
        }
    }
}

pub(crate) struct Publisher {
    counts: mpsc::UnboundedSender<usize>,
    begun: std_mpsc::Receiver<Instant>,
}

impl Publisher {
    pub(crate) fn start(broker: &Broker) -> Outcome<Self> {
        let (client, mut events) = client(broker, "bare")?;
        let (counts, mut wanted) = mpsc::unbounded_channel::<usize>();
        let (begin, begun) = std_mpsc::channel();
        on_a_thread(async move {
            let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
            let payload = vec![b' '; EVENT_WIRE_BYTES - FLOOR_TOPIC.len()];
            while let Some(count) = wanted.recv().await {
                let at = now();
                for _ in 0..count {
                    let message = payload.clone();
                    if client.publish(FLOOR_TOPIC, QoS::AtLeastOnce, false, message).await.is_err()
                    {
                        return;
                    }
                }
                if begin.send(at).is_err() {
                    break;
                }
            }
            polling.abort();
        })?;
        Ok(Self { counts, begun })
    }

    /// Publishes messages of an event's size; when the first was begun.
    pub(crate) fn publish(&self, count: usize) -> Outcome<Instant> {
        self.counts.send(count)?;
        Ok(self.begun.recv_timeout(SOON)?)
    }
}

/// The least that a gateway must do: reads a frame from a terminal and publishes a message of
/// an event's size. It neither understands, nor keeps, nor answers anything.
pub(crate) fn bare_gateway(broker: &Broker, port: &Path) -> Outcome {
    let (client, mut events) = client(broker, "bare-gateway")?;
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let port = OpenOptions::new().read(true).custom_flags(nonblocking).open(port)?;
    on_a_thread(async move {
        let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
        // It reads whatever can be waited for; no pipe is meant.
        let Ok(mut port) = Receiver::from_file_unchecked(port) else { return };
        let payload = vec![b' '; EVENT_WIRE_BYTES - FLOOR_TOPIC.len()];
        let mut frame = [0; 64];
        // All of a frame comes at once: it is written in one piece.
        while port.read(&mut frame).await.is_ok_and(|length| length > 0) {
            let message = payload.clone();
            if client.publish(FLOOR_TOPIC, QoS::AtLeastOnce, false, message).await.is_err() {
                break;
            }
        }
        polling.abort();
    })
}

fn client(broker: &Broker, name: &str) -> Outcome<(AsyncClient, EventLoop)> {
    let mut options = MqttOptions::new(name, "localhost", broker.port);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(broker.tls(name)?)))
        .set_outgoing_inflight_upper_limit(WINDOW);
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    Ok(AsyncClient::new(options, WINDOW.into()))
}

fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(work));
    Ok(())
}
