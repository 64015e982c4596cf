//! The keyring changes while the gateway runs: by the centre's orders, and by commands
//! on site after which it is read again.

use super::Daemon;
use crate::engine::keyring::Keyring;
use crate::engine::seam::{EnrolmentOrder, Input};
use crate::shell::keyring_files::{self, BindError, LoadedKeyring, Patience};
use std::io;

/// Orders that may wait for a command to let go of the keyring.
const ORDERS_MAX: usize = 256;

impl Daemon {
    /// What the centre wants of an enrolment, as soon as nobody else changes the keyring.
    pub(super) fn order(&mut self, order: EnrolmentOrder) {
        if self.orders.len() < ORDERS_MAX {
            self.orders.push_back(order);
        } else {
            not_carried_out("a command holds the keyring, and too many orders wait for it");
        }
    }

    /// Carries them out; the engine learns of it as of any other change of the keyring.
    /// A command may hold the keyring for as long as somebody leaves it stopped: then they
    /// stay for a later turn, since the loop waits for nobody.
    pub(super) fn carry_out_orders(&mut self) {
        while let Some(order) = self.orders.front() {
            let done = match order {
                EnrolmentOrder::Rebind { pendant, wearer } => {
                    self.keyring.bind(*pendant, wearer.clone(), None, Patience::None).map(drop)
                }
                EnrolmentOrder::Revoke { pendant } => {
                    keyring_files::remove(&self.store, *pendant, Patience::None)
                        .map_err(BindError::Io)
                }
            };
            match done {
                Err(BindError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => not_carried_out(&error.to_string()),
                Ok(()) => {}
            }
            self.orders.pop_front();
            self.reload_wanted = true;
        }
    }

    /// Before the daemon ends: an order was acknowledged to the centre, and is forgotten with
    /// the process. What a command still keeps from being carried out is told.
    pub(super) fn carry_out_last_orders(&mut self) {
        self.carry_out_orders();
        for _ in self.orders.drain(..) {
            not_carried_out("the gateway was stopped while a command held the keyring");
        }
    }

    pub(super) fn reload(&mut self) -> Result<usize, String> {
        let loaded = self.keyring.load_again(&self.enrolled).map_err(|error| error.to_string())?;
        self.enrolled = told(loaded);
        let pendants = self.enrolled.len();
        tracing::info!(pendants, "keyring read again");
        self.input(Input::Keyring(self.enrolled.clone()));
        Ok(pendants)
    }

    pub(super) fn reload_or_say(&mut self) {
        if let Err(error) = self.reload() {
            tracing::error!(error, "the keyring stays as it was");
        }
    }
}

fn not_carried_out(error: &str) {
    tracing::error!(error, "the centre's order for an enrolment could not be carried out");
}

/// What was read, with what could not be told.
pub(super) fn told(loaded: LoadedKeyring) -> Keyring {
    for damaged in &loaded.damaged {
        tracing::error!("{damaged}");
    }
    loaded.keyring
}
