//! Numbers by which programs know the log lines that matter (`MESSAGE_ID` in systemd's
//! journal). Each was drawn once and never changes, whatever becomes of the words:
//! docs/operation.md lists them.

/// The field that bears them.
pub(super) const FIELD: &str = "message_id";

/// The gateway runs.
pub(super) const READY: &str = "58a0687f849d4eec8f4e6766bf4d1def";
/// A receiver does not work.
pub(super) const LINK_DOWN: &str = "7cecb704c0a14d899c9c02824eb8b6d7";
/// A receiver works, or went.
pub(super) const LINK: &str = "f7e7c4679363457eb7575dbe39b74891";
/// A connection to a broker is gone.
pub(super) const BROKER_GONE: &str = "6eb90b519a8747719a39bb33e31a0862";
/// A broker is connected.
pub(super) const BROKER_CONNECTED: &str = "d1472972764044d9a5007a9be9f5d06b";
/// Why a broker cannot be used.
pub(super) const BROKER_FAULT: &str = "8d3ab2ee7e154ebd883fd640032ef5ae";
/// The centre does not answer events.
pub(super) const CENTRE_SILENT: &str = "9f3e989dda1c4e448f5f9062c3cb7235";
/// The centre's regular message does not come.
pub(super) const CENTRE_MESSAGES_MISSING: &str = "86b0a83574ad471fbcc011539f078004";
/// Jamming is suspected.
pub(super) const JAMMING: &str = "ad4c767124d6406bb1de900361790853";
/// The store cannot be written.
pub(super) const JOURNAL_FAILED: &str = "31cb703baf9447689b81500b2c0f1ac9";
/// The store has no room.
pub(super) const JOURNAL_FULL: &str = "c45ff2f18886470c944360aacf355fb4";
/// A part of the store cannot be read back.
pub(super) const JOURNAL_DAMAGED: &str = "92276da490844c098a7cca4492e76a70";
