//! The packet forwarder on the roof: hands in what devices say, and judges every
//! downlink that the gateway asks for. Nothing collides here; what is lost is chance.

use super::plan::{UPLINK_HZ, Window};
use super::report::RoofReport;
use pendant_hal::Signal;
use pendant_hal::sim::ether::Air;
use pendant_hal::sim::forwarder::{Asked, Downlink, Forwarder};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A forwarder calls for downlinks every 10 s as shipped; this one more often, so that a
/// gateway that was restarted can soon answer.
const CALLS_EVERY: Duration = Duration::from_secs(1);

/// A downlink that is asked for later than this after a frame is no answer to it.
const FORGETS_AFTER: Duration = Duration::from_secs(10);

/// How every frame is heard.
const RSSI_DBM: i16 = -101;
const SNR_QUARTER_DB: i16 = -20;

/// What is to become of a transmission and its answer, by chance or by the scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// The gateway never hears it.
    pub(super) uplink_lost: bool,
    /// The forwarder has no time for the first answer that is asked for.
    pub(super) too_late: bool,
    /// The device does not hear the answer.
    pub(super) downlink_lost: bool,
}

/// A transmission of a device that ends now.
pub(super) struct Uplink {
    /// Whose it is.
    pub(super) device: String,
    pub(super) bytes: Vec<u8>,
    pub(super) channel_hz: u32,
    pub(super) spreading_factor: u8,
    pub(super) windows: [Window; 2],
    pub(super) fate: Fate,
    /// Told when it ended.
    pub(super) ended: oneshot::Sender<Instant>,
    /// Given the answer, if there is one.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A downlink in one of a transmission's windows.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// When it began, counted from the end of the transmission.
    pub(super) after: Duration,
    /// When its last symbol comes.
    pub(super) ends: Instant,
    pub(super) bytes: Vec<u8>,
    /// It was on the air, and the device did not hear it.
    pub(super) lost: bool,
}

/// A transmission that may be answered.
struct Open {
    device: String,
    ended_us: u32,
    ended: Instant,
    windows: [Window; 2],
    fate: Fate,
    /// `None` once it was answered.
    answer: Option<oneshot::Sender<Answer>>,
}

/// A forwarder at work.
pub(super) struct Roof {
    forwarder: Forwarder,
    uplinks: mpsc::Receiver<Uplink>,
    open: Vec<Open>,
    report: RoofReport,
}

impl Roof {
    /// One that has called the gateway already, under its wire's name.
    pub(super) fn new(wire: &str, forwarder: Forwarder, uplinks: mpsc::Receiver<Uplink>) -> Self {
        let report = RoofReport { wire: wire.to_owned(), ..RoofReport::default() };
        Self { forwarder, uplinks, open: Vec::new(), report }
    }

    /// Works until the last device is gone; then gives its report.
    pub(super) async fn run(mut self) -> RoofReport {
        let mut calls = interval(CALLS_EVERY);
        calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let worked = tokio::select! {
                uplink = self.uplinks.recv() => match uplink {
                    Some(uplink) => self.hand_in(uplink).await,
                    None => return self.report,
                },
                asked = self.forwarder.asked() => match asked {
                    Ok(asked) => self.take(&asked).await,
                    Err(error) => Err(error),
                },
                _ = calls.tick() => self.forwarder.call().await.map(drop),
            };
            match worked {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.report.fault("what the gateway asked for is no LoRa downlink".to_owned());
                }
                // The gateway is away: what was sent is lost, as it would be.
                Ok(()) | Err(_) => {}
            }
        }
    }

    async fn hand_in(&mut self, uplink: Uplink) -> io::Result<()> {
        let Uplink { device, bytes, windows, fate, .. } = uplink;
        let ended = Instant::now();
        let ended_us = self.forwarder.counter(ended);
        // Who said it may be gone.
        let _ = uplink.ended.send(ended);
        self.report.uplinks += 1;
        if fate.uplink_lost {
            self.report.uplinks_lost += 1;
            return Ok(());
        }
        self.open.retain(|open| open.ended + FORGETS_AFTER > ended);
        let answer = Some(uplink.answer);
        self.open.push(Open { device, ended_us, ended, windows, fate, answer });
        let signal = Signal {
            rssi_dbm: Some(RSSI_DBM),
            snr_quarter_db: Some(SNR_QUARTER_DB),
            frequency_hz: Some(uplink.channel_hz),
            spreading_factor: Some(uplink.spreading_factor),
            bandwidth_hz: Some(UPLINK_HZ),
            frequency_error_hz: None,
        };
        self.forwarder.hand_in(ended_us, &signal, &bytes).await.map(drop)
    }

    async fn take(&mut self, asked: &Asked) -> io::Result<()> {
        self.report.asked += 1;
        let downlink = &asked.downlink;
        let Some((place, after_us)) = self.find(downlink) else {
            let fault = self.in_no_window(downlink);
            self.report.fault(fault);
            return self.forwarder.answer(asked, None).await.map(drop);
        };
        if std::mem::take(&mut self.open[place].fate.too_late) {
            self.report.too_late += 1;
            return self.forwarder.answer(asked, Some("TOO_LATE")).await.map(drop);
        }
        if !self.forwarder.answer(asked, None).await? {
            self.report.refused += 1;
            return Ok(());
        }
        let Open { device, fate, answer, .. } = &mut self.open[place];
        let Some(answer) = answer.take() else {
            self.report.fault(format!("two answers to one frame of {device}"));
            return Ok(());
        };
        self.report.downlinks_lost += u32::from(fate.downlink_lost);
        let airtime = downlink.air().map(|air| air.shape.frame(downlink.bytes.len() as u8));
        let answered = Answer {
            after: Duration::from_micros(after_us.into()),
            ends: self.forwarder.moment(downlink.tmst_us) + airtime.unwrap_or_default(),
            bytes: downlink.bytes.clone(),
            lost: fate.downlink_lost,
        };
        // A step may be over before its frame is answered.
        let _ = answer.send(answered);
        Ok(())
    }

    /// The transmission in whose window it leaves, and how long after that one it does.
    fn find(&self, downlink: &Downlink) -> Option<(usize, u32)> {
        let air = downlink.air()?;
        self.open.iter().enumerate().find_map(|(place, open)| {
            let after_us = downlink.tmst_us.wrapping_sub(open.ended_us);
            let meets = |window: &Window| window.after_us == after_us && window.air == air;
            open.windows.iter().any(meets).then_some((place, after_us))
        })
    }

    /// What is told of a downlink that no device can hear.
    fn in_no_window(&self, downlink: &Downlink) -> String {
        let how = match downlink.air() {
            Some(air) => described(&air),
            None => "no LoRa".to_owned(),
        };
        let after = |open: &Open| downlink.tmst_us.wrapping_sub(open.ended_us);
        // Most likely it was meant for a frame that ended whole seconds before.
        let likely = |open: &&Open| (after(open) % 1_000_000 != 0, after(open));
        match self.open.iter().min_by_key(likely) {
            Some(open) => format!(
                "a downlink that nobody hears: {how}, {} us after a frame of {}",
                after(open),
                open.device
            ),
            None => format!("a downlink that nobody hears, and that answers nothing: {how}"),
        }
    }
}

fn described(air: &Air) -> String {
    let Air { frequency_hz, shape, iq_inverted, .. } = air;
    format!(
        "{frequency_hz} Hz, SF{} in {} kHz, 4/{}, {} symbols of preamble, {} CRC, IQ {}inverted",
        shape.spreading_factor,
        shape.bandwidth_hz / 1_000,
        shape.coding_rate_denominator,
        shape.preamble_symbols,
        if shape.payload_crc { "with" } else { "no" },
        if *iq_inverted { "" } else { "not " },
    )
}
