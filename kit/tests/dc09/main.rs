//! `pendant-kit dc09` as an operator runs it: a broker, gateways and alarm receivers
//! that the test plays, and pysiaalarm, which others wrote.

mod behaviour;
mod others;
mod rig;
mod station;
