//! The real daemon, on a pseudo terminal, with real and hostile brokers.

#[path = "../support/browser.rs"]
#[allow(unreachable_pub, missing_docs, reason = "support of tests")]
mod browser;
#[path = "../support/clerk.rs"]
#[allow(unreachable_pub, missing_docs, reason = "support of tests")]
mod clerk;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/ledger.rs"]
#[allow(unreachable_pub, missing_docs, reason = "support of tests")]
mod ledger;
#[path = "../support/load.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "support of tests")]
mod load;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
#[path = "../support/alarm_receiver.rs"]
mod receiver;
#[path = "../support/rights.rs"]
#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
mod rights;
#[path = "../support/schema.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
mod schema;
#[path = "../support/sick.rs"]
#[allow(unreachable_pub, missing_docs, reason = "support of tests")]
mod sick;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/site.rs"]
mod site;
#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
#[path = "../support/system.rs"]
mod system;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/tap.rs"]
mod tap;
#[path = "../support/terminal.rs"]
#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
mod terminal;

mod alarm_receiver;
mod bad_input;
mod brokers;
mod buttons;
mod certificates;
mod custody_trace;
mod deadline;
mod desk;
mod desks;
mod disk;
mod end_to_end;
mod failover;
mod first_steps;
mod import;
mod keyring;
mod kill;
mod lorawan;
mod neighbours;
mod network;
mod operation;
mod page;
mod radio;
mod receivers;
mod refusals;
mod service;
mod store_and_forward;
mod subscribers;
mod survey;
mod twins;
mod version_3_1_1;
mod works;
