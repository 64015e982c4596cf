//! A LoRaWAN device of class A as its firmware is (LoRaWAN 1.0.x), written on the
//! public codec and its ciphers, not on the gateway's: each holds the other to the
//! standard. It has no clock and no radio; whoever plays it carries its frames.

use lorawan::creator::{DataPayloadCreator, JoinRequestCreator};
use lorawan::default_crypto::DefaultFactory;
use lorawan::keys::{AES128, AppKey, AppSKey, NewSKey};
use lorawan::maccommands::{
    DeviceTimeReqPayload, DownlinkMacCommand, LinkCheckReqPayload, SerializableMacCommand,
    UplinkMacCommand, parse_downlink_mac_commands,
};
use lorawan::parser::{
    CfList, DataHeader, DecryptedJoinAcceptPayload, DevNonce, EncryptedDataPayload, FCtrl,
    FRMPayload,
};
use serde::{Deserialize, Serialize};

/// A device with what it was given at the factory, and its session if it has one.
#[derive(Clone, Debug)]
pub struct LoRaWanDevice {
    /// DevEUI.
    pub dev_eui: u64,
    /// JoinEUI.
    pub join_eui: u64,
    /// AppKey.
    pub app_key: [u8; 16],
    /// The nonce of the last join.
    pub dev_nonce: u16,
    /// What it joined to, or was given.
    pub session: Option<DeviceSession>,
}

/// A session as the device sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSession {
    /// Its address.
    pub dev_addr: u32,
    /// For the integrity code, and what the network says.
    pub nwk_s_key: [u8; 16],
    /// For what it says.
    pub app_s_key: [u8; 16],
    /// FCntUp of the next frame.
    pub up: u32,
    /// FCntDown of the last downlink.
    pub down: Option<u32>,
    /// A confirmed downlink waits to be acknowledged.
    pub owes_ack: bool,
}

/// What a frame asks of the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks {
    /// An acknowledgement.
    pub confirmed: bool,
    /// Any downlink at all (ADRACKReq).
    pub answer: bool,
    /// LinkCheckReq.
    pub link_check: bool,
    /// DeviceTimeReq.
    pub device_time: bool,
}

/// What a join said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// JoinNonce.
    pub join_nonce: u32,
    /// Frequencies of further channels, Hz; empty if the list is a mask or missing.
    pub channels_hz: Vec<u32>,
    /// RxDelay, seconds.
    pub rx_delay_s: u8,
    /// Data rate of the second window.
    pub rx2_data_rate: u8,
}

/// What a downlink said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// FCntDown.
    pub counter: u32,
    /// It acknowledges the last frame.
    pub acknowledges: bool,
    /// It is to be acknowledged.
    pub confirmed: bool,
    /// The application's port and bytes.
    pub payload: Option<(u8, Vec<u8>)>,
    /// LinkCheckAns: margin in dB, gateways.
    pub link: Option<(u8, u8)>,
    /// DeviceTimeAns: GPS seconds.
    pub gps_s: Option<u32>,
}

impl LoRaWanDevice {
    /// A device that must join.
    #[must_use]
    pub fn new(dev_eui: u64, app_key: [u8; 16]) -> Self {
        Self { dev_eui, join_eui: 0x70B3_D57E_D000_0000, app_key, dev_nonce: 0, session: None }
    }

    /// A request to join, with the next nonce.
    pub fn join(&mut self) -> Vec<u8> {
        self.dev_nonce = self.dev_nonce.wrapping_add(1);
        let mut frame = JoinRequestCreator::new();
        frame
            .set_app_eui(self.join_eui.to_le_bytes())
            .set_dev_eui(self.dev_eui.to_le_bytes())
            .set_dev_nonce(self.dev_nonce.to_le_bytes());
        frame.build(&AppKey::from(self.app_key)).to_vec()
    }

    /// Hears a join accept; `None` if it is none for this device.
    pub fn accept(&mut self, bytes: &[u8]) -> Option<Joined> {
        let key = AppKey::from(self.app_key);
        let accept = DecryptedJoinAcceptPayload::new(bytes.to_vec(), &key).ok()?;
        let nonce = DevNonce::new(self.dev_nonce.to_le_bytes())?;
        self.session = Some(DeviceSession {
            dev_addr: u32::from_le_bytes(accept.dev_addr().as_ref().try_into().ok()?),
            nwk_s_key: accept.derive_newskey(&nonce, &key).inner().0,
            app_s_key: accept.derive_appskey(&nonce, &key).inner().0,
            up: 0,
            down: None,
            owes_ack: false,
        });
        let [a, b, c] = accept.app_nonce().as_ref().try_into().ok()?;
        let channels_hz = match accept.c_f_list() {
            Some(CfList::DynamicChannel(list)) => list.iter().map(|hz| hz.value()).collect(),
            _ => Vec::new(),
        };
        Some(Joined {
            join_nonce: u32::from_le_bytes([a, b, c, 0]),
            channels_hz,
            rx_delay_s: accept.rx_delay(),
            rx2_data_rate: accept.dl_settings().rx2_data_rate(),
        })
    }
}

impl DeviceSession {
    /// The next frame, with a payload of so many bytes as its data rate lets be sent
    /// (242 at most). Sent again, it is the same bytes.
    ///
    /// # Panics
    /// Payload and what it asks for do not fit into a frame of 256 bytes.
    pub fn say(&mut self, port: u8, payload: &[u8], asks: Asks) -> Vec<u8> {
        let mut control = FCtrl::new(0, true);
        if asks.answer {
            control.set_adr();
            control.set_adr_ack_req();
        }
        if std::mem::take(&mut self.owes_ack) {
            control.set_ack();
        }
        let mut frame = DataPayloadCreator::new();
        frame
            .set_confirmed(asks.confirmed)
            .set_uplink(true)
            .set_dev_addr(self.dev_addr.to_le_bytes())
            .set_fctrl(&control)
            .set_fcnt(self.up);
        if !payload.is_empty() {
            frame.set_f_port(port);
        }
        let link_check = UplinkMacCommand::LinkCheckReq(LinkCheckReqPayload());
        let device_time = UplinkMacCommand::DeviceTimeReq(DeviceTimeReqPayload());
        let mut commands: Vec<&dyn SerializableMacCommand> = Vec::new();
        if asks.link_check {
            commands.push(&link_check);
        }
        if asks.device_time {
            commands.push(&device_time);
        }
        self.up += 1;
        let (network, application) = (NewSKey::from(self.nwk_s_key), AppSKey::from(self.app_s_key));
        let built = frame.build(payload, &commands, &network, &application);
        built.expect("short enough for a frame").to_vec()
    }

    /// Hears a downlink; `None` if it is not for this device, forged, or an old one.
    pub fn hear(&mut self, bytes: &[u8]) -> Option<Heard> {
        let heard = self.open(bytes)?;
        if self.down.is_some_and(|last| heard.counter <= last) {
            return None;
        }
        self.down = Some(heard.counter);
        self.owes_ack = heard.confirmed;
        Some(heard)
    }

    /// Reads a downlink, old or new, and takes no note of it; `None` if it is not for this
    /// device, or forged.
    #[must_use]
    pub fn open(&self, bytes: &[u8]) -> Option<Heard> {
        let frame = EncryptedDataPayload::new_with_factory(bytes.to_vec(), DefaultFactory).ok()?;
        let address = u32::from_le_bytes(frame.fhdr().dev_addr().as_ref().try_into().ok()?);
        let counter = u32::from(frame.fhdr().fcnt());
        let (network, application) = (AES128(self.nwk_s_key), AES128(self.app_s_key));
        if frame.is_uplink() || address != self.dev_addr {
            return None;
        }
        if !frame.validate_mic(&network, counter) {
            return None;
        }
        let opened = frame.decrypt(Some(&network), Some(&application), counter).ok()?;
        let mut heard = Heard {
            counter,
            acknowledges: opened.fhdr().fctrl().ack(),
            confirmed: opened.is_confirmed(),
            payload: match opened.frm_payload() {
                FRMPayload::Data(bytes) => opened.f_port().map(|port| (port, bytes.to_vec())),
                _ => None,
            },
            ..Heard::default()
        };
        for command in parse_downlink_mac_commands(opened.fhdr().data()) {
            match command {
                DownlinkMacCommand::LinkCheckAns(it) => {
                    heard.link = Some((it.margin(), it.gateway_count()));
                }
                // The codec's own reading takes the bytes in the wrong order.
                DownlinkMacCommand::DeviceTimeAns(it) => {
                    heard.gps_s = it.bytes().first_chunk().copied().map(u32::from_le_bytes);
                }
                _ => {}
            }
        }
        Some(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_downlink_is_survived(bytes: Vec<u8>) {
            let mut device = LoRaWanDevice::new(1, [9; 16]);
            prop_assert_eq!(device.accept(&bytes), None);
            let session = DeviceSession {
                dev_addr: 1,
                nwk_s_key: [1; 16],
                app_s_key: [2; 16],
                up: 0,
                down: None,
                owes_ack: false,
            };
            prop_assert_eq!(session.open(&bytes), None);
        }
    }
}
