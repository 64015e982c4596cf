//! Deliberate faults of the kinds that such programs are known to have. They
//! exist to be found: the simulation (`tests/simulation`) plants one and asserts
//! that its judge sees it. Without the feature `mutants` none can be planted, and
//! the compiler takes the questions out.

/// A fault that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A repetition is answered although its record is not durable.
    AnswerBeforeSync,
    /// After a failed sync the same bytes are synced again in the same place.
    SyncAgainInPlace,
    /// A PUBACK is taken for the centre's word.
    ReleaseOnPuback,
    /// Recovery forgets what was heard before.
    ForgetWindow,
    /// Every boot has the same number, so that its events' numbers come again.
    RepeatBoot,
    /// An event's id depends on chance.
    ChanceInEventId,
    /// Every downlink has the same salt, so that its nonce comes again with another text.
    RepeatSalt,
    /// A refused event is given up.
    DropRefused,
    /// An offer to which nobody subscribes counts as delivered.
    UnheardIsDelivered,
    /// What was offered on a connection that is gone is never offered again.
    LoseOpenOffers,
    /// Timers do not survive a restart.
    ForgetTimers,
    /// The gateway's age does not survive a restart.
    ForgetAge,
    /// A frame that was held back acts as if it came in order.
    LateFramesAct,
    /// A safe PIN closes a covert incident.
    SafePinCloses,
    /// Cleaning gives up urgent events.
    ShedUrgent,
    /// Nothing is taken while the clock is not set.
    RefuseWhileUnset,
    /// A hole in the last commit does not end the log.
    TornTailCounts,
    /// A segment is used again before what was carried out of it is durable.
    FreeTooSoon,
    /// Cleaning forgets the states of pendants.
    LeaveStatesBehind,
    /// A segment that is begun after a failed sync tells numbers that are not durable.
    TellOpenNumbers,
    /// An error of reading counts as damage.
    ReadErrorIsDamage,
    /// FCntDown of a LoRaWAN session does not rise.
    RepeatDownlinkCounter,
    /// A LoRaWAN join is answered, and its nonces are forgotten.
    ForgetJoins,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Those that the simulation of native pendants must see.
    pub const ALL: [Self; 21] = [
        Self::AnswerBeforeSync,
        Self::SyncAgainInPlace,
        Self::ReleaseOnPuback,
        Self::ForgetWindow,
        Self::RepeatBoot,
        Self::ChanceInEventId,
        Self::RepeatSalt,
        Self::DropRefused,
        Self::UnheardIsDelivered,
        Self::LoseOpenOffers,
        Self::ForgetTimers,
        Self::ForgetAge,
        Self::LateFramesAct,
        Self::SafePinCloses,
        Self::ShedUrgent,
        Self::RefuseWhileUnset,
        Self::TornTailCounts,
        Self::FreeTooSoon,
        Self::LeaveStatesBehind,
        Self::TellOpenNumbers,
        Self::ReadErrorIsDamage,
    ];

    /// Those that only LoRaWAN pendants can show.
    pub const LORAWAN: [Self; 2] = [Self::RepeatDownlinkCounter, Self::ForgetJoins];
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants a fault in the gateways of this thread, or none.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether a fault is planted.
#[cfg(feature = "mutants")]
pub(super) fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether a fault is planted: never.
#[cfg(not(feature = "mutants"))]
pub(super) const fn planted(_: Mutant) -> bool {
    false
}
