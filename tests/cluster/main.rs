//! The real daemon at clusters of brokers that speak MQTT 3.1.1, whose nodes are killed
//! under load. Needs Debian's nats-server and rabbitmq-server and takes minutes: only in
//! the long mode.

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/dice.rs"]
mod dice;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/ledger.rs"]
mod ledger;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/load.rs"]
mod load;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/rights.rs"]
mod rights;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/site.rs"]
mod site;

mod clerk;
mod nats;
mod rabbitmq;
mod stage;
