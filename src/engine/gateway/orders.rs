//! The centre's message: its commands are judged one by one, carried out, and
//! answered in one message of constant size. Every message leads to the same
//! journal frames and one answer, whatever it asked for.

use super::Gateway;
use crate::engine::command::{Ask, Judgement, SilenceNews, Standing, Verdict};
use crate::engine::event::{Detail, Kind};
use crate::engine::journal::{Durable, NoRoom};
use crate::engine::keyring::{Member, MemberKeys};
use crate::engine::notice::Notice;
use crate::engine::pendant::{Change, PendantState};
use crate::engine::seam::{BrokerId, EnrolmentOrder, Output};
use crate::engine::time::Now;
use pendant_protocol::{Instruction, PendantId};

impl Gateway {
    /// A message of the centre, answered through the broker from which it came.
    pub(super) fn centre_message(&mut self, broker: BrokerId, payload: &[u8], now: Now) {
        let heard = self.commands.hear(payload);
        let mut judgements: Vec<Judgement> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        if let Ok(commands) = &heard.commands {
            if let Some(news) = self.silence.heard(now.mono) {
                self.tell_silence(news, now);
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
                    changes.extend(self.carry_out(order));
                }
                judgements.push(judgement);
            }
        }
        let answer = self.commands.answer(broker, &heard, &judgements);
        // Without room nothing was kept, so nothing is answered: the centre asks again,
        // and its own silence about it shows there.
        let changed: Vec<u32> = changes.iter().map(|change| change.pendant).collect();
        #[cfg(feature = "leaks")]
        let answer = {
            let mut answer = answer;
            self.leak_order(&changed, &mut answer, now);
            answer
        };
        match self.journal.append_orders(self.commands.answered(), changes) {
            Ok(lsn) => self.answers.push_back((lsn, answer)),
            // What was changed is journalled with the states as soon as there is room.
            Err(NoRoom) => self.volatile.extend(changed.into_iter().filter_map(PendantId::new)),
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

    /// Carries an order out; gives what it changed of a pendant's state.
    fn carry_out(&mut self, order: &Ask) -> Option<Change> {
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
    ) -> Option<Change> {
        let mut state = self.states.get(pendant)?.clone();
        change(&mut state);
        let changed = state.change();
        self.put_state(pendant, state);
        if self.journal.state_at(pendant).is_none() {
            // A change is read back onto a state; this pendant has none there yet.
            self.volatile.insert(pendant);
        }
        Some(changed)
    }

    fn instruct(&mut self, pendant: PendantId, instruction: Instruction) -> Option<Change> {
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
