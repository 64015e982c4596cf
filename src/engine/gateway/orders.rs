//! The centre's message: its commands are judged one by one, carried out, and
//! answered in one message of constant size. Every message leads to the same
//! journal frames and one answer, whatever it asked for.

use super::Gateway;
use crate::engine::command::{Ask, COMMANDS_MAX, Judgement, SilenceNews, Standing, Verdict};
use crate::engine::event::{Detail, Kind};
use crate::engine::journal::{Durable, NoRoom};
use crate::engine::keyring::{Member, MemberKeys};
use crate::engine::notice::Notice;
use crate::engine::pendant::PendantState;
use crate::engine::seam::{BrokerId, EnrolmentOrder, Output};
use crate::engine::time::Now;
use pendant_protocol::{Instruction, PendantId};
use std::collections::BTreeSet;

impl Gateway {
    /// A message of the centre, answered through the broker from which it came.
    pub(super) fn centre_message(&mut self, broker: BrokerId, payload: &[u8], now: Now) {
        let heard = self.commands.hear(payload);
        let mut judgements: Vec<Judgement> = Vec::new();
        let mut changed: Vec<PendantId> = Vec::new();
        if let Ok(commands) = &heard.commands {
            if let Some(news) = self.silence.heard(now.mono) {
                self.tell_silence(news, now);
            }
            // Without room nothing is kept, so nothing is carried out or answered: the centre
            // asks again, and its own silence about it shows there. What was let through but
            // not kept would else be answered as done when it is asked again.
            if !self.has_room_for_orders() {
                return;
            }
            for command in commands {
                let (states, members) = (&self.states, &self.members);
                let (journal, delivery) = (&self.journal, &self.delivery);
                #[cfg(feature = "leaks")]
                let leaking = &self.leaking;
                let judgement = self.commands.judge(command, now, |pendant| {
                    let alarm_under_way = delivery.has_covert_alarm_of(pendant, journal);
                    let (state, member) = (states.get(pendant)?, members.get(pendant)?);
                    let standing = Some(standing(state, member, alarm_under_way));
                    #[cfg(feature = "leaks")]
                    let standing = standing.map(|standing| leaking.standing(standing));
                    standing
                });
                if let Verdict::Carry(order) = &judgement.verdict {
                    changed.extend(self.carry_out(order));
                }
                judgements.push(judgement);
            }
        }
        let answer = self.commands.answer(broker, &heard, &judgements);
        #[cfg(feature = "leaks")]
        let answer = {
            let mut answer = answer;
            self.leak_order(&changed, &mut answer, now);
            self.leak_unkept(&changed);
            answer
        };
        self.keep_first_states(&changed);
        let changes = changed.iter().filter_map(|pendant| self.states.get(*pendant));
        let changes = changes.map(PendantState::change).collect();
        match self.journal.append_orders(self.commands.answered(), changes) {
            Ok(lsn) => self.answers.push_back((lsn, answer)),
            // What was changed is journalled with the states as soon as there is room, should
            // a segment have begun between the frames that took it.
            Err(NoRoom) => self.volatile.extend(changed),
        }
    }

    /// Whether what a message of the centre leads to finds room, whatever it asks for.
    fn has_room_for_orders(&self) -> bool {
        #[cfg(feature = "leaks")]
        if self.leaking.unkept() {
            return true;
        }
        self.journal.has_room_for_orders(COMMANDS_MAX)
    }

    /// A change is read back onto a state, and of a pendant that was not heard since it was
    /// enrolled the journal has none: with each message it takes some of them, as many
    /// whether the message changes them or others (P5, P6).
    fn keep_first_states(&mut self, changed: &[PendantId]) {
        #[cfg(feature = "leaks")]
        if self.leaking.unkept() {
            return;
        }
        let is_missing = |pendant: &PendantId| self.journal.state_at(*pendant).is_none();
        // Those that wait for nothing do not take the last room.
        let others = self.states.iter().map(|(pendant, _)| pendant);
        let others = others.filter(|pendant| self.journal.has_room() && !changed.contains(pendant));
        let known: BTreeSet<PendantId> = changed.iter().copied().collect();
        let first: Vec<PendantId> =
            known.into_iter().chain(others).filter(is_missing).take(COMMANDS_MAX).collect();
        for pendant in first {
            self.carry_state(pendant);
        }
    }

    /// Answers leave when what they say is durable.
    pub(super) fn release_answers(&mut self, durable: Durable) {
        while self.answers.front().is_some_and(|(lsn, _)| durable.covers(*lsn)) {
            self.outputs.extend(self.answers.pop_front().map(|(_, answer)| Output::Answer(answer)));
        }
    }

    pub(super) fn handle_silence(&mut self, now: Now) {
        if let Some(news) = self.silence.handle_time(now.mono) {
            self.tell_silence(news, now);
        }
    }

    fn tell_silence(&mut self, news: SilenceNews, now: Now) {
        let come = news == SilenceNews::Back;
        self.outputs.push_back(Output::Tell(Notice::CentreMessages { come }));
        let kind = if come { Kind::CentreBack } else { Kind::CentreLost };
        self.tell(kind, Detail::None, now);
    }

    /// Carries an order out; gives whose state it changed.
    fn carry_out(&mut self, order: &Ask) -> Option<PendantId> {
        match *order {
            Ask::Close { pendant, incident } => self.change(pendant, |state| {
                let of_incident = |open: &mut u32| *open == incident;
                state.actual.covert_incident.take_if(of_incident);
                state.apparent.alert.take_if(of_incident);
            }),
            Ask::Track { pendant, on } => self.change(pendant, |state| state.actual.tracked = on),
            Ask::Vibrate(pendant) => self.instruct(pendant, Instruction::Vibrate),
            Ask::Led(pendant) => self.instruct(pendant, Instruction::Led),
            Ask::Rebind { pendant, ref wearer } => {
                let order = EnrolmentOrder::Rebind { pendant, wearer: wearer.clone() };
                self.outputs.push_back(Output::Enrol(order));
                None
            }
            Ask::Revoke(pendant) => {
                self.outputs.push_back(Output::Enrol(EnrolmentOrder::Revoke { pendant }));
                None
            }
            // No native pendant has a voice side, so none is ever let through.
            Ask::Listen(_) | Ask::Ping => None,
        }
    }

    fn change(
        &mut self,
        pendant: PendantId,
        change: impl FnOnce(&mut PendantState),
    ) -> Option<PendantId> {
        let mut state = self.states.get(pendant)?.clone();
        change(&mut state);
        self.put_state(pendant, state);
        Some(pendant)
    }

    fn instruct(&mut self, pendant: PendantId, instruction: Instruction) -> Option<PendantId> {
        self.instructions.insert(pendant, instruction);
        None
    }
}

fn standing(state: &PendantState, member: &Member, alarm_under_way: bool) -> Standing {
    Standing {
        deaf: !matches!(member.keys, MemberKeys::Native { .. }),
        covert_incident: state.actual.covert_incident,
        alarm_under_way,
        open_incident: state.apparent.alert,
        voice: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fresh, now};
    use super::*;
    use crate::engine::age::{Age, Tick};
    use crate::engine::command::CENTRE_WIRE_BYTES;
    use crate::engine::journal::Limits;
    use crate::engine::journal::medium_test::{BOOT, Medium, event, of, replay, state};
    use crate::engine::keyring::{Enrolment, Keyring, Secrets};
    use crate::engine::name::Name;
    use crate::engine::payload::topic_base;
    use crate::engine::seam::{DiskDone, DiskFault, DiskOp, Input};
    use crate::engine::time::Wall;

    /// One that asks for pendant 1 to be tracked, always with the same id.
    fn message(gateway: &Gateway, number: u64) -> Vec<u8> {
        let topic = format!("{}/command", topic_base(&gateway.settings));
        let id = "0190a1b2-c3d4-7e5f-8a0b";
        let command =
            format!(r#"{{"id":"{id}-00000000000a","kind":"track","pendant":"000001","on":true}}"#);
        let mut text = format!(
            r#"{{"message":"{id}-{number:012x}","boot":"{:016x}","number":{number},"commands":[{command}]}}"#,
            gateway.boot
        );
        let length = CENTRE_WIRE_BYTES - topic.len();
        text.extend(std::iter::repeat_n(' ', length - text.len()));
        text.into_bytes()
    }

    /// Does what it asks of a medium that has room for one file: how many answers leave.
    fn served(gateway: &mut Gateway, medium: &mut Medium) -> usize {
        let mut answers = 0;
        gateway.handle(now(0), Input::Timer);
        while let Some(output) = gateway.poll_output() {
            match output {
                Output::Disk(DiskOp::Allocate { ticket, .. }) if !medium.files.is_empty() => {
                    let full = DiskDone::Failed(ticket, DiskFault::Full);
                    gateway.handle(now(0), Input::Disk(full));
                }
                Output::Disk(operation) => {
                    let done = medium.carry_out(operation);
                    gateway.handle(now(0), Input::Disk(done));
                }
                Output::Answer(_) => answers += 1,
                _ => {}
            }
        }
        answers
    }

    /// The disk hangs when it is asked for first. When it is asked for again there is no room
    /// for a heartbeat, for which the pendant's state waits.
    #[test]
    fn what_found_no_room_is_not_answered_as_done_before_it_is_durable() {
        let (mut gateway, mut medium) = (fresh(), Medium::default());
        let pendant = PendantId::new(1).expect("a number");
        let (wearer, secrets) =
            (Name::new("nurse-7").expect("a name"), Secrets::Claimed { number: 1 });
        let mut keyring = Keyring::new();
        keyring.insert(Enrolment { pendant, id: 7, wearer, secrets });
        gateway.take_keyring(&keyring, now(0));
        served(&mut gateway, &mut medium);
        assert!(gateway.journal.carry_state(pendant, &state(1)));
        served(&mut gateway, &mut medium);
        gateway.volatile.insert(pendant);
        let heartbeat = of(1, event(Kind::Heartbeat, BOOT, 1));
        gateway.delivery.offer_fresh(&heartbeat, None, &gateway.voice, now(0), drop);
        while gateway.journal.append_tick(Tick { age: Age::default(), wall: Wall::Unset }) {}
        gateway.centre_message(BrokerId(0), &message(&gateway, 1), now(0));
        assert_eq!(served(&mut gateway, &mut medium), 0, "there was no room");
        gateway.centre_message(BrokerId(0), &message(&gateway, 2), now(0));
        assert_eq!(served(&mut gateway, &mut medium), 1);
        let limits = Limits { files_max: 8, files_reserved: 0 };
        let found = replay(&medium.files).finish(BOOT + 1, limits).expect("of this store");
        assert!(found.states[&pendant].actual.tracked, "it was answered as done");
    }
}
