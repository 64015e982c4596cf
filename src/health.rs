//! What a status says that needs somebody, and what to do about it: for `status` and
//! for the local page. Pure; the texts are as the gateway gave them, and whoever shows
//! them escapes them.

mod remedies;

use remedies::remedy;
use serde_json::Value;

const DAY_S: i64 = 86_400;
/// A new certificate takes people some weeks.
const CERTIFICATE_SOON_S: i64 = 30 * DAY_S;
/// A link or a broker that is not there yet so soon after the start is no trouble.
const START_S: u64 = 10;
/// Of a thousand, in which a radio could not listen: a tenth.
const DEAF_PERMILLE_MAX: u64 = 100;
/// A test's receipt may take so long.
const TEST_S: i64 = 60;
const SEE_LOG: &str = "journalctl -u pendant-gateway says more";

/// One thing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Whether alarms may suffer meanwhile; else it can wait for a day.
    pub(crate) is_urgent: bool,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// All of them, the urgent ones first. `now_s` counts from 1970; zero if no clock says.
pub(crate) fn troubles(status: &Value, now_s: i64) -> Vec<Trouble> {
    let mut list = List(Vec::new());
    if !is_of_a_gateway(status) {
        list.now("the gateway's answer is not understood", "is it of another version? Restart it");
        return list.0;
    }
    store(status, &mut list);
    links(status, &mut list);
    air(status, &mut list);
    brokers(status, now_s, &mut list);
    centre(status, now_s, &mut list);
    rest(status, &mut list);
    list.0.sort_by_key(|trouble| !trouble.is_urgent);
    list.0
}

struct List(Vec<Trouble>);

impl List {
    fn now(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Trouble { is_urgent: true, what: what.into(), remedy: remedy.into() });
    }

    fn soon(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Trouble { is_urgent: false, what: what.into(), remedy: remedy.into() });
    }
}

/// Whether all is there without which nothing can be called well.
fn is_of_a_gateway(status: &Value) -> bool {
    let flags = ["journal_works", "centre_heard", "centre_messages", "jamming_suspected"];
    status["links"].is_array()
        && status["brokers"].is_array()
        && flags.iter().all(|flag| status[flag].is_boolean())
}

/// The members of a list.
pub(crate) fn items<'v>(status: &'v Value, list: &str) -> &'v [Value] {
    status[list].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(part: &Value) -> &str {
    part["name"].as_str().unwrap_or("?")
}

fn has_just_started(status: &Value) -> bool {
    status["uptime_s"].as_u64().is_some_and(|uptime_s| uptime_s < START_S)
}

fn remedy_of(fault: &str) -> String {
    remedy(fault).unwrap_or_else(|| SEE_LOG.to_owned())
}

fn store(status: &Value, list: &mut List) {
    if status["journal_works"] == false {
        list.now(
            "the store cannot be written: pendants are answered only when the centre has",
            "free some room on the disk; if there is room, the card is at its end: replace it",
        );
    }
    let words = items(status, "journal_at_start").iter().filter_map(Value::as_str);
    if words.into_iter().any(|words| words.starts_with("DAMAGED")) {
        list.now(
            "the last start found the store damaged; the centre was told",
            "the card loses data: replace it soon. pendant-gateway queue verify says more",
        );
    }
    if let Some(trouble) = status["history_trouble"].as_str() {
        let fate = if status["history_open"] == true { "was lost" } else { "is not kept" };
        list.soon(
            format!("signal quality {fate}: {trouble}"),
            "no alarm depends on it; look at the disk's room and health",
        );
    }
}

fn links(status: &Value, list: &mut List) {
    for link in items(status, "links").iter().filter(|link| link["up"] == false) {
        let name = name(link);
        match link["fault"].as_str() {
            Some(fault) => {
                list.now(format!("receiver {name} does not work: {}", fault), remedy_of(fault))
            }
            None if has_just_started(status) => {}
            None => list.now(format!("receiver {name} does not work yet"), SEE_LOG),
        }
    }
}

fn air(status: &Value, list: &mut List) {
    const JAMMING: &str = "docs/install.md, \"Jamming\"; do not restart the gateway";
    let jammed: Vec<&str> = items(status, "links")
        .iter()
        .filter(|link| link["jamming_suspected"] == true)
        .map(name)
        .collect();
    if !jammed.is_empty() {
        list.now(
            format!("jamming suspected at {}; the centre is told", jammed.join(", ")),
            format!("switch off what came lately near the antenna: {JAMMING}"),
        );
    } else if status["jamming_suspected"] == true || status["reception_suspect"] == true {
        list.now(
            "many pendants fell silent together: jamming, or nothing is heard",
            format!("look at antenna and cable first: {JAMMING}"),
        );
    }
    for link in items(status, "links") {
        let airtime = &link["airtime"];
        let number = |key: &str| airtime[key].as_u64().unwrap_or(0);
        let (spent, allowed) = (number("spent_ms"), number("allowed_ms_per_hour"));
        let is_spent = allowed > 0 && spent.saturating_mul(10) >= allowed.saturating_mul(9);
        let deaf_permille = link["deaf_permille"].as_u64().unwrap_or(0);
        if is_spent || deaf_permille > DEAF_PERMILLE_MAX {
            list.soon(
                format!("receiver {} has little airtime left for answers", name(link)),
                "fewer heartbeats, or a lower spreading factor",
            );
        }
    }
}

fn brokers(status: &Value, now_s: i64, list: &mut List) {
    let all = items(status, "brokers");
    let is_reached = all.iter().any(|broker| broker["connected"] == true);
    for broker in all {
        let name = name(broker);
        let fault = broker["fault"].as_str();
        if broker["connected"] == false && (fault.is_some() || !has_just_started(status)) {
            let why = fault.map_or(String::new(), |fault| format!(": {}", fault));
            let remedy = fault.map_or(SEE_LOG.to_owned(), remedy_of);
            let what = format!("broker {name} is not connected{why}");
            // Events take the way that is left.
            list.0.push(Trouble { is_urgent: !is_reached, what, remedy });
        } else if let Some(fault) = fault {
            list.soon(format!("broker {name}: {}", fault), remedy_of(fault));
        }
        certificate(broker, now_s, list);
    }
}

fn certificate(broker: &Value, now_s: i64, list: &mut List) {
    const ANEW: &str =
        "have a new one signed, in the same place: docs/install.md, \"Certificates\"";
    let name = name(broker);
    let left_s = broker["certificate_ends_unix_s"].as_i64().map(|ends_s| ends_s - now_s);
    if let Some(left_s) = left_s.filter(|left_s| *left_s <= 0) {
        let what = format!("the certificate for broker {name} ended {} days ago", -left_s / DAY_S);
        list.now(what, ANEW);
    } else if let Some(trouble) = broker["certificate_trouble"].as_str() {
        list.soon(format!("certificate for broker {name}: {}", trouble), ANEW);
    } else if let Some(left_s) = left_s.filter(|left_s| *left_s <= CERTIFICATE_SOON_S) {
        let what = format!("the certificate for broker {name} ends in {} days", left_s / DAY_S);
        list.soon(what, ANEW);
    }
}

fn centre(status: &Value, now_s: i64, list: &mut List) {
    let is_reached = items(status, "brokers").iter().any(|broker| broker["connected"] == true);
    // Without a broker there is no way to it: that is told already.
    if is_reached && status["centre_heard"] == false {
        let what = "the centre does not answer events; they are kept and offered again";
        list.now(what, "ask the centre whether it runs and answers (docs/mqtt.md, receipts)");
    }
    if is_reached && status["centre_messages"] == false && !has_just_started(status) {
        list.now(
            "the centre's regular message does not come",
            "ask the centre whether it runs, and may publish to lonework/v1/SITE/GATEWAY/command",
        );
    }
    let test = &status["last_test"];
    let asked_s = test["asked_unix_s"].as_i64();
    let is_late = match asked_s {
        Some(asked_s) => now_s - asked_s > TEST_S,
        // The clock was not set, so nobody knows how long it has been under way.
        None => test["on_its_way"] != true,
    };
    if test["reached_centre"] == false && is_late {
        list.now(
            "the last test alarm did not reach the centre",
            "do what the other lines say, then test again",
        );
    }
}

fn rest(status: &Value, list: &mut List) {
    if status["pendants"] == 0 {
        list.soon("no pendant is enrolled", "sudo pendant-gateway enroll --help");
    }
    let clock = &status["clock"];
    if clock["set"] == false || clock["source"] == "unverified" {
        list.soon(
            "nothing vouches for the clock; alarms go out all the same, and say so",
            "let it reach a time server: timedatectl; or fit a clock with a battery",
        );
    }
    if let Some(fault) = status["lamps"]["fault"].as_str() {
        list.soon(
            format!("a lamp cannot be lit: {}", fault),
            "docs/install.md, \"Lamps\"; no alarm depends on it",
        );
    }
}
