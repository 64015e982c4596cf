//! Data downlinks.

use super::crypto::Crypto;
use super::keys::SessionKeys;
use super::session::Reply;
use crate::engine::device::Downlink;
use lorawan::creator::DataPayloadCreator;
use lorawan::keys::{AppSKey, NewSKey};
use lorawan::maccommands::SerializableMacCommand;

/// The codec's shortest buffer.
const BUFFER_BYTES: usize = 256;

/// The bytes of a downlink to any pendant: 24 natively, 12 and more in LoRaWAN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::engine) struct DownlinkBytes(Box<[u8]>);

impl DownlinkBytes {
    pub(in crate::engine) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(in crate::engine) fn into_vec(self) -> Vec<u8> {
        self.0.into_vec()
    }

    #[cfg(any(test, feature = "leaks"))]
    pub(in crate::engine) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Options that are made already.
struct Options<'o>(&'o [u8]);

impl SerializableMacCommand for Options<'_> {
    fn payload_bytes(&self) -> &[u8] {
        &self.0[1..]
    }

    fn cid(&self) -> u8 {
        self.0[0]
    }

    fn payload_len(&self) -> usize {
        self.0.len() - 1
    }
}

/// The downlink that answers a data frame. `options` are commands of the network, at
/// most 15 bytes.
pub(super) fn data_downlink(
    keys: &SessionKeys,
    dev_addr: u32,
    reply: Reply,
    options: &[u8],
    command: Option<&Downlink>,
) -> DownlinkBytes {
    let mut control = lorawan::parser::FCtrl::new(0, false);
    if reply.acknowledges {
        control.set_ack();
    }
    let network = NewSKey::from(*keys.network.as_bytes());
    let application = AppSKey::from(*keys.application.as_bytes());
    let mut frame = DataPayloadCreator::with_options([0; BUFFER_BYTES], Crypto)
        .expect("the buffer is as long as the codec asks for");
    frame
        .set_uplink(false)
        .set_confirmed(reply.asks)
        .set_dev_addr(dev_addr.to_le_bytes())
        .set_fctrl(&control)
        .set_fcnt(reply.down);
    if let Some(command) = command {
        frame.set_f_port(command.port);
    }
    let options = Options(options);
    let some: [&dyn SerializableMacCommand; 1] = [&options];
    let options = if options.0.is_empty() { &[][..] } else { &some[..] };
    let payload = command.map_or(&[][..], |command| &command.payload);
    let built = frame.build(payload, options, &network, &application);
    DownlinkBytes::new(built.expect("options and command are short enough"))
}
