//! The task that owns a radio: brings it up, listens, answers on time, and
//! begins again when it fails.

use super::account::Account;
use super::chip::{Amplifier, Chip};
use super::desk::Desk;
use super::punctual::Thread;
use super::tally::Tally;
use super::watch::Watch;
use super::{RadioSettings, SettingsFault};
use crate::link::{
    FRAME_BYTES_MAX, LinkCount, LinkEvent, LinkFault, Reception, SendFault, Signal, Transmission,
    Wave,
};
use crate::outage::Outage;
use crate::outbox::Outbox;
use crate::region::Carrier;
use crate::schedule::is_late;
use embedded_hal_async::delay::DelayNs;
use lora_phy::mod_params::{ModulationParams, PacketParams, RadioError};
use lora_phy::{LoRa, RxMode};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Setting a chip up for a transmission takes about twelve SPI transfers, asking it
/// first whether a frame is coming three; a slow host needs a millisecond for each at
/// worst. The radio is deaf meanwhile.
const PREPARE_LEAD: Duration = Duration::from_millis(15);

/// The command to start goes over the bus: one transfer, and the kernel's part.
const COMMAND: Duration = Duration::from_micros(100);

/// A look at the channel takes 8 symbols (the driver's choice) and some time to
/// reckon (Semtech AN1200.48: less than 4); the pause is for a busy host.
const LOOK_SYMBOLS: u32 = 16;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A pendant waits so long for a preamble, from the time of its answer on
/// (docs/protocol.md, section 11).
const LISTENED_SYMBOLS: u32 = 12;

type Events = mpsc::Sender<(u8, LinkEvent)>;

pub(super) async fn run<C: Chip>(
    settings: &RadioSettings,
    chip: &mut C,
    account: &Account,
    (tag, events): (u8, Events),
    transmissions: &mut mpsc::Receiver<Transmission>,
    thread: Thread,
) {
    let desk = Desk::new(PREPARE_LEAD + chip.start_latency(), thread);
    let intake = take_in(&desk, Outbox::new(tag, events.clone()), transmissions);
    let tally = Tally::new(Outbox::new(tag, events.clone()));
    let drive = supervise((settings, account), chip, &desk, &tally, Outbox::new(tag, events));
    tokio::join!(intake, drive);
}

/// Reads the channel onto the desk, whatever the radio is doing.
async fn take_in(
    desk: &Desk,
    mut outbox: Outbox,
    transmissions: &mut mpsc::Receiver<Transmission>,
) {
    while let Some(transmission) = transmissions.recv().await {
        let ticket = transmission.ticket;
        if let Err(fault) = desk.insert(transmission) {
            outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
        }
    }
    desk.stop();
}

async fn supervise<C: Chip>(
    (settings, account): (&RadioSettings, &Account),
    chip: &mut C,
    desk: &Desk,
    tally: &Tally,
    mut outbox: Outbox,
) {
    let mut outage = Outage::default();
    while !desk.is_stopped() {
        let watch = Watch::new(desk.clone(), tally.clone(), settings);
        let fault = match bring_up(settings, chip, &watch).await {
            Ok(radio) => {
                if radio.line_works {
                    desk.open();
                    outage.end(&mut outbox).await;
                } else {
                    // It hears, but not when; who is not answered repeats.
                    outage.tell(LinkFault::IrqLine, &mut outbox).await;
                }
                let up = Instant::now();
                let end = radio.serve(desk, &watch, account, &mut outbox).await;
                outage.had_worked_for(up.elapsed());
                let fault = if end.is_ok() { SendFault::Stopped } else { SendFault::Down };
                for Transmission { ticket, .. } in desk.close() {
                    outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
                }
                match end {
                    Ok(()) => return,
                    Err(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        let hopeless = matches!(fault, LinkFault::Settings(_));
        outage.tell(fault, &mut outbox).await;
        if hopeless {
            desk.stopped().await;
        }
        tokio::select! {
            () = sleep(outage.next_pause()) => {}
            () = desk.stopped() => {}
        }
    }
}

pub(super) async fn probe<C: Chip>(settings: &RadioSettings, mut chip: C) -> Result<(), LinkFault> {
    let (events, _told) = mpsc::channel(1);
    let tally = Tally::new(Outbox::new(0, events));
    let watch = Watch::new(Desk::new(Duration::ZERO, Thread::Shared), tally, settings);
    let mut radio = bring_up(settings, &mut chip, &watch).await?;
    // A chip that does not go to sleep is reset by whoever starts next.
    let _ = radio.lora.sleep(false).await;
    if radio.line_works { Ok(()) } else { Err(LinkFault::IrqLine) }
}

/// A radio that is set up.
struct Radio<C: Chip> {
    lora: LoRa<C::Kind, Delay>,
    uplink: (ModulationParams, PacketParams),
    settings: RadioSettings,
    start_latency: Duration,
    amplifier: Amplifier,
    line_works: bool,
}

/// How a transmission leaves, in the driver's terms and in those of the air.
struct Downlink {
    modulation: ModulationParams,
    packet: PacketParams,
    carrier: Carrier,
    airtime: Duration,
}

async fn bring_up<C: Chip>(
    settings: &RadioSettings,
    chip: &mut C,
    watch: &Watch,
) -> Result<Radio<C>, LinkFault> {
    let refused = |fault: SettingsFault| LinkFault::Settings(fault.to_string());
    let (factor, bandwidth, rate) = settings.driver_terms().map_err(refused)?;
    C::check(settings).map_err(refused)?;
    let kind = chip.open(watch)?;
    let explain = |error| fault_of(error, watch);
    let mut lora = LoRa::new(kind, !settings.private_network, Delay).await.map_err(explain)?;
    let up = lora
        .create_modulation_params(factor, bandwidth, rate, settings.frequency_hz)
        .map_err(explain)?;
    let preamble = settings.preamble_symbols;
    let heard = lora
        .create_rx_packet_params(preamble, false, FRAME_BYTES_MAX as u8, true, false, &up)
        .map_err(explain)?;
    let mut radio = Radio::<C> {
        lora,
        uplink: (up, heard),
        settings: settings.clone(),
        start_latency: chip.start_latency(),
        amplifier: chip.amplifier(),
        line_works: true,
    };
    radio.listen().await.map_err(explain)?;
    radio.line_works = radio.test_line(watch).await?;
    watch.tested(radio.line_works);
    // The driver writes happily to a bus without a chip: what cannot be set up
    // to listen, or does not answer sensibly when asked, is not up.
    radio.listen().await.map_err(explain)?;
    radio.lora.process_irq_event().await.map_err(explain)?;
    Ok(radio)
}

impl<C: Chip> Radio<C> {
    /// Listens and answers. Ends well if the link was stopped.
    async fn serve(
        mut self,
        desk: &Desk,
        watch: &Watch,
        account: &Account,
        outbox: &mut Outbox,
    ) -> Result<(), LinkFault> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        let mut entered = Instant::now();
        let mut deaf = Duration::ZERO;
        loop {
            if desk.is_stopped() {
                // A chip that does not go to sleep is reset by whoever starts next.
                let _ = self.lora.sleep(false).await;
                return Ok(());
            }
            if let Some(transmission) = desk.take_due() {
                let begun = Instant::now();
                let sent = self.transmit(transmission, desk, watch, account, outbox).await?;
                if sent {
                    self.listen().await.map_err(|error| fault_of(error, watch))?;
                    deaf += begun.elapsed();
                }
                continue;
            }
            account.worked(entered.elapsed(), std::mem::take(&mut deaf));
            entered = Instant::now();
            watch.receiving();
            match self.lora.rx(&self.uplink.1, &mut buffer).await {
                Ok((length, _)) => self.deliver(&buffer[..usize::from(length)], watch),
                Err(error) => match watch.take_fault() {
                    // Only a due transmission or the end of the link interrupts
                    // without a fault.
                    None if error == RadioError::Irq => {}
                    Some(fault) => return Err(fault),
                    None => return Err(fault_of(error, watch)),
                },
            }
        }
    }

    /// Lets the chip look at the channel for a moment, which ends in an interrupt
    /// whatever is heard: proves that oscillator, receiver and line work, or that
    /// all but the line does.
    async fn test_line(&mut self, watch: &Watch) -> Result<bool, LinkFault> {
        let explain = |error| fault_of(error, watch);
        self.lora.prepare_for_cad(&self.uplink.0).await.map_err(explain)?;
        let symbols = self.settings.shape().symbol() * LOOK_SYMBOLS;
        watch.testing(self.start_latency + LOOK_PAUSE + symbols);
        let Err(error) = self.lora.cad(&self.uplink.0).await else { return Ok(true) };
        match watch.take_fault() {
            None => {}
            // High for no reason: the wrong line.
            Some(LinkFault::IrqLine) => return Ok(false),
            Some(fault) => return Err(fault),
        }
        // The line did not rise. Did the chip do its part?
        watch.examine();
        let asked = self.lora.process_irq_event().await;
        match (watch.take_fault(), asked) {
            (Some(fault), _) => Err(fault),
            (None, Err(_)) => Err(fault_of(error, watch)),
            (None, Ok(_)) if watch.has_looked() => Ok(false),
            (None, Ok(_)) => Err(LinkFault::Oscillator),
        }
    }

    async fn listen(&mut self) -> Result<(), RadioError> {
        self.lora.prepare_for_rx(RxMode::Continuous, &self.uplink.0, &self.uplink.1).await
    }

    fn deliver(&self, bytes: &[u8], watch: &Watch) {
        let snooped = watch.snooped();
        if snooped.crc_error {
            watch.count(LinkCount::PhyCrc(1));
        } else if !bytes.is_empty() {
            watch.receive(Reception {
                ended: snooped.ended,
                signal: Signal {
                    rssi_dbm: Some(snooped.signal.rssi_dbm),
                    snr_quarter_db: Some(snooped.signal.snr_quarter_db),
                    frequency_hz: Some(self.settings.frequency_hz),
                    spreading_factor: Some(self.settings.spreading_factor),
                    bandwidth_hz: Some(self.settings.bandwidth_hz),
                    frequency_error_hz: Some(snooped.signal.offset_hz),
                },
                bytes: bytes.to_vec(),
            });
        }
    }

    /// How a frame of so many bytes leaves in this wave.
    fn downlink(&mut self, wave: Wave, bytes: usize) -> Result<Downlink, SendFault> {
        let (settings, shape) = self.settings.sending(wave).ok_or(SendFault::Wave)?;
        let (factor, bandwidth, rate) = settings.driver_terms().map_err(|_| SendFault::Wave)?;
        C::check(&settings).map_err(|_| SendFault::Wave)?;
        let inverted = wave != Wave::Native;
        let frequency_hz = settings.downlink_frequency_hz;
        let created = |_| SendFault::Wave;
        let modulation = self
            .lora
            .create_modulation_params(factor, bandwidth, rate, frequency_hz)
            .map_err(created)?;
        let (preamble, crc) = (settings.preamble_symbols, shape.payload_crc);
        let packet = self
            .lora
            .create_tx_packet_params(preamble, false, crc, inverted, &modulation)
            .map_err(created)?;
        let carrier = Carrier { frequency_hz, bandwidth_hz: shape.bandwidth_hz };
        Ok(Downlink { modulation, packet, carrier, airtime: shape.frame(bytes as u8) })
    }

    /// Whether the radio was taken for so long, as a rule by an answer that had been put off
    /// itself, that the pendant does not listen any more, but will once more.
    fn is_in_vain(&self, transmission: &Transmission, now: Instant) -> bool {
        let Transmission { at, wave, or, .. } = transmission;
        let shape = wave.shape(self.settings.shape());
        let listens = shape.map_or(Duration::ZERO, |shape| shape.symbol() * LISTENED_SYMBOLS);
        or.is_some() && now > *at + listens
    }

    /// False if it was not sent, for a reason that is not the radio's.
    async fn transmit(
        &mut self,
        transmission: Transmission,
        desk: &Desk,
        watch: &Watch,
        account: &Account,
        outbox: &mut Outbox,
    ) -> Result<bool, LinkFault> {
        let Transmission { ticket, at, wave, .. } = transmission;
        let now = Instant::now();
        let least_dbm = *self.amplifier.range_dbm().start();
        let asked_dbm = self.settings.power_dbm.max(least_dbm);
        let granted = match is_late(at, now) || self.is_in_vain(&transmission, now) {
            true => Err(SendFault::Late),
            false => self.downlink(wave, transmission.bytes.len()).and_then(|downlink| {
                let Downlink { carrier, airtime, .. } = downlink;
                let allowed_dbm = account.claim(now, carrier, airtime, asked_dbm)?;
                let power_dbm = self.amplifier.at_most_dbm(allowed_dbm);
                Ok((downlink, power_dbm.ok_or(SendFault::Carrier)?))
            }),
        };
        let (downlink, power_dbm) = match granted {
            Ok(granted) => granted,
            Err(fault) => {
                if let Err(fault) = desk.retry(&transmission, fault) {
                    outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
                }
                return Ok(false);
            }
        };
        match self.transmit_at(at, downlink, power_dbm, &transmission.bytes, watch).await {
            Ok(began) => {
                outbox.tell(LinkEvent::Sent { ticket, at: began }).await;
                Ok(true)
            }
            Err(error) => {
                let fault = SendFault::Down;
                outbox.tell(LinkEvent::NotSent { ticket, fault }).await;
                Err(fault_of(error, watch))
            }
        }
    }

    /// Everything but the start is done before the time has come.
    async fn transmit_at(
        &mut self,
        at: Instant,
        mut downlink: Downlink,
        power_dbm: i8,
        bytes: &[u8],
        watch: &Watch,
    ) -> Result<Instant, RadioError> {
        self.lora
            .prepare_for_tx(&downlink.modulation, &mut downlink.packet, power_dbm.into(), bytes)
            .await?;
        if let Some(start) = at.checked_sub(self.start_latency + COMMAND) {
            watch.desk.moment(start).await;
        }
        let began = Instant::now() + self.start_latency;
        watch.transmitting(self.start_latency + downlink.airtime);
        self.lora.tx().await?;
        Ok(began)
    }
}

/// The driver's error in our terms; the watch knows more than the driver says.
fn fault_of(error: RadioError, watch: &Watch) -> LinkFault {
    if let Some(fault) = watch.take_fault() {
        return fault;
    }
    match error {
        RadioError::Busy => LinkFault::BusyStuck,
        RadioError::Irq | RadioError::DIO1 => LinkFault::IrqLine,
        RadioError::TransmitTimeout => LinkFault::TransmitStuck,
        RadioError::SPI => LinkFault::NoChip,
        RadioError::InvalidBandwidthForFrequency
        | RadioError::InvalidOutputPowerForFrequency
        | RadioError::InvalidSF6ExplicitHeaderRequest
        | RadioError::UnavailableBandwidth
        | RadioError::UnavailableSpreadingFactor => LinkFault::Settings(format!("{error:?}")),
        _ => LinkFault::Io { doing: "driving the radio", says: format!("{error:?}") },
    }
}

/// Pauses in the runtime's time.
struct Delay;

impl DelayNs for Delay {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        sleep(Duration::from_nanos(u64::from(nanoseconds))).await;
    }
}
