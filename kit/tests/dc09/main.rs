//! `pendant-kit dc09` as an operator runs it: a broker, gateways and alarm receivers
//! that the test plays, and pysiaalarm, which others wrote.

#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
#[path = "../../../tests/support/alarm_receiver.rs"]
mod alarm_receiver;
mod behaviour;
mod others;
mod rig;
mod station;
