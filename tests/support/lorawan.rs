//! A LoRaWAN pendant on the engine's rig: a button with three presses.

use crate::rig::Rig;
use pendant_gateway::engine::device::{Decoder, Device, Downlink, Sign, Trigger};
use pendant_gateway::engine::keyring::{Enrolment, Secrets};
use pendant_gateway::engine::lorawan::{Activation, DevNonceRule, Eui, Plan, SecretKey};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::seam::Transmit;
use pendant_kit::lorawan::{Asks, DeviceSession, Heard, LoRaWanDevice};
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

pub const SHORT: &[u8] = &[0x01, 0x75, 0x50, 0xFF, 0x2E, 1];
pub const LONG: &[u8] = &[0x01, 0x75, 0x50, 0xFF, 0x2E, 2];
pub const DOUBLE: &[u8] = &[0x01, 0x75, 0x50, 0xFF, 0x2E, 3];
/// A status report.
pub const QUIET: &[u8] = &[0x01, 0x75, 0x50];
pub const PORT: u8 = 85;
pub const SILENCE: [u8; 3] = [0xFF, 0x3E, 0x00];
pub const CONFIRMED: Asks =
    Asks { confirmed: true, answer: false, link_check: false, device_time: false };
pub const UNCONFIRMED: Asks = Asks { confirmed: false, ..CONFIRMED };

/// A button with what is known of it here.
#[derive(Clone)]
pub struct Button {
    pub id: PendantId,
    pub device: LoRaWanDevice,
    pub activation: Activation,
    enrolment: u64,
}

impl Button {
    /// One that joins.
    pub fn new(number: u32, nonces: DevNonceRule) -> Self {
        let device =
            LoRaWanDevice::new(0x24E1_2400_0000_0000 + u64::from(number), [number as u8; 16]);
        let activation = Activation::Otaa {
            dev_eui: Eui(device.dev_eui),
            join_eui: Some(Eui(device.join_eui)),
            app_key: SecretKey::from_bytes(device.app_key),
            nonces,
        };
        Self { id: id(number), device, activation, enrolment: 0x2000 + u64::from(number) }
    }

    /// Another device with the same key, enrolled as the same pendant.
    pub fn same_place(old: &Self, dev_eui: u64) -> Self {
        let mut new = old.clone();
        new.device = LoRaWanDevice::new(dev_eui, old.device.app_key);
        new.activation = Activation::Otaa {
            dev_eui: Eui(dev_eui),
            join_eui: Some(Eui(new.device.join_eui)),
            app_key: SecretKey::from_bytes(new.device.app_key),
            nonces: DevNonceRule::Random,
        };
        new.enrolled_again();
        new
    }

    /// One that was given a session.
    pub fn personalised(number: u32, dev_addr: u32) -> Self {
        let mut button = Self::new(number, DevNonceRule::Rising);
        let session = DeviceSession {
            dev_addr,
            nwk_s_key: [0x4E; 16],
            app_s_key: [0x41; 16],
            up: 0,
            down: None,
            owes_ack: false,
        };
        button.activation = Activation::Abp {
            dev_addr,
            nwk_s_key: SecretKey::from_bytes(session.nwk_s_key),
            app_s_key: SecretKey::from_bytes(session.app_s_key),
        };
        button.device.session = Some(session);
        button
    }

    pub fn enrolment(&self) -> Enrolment {
        Enrolment {
            pendant: self.id,
            id: self.enrolment,
            wearer: Name::new("officer-3").expect("a valid name"),
            secrets: Secrets::LoRaWan(self.activation.clone()),
        }
    }

    /// The same device, enrolled anew.
    pub fn enrolled_again(&mut self) {
        self.enrolment += 0x1_0000;
    }

    pub fn session(&mut self) -> &mut DeviceSession {
        self.device.session.as_mut().expect("it has joined")
    }

    pub fn say(&mut self, payload: &[u8], asks: Asks) -> Vec<u8> {
        self.session().say(PORT, payload, asks)
    }

    /// Joins, and hears the answer.
    pub fn join(&mut self, rig: &mut Rig) {
        let request = self.device.join();
        rig.frame(0, &request);
        rig.run_ms(7_000);
        let answers: Vec<Vec<u8>> = rig.downlinks.drain(..).map(|t| t.frame).collect();
        assert!(answers.iter().any(|frame| self.device.accept(frame).is_some()), "no answer");
    }

    /// Says something and hears the answer, if there is one.
    pub fn exchange(&mut self, rig: &mut Rig, payload: &[u8], asks: Asks) -> Option<Heard> {
        let frame = self.say(payload, asks);
        rig.frame(0, &frame);
        rig.run_ms(2_500);
        self.hear(rig.downlinks.drain(..))
    }

    pub fn hear(&mut self, downlinks: impl IntoIterator<Item = Transmit>) -> Option<Heard> {
        downlinks.into_iter().find_map(|downlink| self.session().hear(&downlink.frame))
    }
}

fn id(number: u32) -> PendantId {
    PendantId::new(number).expect("a test's number is valid")
}

/// The button's presses: the long one ends, the double one as well, and calls for help.
pub fn device(silenced: bool) -> Device {
    Device {
        profile: "milesight-ws101".into(),
        decoder: Decoder::MilesightWs101,
        triggers: BTreeMap::from([
            (Sign::PressShort, Trigger::Panic),
            (Sign::PressLong, Trigger::Safe),
            (Sign::PressDouble, Trigger::Duress),
        ]),
        silence: silenced.then(|| Downlink { port: PORT, payload: SILENCE.to_vec() }),
    }
}

/// A gateway that is off, with these buttons and one receiver.
pub fn off(buttons: &[&Button], silenced: bool) -> Rig {
    let mut rig = Rig::off(&[]);
    rig.settings.lorawan = Some(Plan::Eu868);
    for button in buttons {
        rig.keyring.insert(button.enrolment());
        rig.settings.devices.insert(button.id, device(silenced));
    }
    rig
}

/// A running gateway with these buttons.
pub fn on(buttons: &[&Button]) -> Rig {
    let mut rig = off(buttons, false);
    rig.start();
    rig.run_ms(200);
    rig
}
