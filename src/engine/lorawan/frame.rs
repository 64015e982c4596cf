//! Bytes of the air -> a LoRaWAN uplink of the right form. Nothing in it is believed
//! yet. Read by the codec; what it does not check is checked here.

use super::crypto::Crypto;
use super::keys::{Eui, SecretKey, SessionKeys};
use super::mac::Requests;
use lorawan::parser::{
    AsPhyPayloadBytes, DataHeader, EncryptedDataPayload, FRMPayload, JoinRequestPayload, MHDR,
    MICAble, MType, Major,
};

/// An uplink.
pub(in crate::engine) enum Frame<'b> {
    /// A device wants a session.
    Join(JoinRequest<'b>),
    /// A device says something in its session.
    Data(DataUp<'b>),
}

/// A request to join.
pub(in crate::engine) struct JoinRequest<'b>(JoinRequestPayload<&'b [u8], Crypto>);

/// A data frame.
pub(in crate::engine) struct DataUp<'b>(EncryptedDataPayload<&'b [u8], Crypto>);

/// What an authentic data frame says.
pub(super) struct Opened {
    pub(super) confirmed: bool,
    /// It acknowledges the last confirmed downlink.
    pub(super) acknowledges: bool,
    /// It wants to hear anything at all, or it will speak slower.
    pub(super) wants_answer: bool,
    pub(super) requests: Requests,
    /// The application's port and bytes.
    pub(super) payload: Option<(u8, Vec<u8>)>,
}

impl<'b> Frame<'b> {
    /// `None` if it is no uplink of LoRaWAN.
    pub(in crate::engine) fn parse(bytes: &'b [u8]) -> Option<Self> {
        let header = MHDR::new(*bytes.first()?);
        if header.major() != Major::LoRaWANR1 {
            return None;
        }
        match header.mtype() {
            MType::JoinRequest => JoinRequestPayload::new_with_factory(bytes, Crypto)
                .ok()
                .map(JoinRequest)
                .map(Self::Join),
            MType::UnconfirmedDataUp | MType::ConfirmedDataUp => {
                EncryptedDataPayload::new_with_factory(bytes, Crypto)
                    .ok()
                    .map(DataUp)
                    .map(Self::Data)
            }
            _ => None,
        }
    }
}

impl JoinRequest<'_> {
    pub(in crate::engine) fn dev_eui(&self) -> Eui {
        eui(self.0.dev_eui().as_ref())
    }

    pub(super) fn join_eui(&self) -> Eui {
        eui(self.0.app_eui().as_ref())
    }

    pub(super) fn dev_nonce(&self) -> u16 {
        let nonce = self.0.dev_nonce();
        u16::from_le_bytes(nonce.as_ref().try_into().expect("two bytes"))
    }

    pub(super) fn is_made_with(&self, app_key: &SecretKey) -> bool {
        self.0.validate_mic(&app_key.for_codec())
    }
}

/// The low half of the counter of what looks like a data frame: anyone who hears it can
/// read that. Nothing is believed by it.
#[must_use]
pub fn counter_in_clear(bytes: &[u8]) -> Option<u16> {
    match Frame::parse(bytes)? {
        Frame::Data(frame) => Some(frame.counter_low()),
        Frame::Join(_) => None,
    }
}

/// On the air the lowest byte goes first.
fn eui(bytes: &[u8]) -> Eui {
    Eui(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

impl DataUp<'_> {
    pub(in crate::engine) fn dev_addr(&self) -> u32 {
        let address = self.0.fhdr().dev_addr();
        u32::from_le_bytes(address.as_ref().try_into().expect("four bytes"))
    }

    /// The low half of its counter.
    pub(super) fn counter_low(&self) -> u16 {
        self.0.fhdr().fcnt()
    }

    /// Its integrity code.
    pub(super) fn code(&self) -> [u8; 4] {
        self.0.mic().0
    }

    pub(super) fn is_made_with(&self, keys: &SessionKeys, counter: u32) -> bool {
        self.0.validate_mic(&keys.network.for_codec(), counter)
    }

    /// Reads a frame that was found to be made with these keys and this counter.
    pub(super) fn open(&self, keys: &SessionKeys, counter: u32) -> Opened {
        let header = self.0.fhdr();
        let control = header.fctrl();
        let own = EncryptedDataPayload::new_with_factory(self.0.as_bytes().to_vec(), Crypto);
        let (network, application) = (keys.network.for_codec(), keys.application.for_codec());
        let opened = own
            .and_then(|own| own.decrypt(Some(&network), Some(&application), counter))
            .expect("of the right form, and both keys are there");
        let (payload, commands) = match opened.frm_payload() {
            FRMPayload::Data(bytes) => (opened.f_port().map(|port| (port, bytes.to_vec())), None),
            FRMPayload::MACCommands(commands) => (None, Some(Requests::read(commands.data()))),
            FRMPayload::None => (None, None),
        };
        Opened {
            confirmed: self.0.is_confirmed(),
            acknowledges: control.ack(),
            wants_answer: control.adr_ack_req(),
            requests: commands.unwrap_or_else(|| Requests::read(header.data())),
            payload,
        }
    }
}
