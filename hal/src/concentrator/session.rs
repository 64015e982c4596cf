//! The task that speaks with a packet forwarder.

use super::ConcentratorSettings;
use super::clock::Clock;
use super::datagram::{Body, Eui, FromForwarder, Token, pull_resp};
use super::packet::{Asking, Verdict, read_push, read_tx_ack, write_downlink};
use crate::link::{
    FRAME_BYTES_MAX, LinkCount, LinkEvent, LinkFault, QUEUE_MAX, Reception, SendFault,
    Transmission, Wave,
};
use crate::outage::Outage;
use crate::outbox::Outbox;
use crate::radio::account::Account;
use crate::region::Carrier;
use crate::schedule::is_late;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A forwarder calls for downlinks every 10 s as shipped.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// Somebody who runs `check` waits for one call.
const PROBE_MAX: Duration = Duration::from_secs(12);

/// It says at once what becomes of a downlink.
const TX_ACK_WAIT: Duration = Duration::from_secs(1);

/// Nothing longer comes in one UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// More frames than eight demodulators hear in a second. Beyond it somebody sends who
/// is no concentrator, and other links must still be heard.
pub(super) const FRAMES_PER_S_MAX: u32 = 256;

/// The system is not asked for the port again before.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(
    settings: ConcentratorSettings,
    account: Account,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    mut transmissions: mpsc::Receiver<Transmission>,
) {
    let mut outbox = Outbox::new(tag, events);
    let mut outage = Outage::default();
    loop {
        match UdpSocket::bind(settings.listen).await {
            Ok(socket) => {
                let opened = Instant::now();
                let session = Session::new(&settings, &account, &socket, &mut outbox, &mut outage);
                match session.run(&mut transmissions).await {
                    None => return,
                    Some(fault) => {
                        outage.had_worked_for(opened.elapsed());
                        outage.tell(fault, &mut outbox).await;
                    }
                }
            }
            Err(error) => outage.tell(port_fault(&settings, &error), &mut outbox).await,
        }
        if !outage.pause(&mut outbox, &mut transmissions).await {
            return;
        }
    }
}

pub(super) async fn probe(settings: &ConcentratorSettings) -> Result<(), LinkFault> {
    let socket = UdpSocket::bind(settings.listen).await;
    let socket = socket.map_err(|error| port_fault(settings, &error))?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut stranger = None;
    let called = async {
        loop {
            let Ok((bytes, _)) = socket.recv_from(&mut buffer).await else {
                sleep(ERROR_PAUSE).await;
                continue;
            };
            match FromForwarder::parse(&buffer[..bytes]) {
                Some(told) if told.eui == settings.eui => return,
                Some(told) => stranger = Some(told.eui),
                None => {}
            }
        }
    };
    match timeout(PROBE_MAX, called).await {
        Ok(()) => Ok(()),
        Err(_) => Err(match stranger {
            Some(says) => LinkFault::StrangeForwarder { says },
            None => LinkFault::NoForwarder(settings.listen),
        }),
    }
}

fn port_fault(settings: &ConcentratorSettings, error: &io::Error) -> LinkFault {
    let taken = error.kind() == io::ErrorKind::AddrInUse;
    LinkFault::Port { address: settings.listen, taken, says: error.to_string() }
}

/// A downlink of which the forwarder has not said yet what becomes of it.
struct Asked {
    transmission: Transmission,
    power_dbm: i8,
    until: Instant,
}

/// Frames of the present second.
struct Budget {
    until: Instant,
    left: u32,
}

impl Budget {
    /// Whether one more frame is taken in this second.
    fn take(&mut self, now: Instant) -> bool {
        if now >= self.until {
            *self = Self { until: now + Duration::from_secs(1), left: FRAMES_PER_S_MAX };
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

struct Session<'a> {
    settings: &'a ConcentratorSettings,
    account: &'a Account,
    socket: &'a UdpSocket,
    outbox: &'a mut Outbox,
    outage: &'a mut Outage,
    clock: Clock,
    /// Where downlinks go: whence the forwarder asked for them last.
    forwarder: Option<SocketAddr>,
    /// It has called, be it long ago.
    has_called: bool,
    /// It is held to be gone if it does not call until then.
    silent_at: Instant,
    /// Another one has called while the right one was not there.
    stranger: Option<Eui>,
    budget: Budget,
    /// Why it refused a downlink last: each reason is told once.
    refusal: String,
    asked: BTreeMap<Token, Asked>,
    token: u16,
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a ConcentratorSettings,
        account: &'a Account,
        socket: &'a UdpSocket,
        outbox: &'a mut Outbox,
        outage: &'a mut Outage,
    ) -> Self {
        let now = Instant::now();
        Self {
            settings,
            account,
            socket,
            outbox,
            outage,
            clock: Clock::new(now),
            forwarder: None,
            has_called: false,
            silent_at: now + SILENCE_MAX,
            stranger: None,
            budget: Budget { until: now, left: 0 },
            refusal: String::new(),
            asked: BTreeMap::new(),
            token: 0,
        }
    }

    /// `None` if the link was stopped.
    async fn run(mut self, transmissions: &mut mpsc::Receiver<Transmission>) -> Option<LinkFault> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let fault = loop {
            let wake = self.next_wake();
            tokio::select! {
                datagram = self.socket.recv_from(&mut buffer) => match datagram {
                    Ok((bytes, from)) => self.take_datagram(&buffer[..bytes], from).await,
                    // What ICMP says of the last datagram that was sent comes here too.
                    Err(error) if is_of_one_datagram(&error) => {}
                    Err(error) => break Some(port_fault(self.settings, &error)),
                },
                transmission = transmissions.recv() => match transmission {
                    Some(transmission) => self.take_transmission(transmission).await,
                    None => break None,
                },
                () = sleep_until(wake) => self.handle_time().await,
            }
        };
        let why = if fault.is_some() { SendFault::Down } else { SendFault::Stopped };
        self.give_up(why).await;
        fault
    }

    fn next_wake(&self) -> Instant {
        let asked = self.asked.values().map(|asked| asked.until);
        asked.chain(self.outbox.counts_due()).chain([self.silent_at]).min().expect("one at least")
    }

    async fn handle_time(&mut self) {
        let now = Instant::now();
        if self.silent_at <= now {
            self.has_called |= self.forwarder.take().is_some();
            let fault = match (self.stranger, self.has_called) {
                // One reason an outage: the more telling one.
                (Some(says), _) => LinkFault::StrangeForwarder { says },
                // However long ago that was: it is set up, and does not run.
                (None, true) => LinkFault::ForwarderSilent,
                (None, false) => LinkFault::NoForwarder(self.settings.listen),
            };
            self.outage.tell(fault, self.outbox).await;
            self.give_up(SendFault::Down).await;
            self.silent_at = now + SILENCE_MAX;
        }
        let late: Vec<Token> =
            self.asked.iter().filter(|(_, asked)| asked.until <= now).map(|(t, _)| *t).collect();
        for token in late {
            if let Some(Asked { transmission, .. }) = self.asked.remove(&token) {
                self.not_sent(transmission.ticket, SendFault::Stalled).await;
            }
        }
        if self.outbox.counts_due().is_some_and(|due| due <= now) {
            self.outbox.tell_counts();
        }
    }

    async fn take_datagram(&mut self, datagram: &[u8], from: SocketAddr) {
        let Some(told) = FromForwarder::parse(datagram) else {
            return self.outbox.count(LinkCount::BadDatagram(1));
        };
        if told.eui != self.settings.eui {
            self.outbox.count(LinkCount::StrangeForwarder(1));
            if self.forwarder.is_none() && self.stranger.replace(told.eui).is_none() {
                self.outage.tell(LinkFault::StrangeForwarder { says: told.eui }, self.outbox).await;
            }
            return;
        }
        if let Some(acknowledgement) = told.acknowledgement() {
            // What is lost on the way is asked for again.
            let _ = self.socket.try_send_to(&acknowledgement, from);
        }
        match told.body {
            Body::Pull => {
                self.silent_at = Instant::now() + SILENCE_MAX;
                self.stranger = None;
                if self.forwarder.replace(from).is_none() {
                    self.outage.end(self.outbox).await;
                }
            }
            Body::Push(json) => self.take_frames(json),
            Body::TxAck(json) => self.take_verdict(told.token, json).await,
        }
    }

    fn take_frames(&mut self, json: &[u8]) {
        let now = Instant::now();
        for heard in read_push(json) {
            let heard = match heard {
                Ok(_) if !self.budget.take(now) => {
                    self.outbox.count(LinkCount::Overflow(1));
                    continue;
                }
                Ok(heard) => heard,
                Err(count) => {
                    self.outbox.count(count);
                    continue;
                }
            };
            let ended = match heard.tmst_us {
                Some(us) => self.clock.heard(now, us, heard.signal.spreading_factor, &heard.bytes),
                None => Some(now),
            };
            if let Some(ended) = ended {
                let (signal, bytes) = (heard.signal, heard.bytes);
                self.outbox.receive(Reception { ended, signal, bytes });
            }
        }
    }

    async fn take_transmission(&mut self, transmission: Transmission) {
        let ticket = transmission.ticket;
        let length = transmission.bytes.len();
        if self.asked.len() >= QUEUE_MAX {
            self.not_sent(ticket, SendFault::QueueFull).await;
        } else if !(1..=FRAME_BYTES_MAX).contains(&length) {
            self.not_sent(ticket, SendFault::Length).await;
        } else {
            self.ask(transmission, None).await;
        }
    }

    /// Asks the forwarder for a downlink, at its second chance if the first is refused and
    /// that is in another wave.
    async fn ask(&mut self, mut transmission: Transmission, mut granted_dbm: Option<i8>) {
        let now = Instant::now();
        let (forwarder, asking) = loop {
            match self.grant(&transmission, granted_dbm, now) {
                Ok(granted) => break granted,
                Err(fault) => match transmission.otherwise() {
                    Some(later) => (transmission, granted_dbm) = (later, None),
                    None => return self.not_sent(transmission.ticket, fault).await,
                },
            }
        };
        self.token = self.token.wrapping_add(1);
        let token = self.token.to_be_bytes();
        let json = write_downlink(&asking, &transmission.bytes);
        match self.socket.try_send_to(&pull_resp(token, &json), forwarder) {
            Ok(_) => {
                let (power_dbm, until) = (asking.power_dbm, now + TX_ACK_WAIT);
                self.asked.insert(token, Asked { transmission, power_dbm, until });
            }
            Err(_) => self.not_sent(transmission.ticket, SendFault::Stalled).await,
        }
    }

    /// What is to be asked for, and of whom. Airtime is entered once for both chances in one
    /// wave, with the power that was granted then.
    fn grant(
        &self,
        transmission: &Transmission,
        granted_dbm: Option<i8>,
        now: Instant,
    ) -> Result<(SocketAddr, Asking), SendFault> {
        let Self { settings, account, .. } = self;
        let Transmission { at, wave, bytes, .. } = transmission;
        let forwarder = self.forwarder.ok_or(SendFault::Down)?;
        if is_late(*at, now) {
            return Err(SendFault::Late);
        }
        // What has no stamp cannot be answered: when would that be?
        let departure = self.clock.departure(*at).ok_or(SendFault::Refused)?;
        let factor = departure.spreading_factor.unwrap_or(settings.spreading_factor);
        let shape = wave.shape(settings.shape(factor)).ok_or(SendFault::Wave)?;
        let frequency_hz = wave.frequency_hz(settings.downlink_frequency_hz);
        let carrier = Carrier { frequency_hz, bandwidth_hz: shape.bandwidth_hz };
        let power_dbm = match granted_dbm {
            Some(power_dbm) => power_dbm,
            None => {
                let takes = shape.frame(bytes.len() as u8);
                account.claim(now, carrier, takes, settings.power_dbm)?
            }
        };
        let inverted = *wave != Wave::Native;
        let tmst_us = departure.tmst_us;
        Ok((forwarder, Asking { tmst_us, frequency_hz, shape, inverted, power_dbm }))
    }

    async fn take_verdict(&mut self, token: Token, json: &[u8]) {
        let Some(verdict) = read_tx_ack(json) else {
            return self.outbox.count(LinkCount::BadDatagram(1));
        };
        let Some(Asked { transmission, power_dbm, .. }) = self.asked.remove(&token) else { return };
        let Transmission { ticket, at, wave, .. } = transmission;
        let (later, fault) = match verdict {
            Verdict::Accepted => return self.outbox.tell(LinkEvent::Sent { ticket, at }).await,
            Verdict::NotThen => (transmission.later(), SendFault::Late),
            Verdict::Refused(error) => {
                if self.refusal != error {
                    tracing::warn!(error, "the packet forwarder refuses downlinks");
                    self.refusal = error;
                }
                (transmission.otherwise(), SendFault::Refused)
            }
        };
        match later {
            Some(later) => {
                let granted_dbm = (later.wave == wave).then_some(power_dbm);
                self.ask(later, granted_dbm).await;
            }
            None => self.not_sent(ticket, fault).await,
        }
    }

    async fn not_sent(&mut self, ticket: u64, fault: SendFault) {
        self.outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
    }

    async fn give_up(&mut self, fault: SendFault) {
        for Asked { transmission, .. } in std::mem::take(&mut self.asked).into_values() {
            self.not_sent(transmission.ticket, fault).await;
        }
    }
}

/// Nobody listened where a datagram was sent: the socket is well.
fn is_of_one_datagram(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
