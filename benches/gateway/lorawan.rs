//! LoRaWAN frames on one core: confirmed presses of many devices, each with keys of its
//! own, authenticated, recorded, told and acknowledged.

use crate::Outcome;
use crate::engine::on_cpu_s;
use crate::stats::{median, print, print_noise};
use crate::world::{Memory, World};
use pendant_gateway::engine::device::{Decoder, Device, Sign, Trigger};
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::keyring::{Enrolment, Keyring, Secrets};
use pendant_gateway::engine::lorawan::{Activation, SecretKey};
use pendant_gateway::engine::name::Name;
use pendant_kit::lorawan::{Asks, DeviceSession};
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// On which these buttons speak, and what they say unpressed: their battery's charge.
pub(crate) const PORT: u8 = 85;
pub(crate) const QUIET: [u8; 3] = [0x01, 0x75, 0x50];

const DEVICES: u32 = 1_000;
const FRAMES_EACH: usize = 20;
const ROUNDS: usize = 5;
/// All that is taken of one concentrator: eight channels cannot carry more.
const CONCENTRATOR_FRAMES_PER_S: f64 = 256.0;

pub(crate) fn frames() -> Outcome {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(rate()?);
    }
    print_noise("engine.lorawan_frames_per_s", &rates, "1/s");
    print("engine.lorawan_frames_per_s", median(&rates), "1/s");
    let share = CONCENTRATOR_FRAMES_PER_S / median(&rates) * 100.0;
    print("engine.lorawan_concentrator_core", share, "%");
    Ok(())
}

fn rate() -> Outcome<f64> {
    let (keyring, mut sessions) = site(DEVICES)?;
    let key = JournalKey::from_bytes([7; 32]);
    let mut world = World::new(Memory::default(), &keyring, key, true)?;
    let asks = Asks { confirmed: true, ..Asks::default() };
    let mut frames = Vec::new();
    for _ in 0..FRAMES_EACH {
        // A payload of a button's length; without a profile it is told as not understood.
        let said =
            sessions.iter_mut().map(|session| session.say(PORT, &[1, 0x75, 80, 255, 46, 1], asks));
        frames.extend(said);
    }
    let begun = on_cpu_s()?;
    for frame in &frames {
        world.frame(frame)?;
    }
    let took_s = on_cpu_s()? - begun;
    let last = world.answer.take().ok_or("no answer")?;
    let newest = sessions.last_mut().ok_or("no device")?;
    let heard = newest.hear(&last).ok_or("an answer that does not open")?;
    if !heard.acknowledges {
        return Err("the last frame was not acknowledged".into());
    }
    Ok(frames.len() as f64 / took_s)
}

/// So many devices that have sessions.
pub(crate) fn site(devices: u32) -> Outcome<(Keyring, Vec<DeviceSession>)> {
    let mut keyring = Keyring::new();
    let mut sessions = Vec::new();
    for number in 1..=devices {
        let session = session(number);
        keyring.insert(enrolment(number, &session)?);
        sessions.push(session);
    }
    Ok((keyring, sessions))
}

/// What the devices are: buttons whose presses call for help openly.
pub(crate) fn buttons(devices: u32) -> Outcome<BTreeMap<PendantId, Device>> {
    let button = Device {
        profile: "milesight-ws101".into(),
        decoder: Decoder::MilesightWs101,
        triggers: BTreeMap::from([(Sign::PressShort, Trigger::Panic)]),
        silence: None,
    };
    let numbered = (1..=devices).map(|number| Some((PendantId::new(number)?, button.clone())));
    Ok(numbered.collect::<Option<_>>().ok_or("a number")?)
}

fn session(number: u32) -> DeviceSession {
    let key = |what: u8| {
        let mut key = [what; 16];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    };
    DeviceSession {
        dev_addr: 0x2601_0000 + number,
        nwk_s_key: key(1),
        app_s_key: key(2),
        up: 0,
        down: None,
        owes_ack: false,
    }
}

fn enrolment(number: u32, session: &DeviceSession) -> Outcome<Enrolment> {
    let activation = Activation::Abp {
        dev_addr: session.dev_addr,
        nwk_s_key: SecretKey::from_bytes(session.nwk_s_key),
        app_s_key: SecretKey::from_bytes(session.app_s_key),
    };
    Ok(Enrolment {
        pendant: PendantId::new(number).ok_or("a number")?,
        id: number.into(),
        wearer: Name::new("nurse-7")?,
        secrets: Secrets::LoRaWan(activation),
    })
}
