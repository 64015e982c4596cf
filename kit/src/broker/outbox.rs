//! What is on its way to one connection: filled by whoever publishes, emptied
//! by the connection's writer in batches.

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::Packet;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The reader stops while this many packets wait, so that a client that sends
/// and never reads cannot fill memory with acknowledgements.
const WAITING_MAX: usize = 8192;

/// What a client is sent.
#[expect(clippy::large_enum_variant, reason = "nearly all are packets, and there are many")]
#[derive(Debug)]
pub(super) enum Saying {
    Packet(Packet),
    /// Bytes that need not be a packet.
    Bytes(Bytes),
}

impl Saying {
    /// Appends it; `None` if it cannot be written.
    pub(super) fn write(self, bytes: &mut BytesMut) -> Option<()> {
        match self {
            Self::Packet(packet) => packet.write(bytes, None).map(drop).ok(),
            Self::Bytes(raw) => {
                bytes.extend_from_slice(&raw);
                Some(())
            }
        }
    }
}

/// Packets for one connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    packets: VecDeque<Saying>,
    closing: bool,
}

impl Outbox {
    /// Adds a packet; nothing once the connection is closing.
    pub(super) fn push(&self, packet: Packet) {
        self.say(Saying::Packet(packet));
    }

    /// The same with anything.
    pub(super) fn say(&self, saying: Saying) {
        let mut state = self.lock();
        if !state.closing {
            state.packets.push_back(saying);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Adds a packet that may be lost (QoS 0) if there is room.
    pub(super) fn push_if_room(&self, packet: Packet) -> bool {
        let room = self.lock().packets.len() < WAITING_MAX;
        if room {
            self.push(packet);
        }
        room
    }

    /// Ends the connection once what waits, and `last`, is written.
    pub(super) fn close(&self, last: Option<Packet>) {
        let mut state = self.lock();
        if !state.closing {
            state.packets.extend(last.map(Saying::Packet));
            state.closing = true;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Ends the connection without writing what waits.
    pub(super) fn abort(&self) {
        let mut state = self.lock();
        state.packets.clear();
        state.closing = true;
        drop(state);
        self.filled.notify_one();
    }

    /// All packets that wait; `None` when the connection is to end. One
    /// caller at a time.
    pub(super) async fn take(&self) -> Option<VecDeque<Saying>> {
        loop {
            {
                let mut state = self.lock();
                if !state.packets.is_empty() {
                    let packets = std::mem::take(&mut state.packets);
                    self.emptied.notify_one();
                    return Some(packets);
                }
                if state.closing {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Returns once there is room for answers.
    pub(super) async fn room(&self) {
        while self.lock().packets.len() >= WAITING_MAX {
            self.emptied.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, and the state is whole between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
