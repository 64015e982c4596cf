//! The promises of the README, each in a file of its own, borne by the engine in
//! a world in memory.

#[path = "../support/block.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
mod block;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/dice.rs"]
mod dice;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/hunt.rs"]
mod hunt;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/lorawan.rs"]
mod lorawan;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[path = "../support/rig.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
mod rig;
#[path = "../support/twins.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
mod twins;

mod p10_certificates;
mod p10_fail_loud;
mod p11_timers;
mod p1_custody;
mod p2_block;
mod p2_failover;
mod p2_no_loss;
mod p2_power_cut;
mod p3_once;
mod p4_nobody_else;
mod p5_non_interference;
mod p6_covert_incidents;
mod p7_urgent_first;
mod p8_damage;
mod p8_quiet_or_lost;
mod p9_time;
mod p_claimed;
mod p_lorawan;
mod p_lorawan_lives;
mod p_lorawan_plans;
mod p_many_gateways;
mod p_own_test;
mod p_receivers;
mod p_response;
mod p_rollback;
mod p_wearers;
