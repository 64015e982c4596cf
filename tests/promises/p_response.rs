//! What an operator needs stands in every urgent event of a pendant, by the
//! policy of that pendant.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::event::Kind;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::payload::EVENT_WIRE_BYTES;
use pendant_gateway::engine::policy::{ListenIn, Policies, Policy, Response};
use pendant_protocol::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn response(seen: &Seen) -> Value {
    seen.json["data"]["response"].clone()
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

#[test]
fn every_urgent_event_of_a_pendant_bears_a_response_and_no_other_does() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let tamper = Body::Tamper { place: 0 };
    for body in [HEARTBEAT, start(30), pin(WRONG), pin(DURESS), HEARTBEAT, DISCREET, PANIC, tamper]
    {
        rig.exchange(&mut pendant, body);
    }
    for seen in &rig.seen {
        assert_eq!(seen.wire_bytes, EVENT_WIRE_BYTES);
        let covert = seen.json["data"]["covert"].as_bool().expect("always said");
        let expected = match seen.lane() {
            "urgent" => json!({ "procedure": null, "listen_in": null, "do_not_call": covert }),
            _ => Value::Null,
        };
        assert_eq!(response(seen), expected, "{}", seen.kind());
    }
    assert_eq!(rig.count("duress") + rig.count("discreet_panic") + rig.count("panic"), 3);
}

#[test]
fn it_is_the_pendant_s_own_or_else_the_site_s() {
    let (mut own, mut other) = (Pendant::new(1), Pendant::new(2));
    let mut rig = Rig::off(&[&own, &other]);
    let site = Response {
        procedures: BTreeMap::from([(Kind::Duress, name("police"))]),
        procedure_default: Some(name("guard")),
        listen_in: ListenIn::new("tel:+441632960961").ok(),
        do_not_call: BTreeMap::from([(Kind::Panic, true)]),
    };
    let mut yard = site.clone();
    yard.procedure_default = Some(name("yard"));
    yard.listen_in = ListenIn::new("sip:yard@pbx.example.org").ok();
    yard.do_not_call.insert(Kind::Duress, false);
    let policy = |response| Policy { response, ..Policy::default() };
    let pendants = BTreeMap::from([(own.id, policy(yard))]);
    rig.settings.policies = Policies { site: policy(site), pendants };
    rig.start();
    rig.run_ms(200);

    for pendant in [&mut own, &mut other] {
        for body in [HEARTBEAT, start(30), pin(DURESS), PANIC] {
            rig.exchange(pendant, body);
        }
    }
    let expect = |pendant: &Pendant, kind: &str, (procedure, listen_in, do_not_call)| {
        let number = pendant.id.to_string();
        let seen = rig
            .seen
            .iter()
            .find(|seen| seen.kind() == kind && seen.json["data"]["pendant"] == number.as_str())
            .expect("told");
        let expected =
            json!({ "procedure": procedure, "listen_in": listen_in, "do_not_call": do_not_call });
        assert_eq!(response(seen), expected, "{number} {kind}");
    };
    let (of_site, of_yard) = ("tel:+441632960961", "sip:yard@pbx.example.org");
    expect(&own, "session_started", ("yard", of_yard, false));
    expect(&own, "duress", ("police", of_yard, false));
    expect(&own, "panic", ("yard", of_yard, true));
    expect(&other, "session_started", ("guard", of_site, false));
    expect(&other, "duress", ("police", of_site, true));
    expect(&other, "panic", ("guard", of_site, true));
}
