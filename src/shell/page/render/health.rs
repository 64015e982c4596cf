//! How the gateway is, in one sentence, and what to do.

use super::{items, text};
use crate::plot::escaped;
use crate::shell::page::live::Snapshot;

/// A link or a broker that is not there yet so soon after the start is no trouble.
const START_S: u64 = 10;
const DAY_S: i64 = 86_400;

struct Trouble {
    is_urgent: bool,
    /// HTML.
    what: String,
    remedy: &'static str,
}

/// HTML. The first sentence says all in short.
pub(super) fn health(snapshot: &Snapshot) -> String {
    let troubles = troubles(snapshot);
    if troubles.is_empty() {
        return "<p class=\"good\"><b>All is well.</b> Pendants are heard, and the centre \
                answers.</p>"
            .to_owned();
    }
    let urgent = troubles.iter().filter(|trouble| trouble.is_urgent).count();
    let mut html = match urgent {
        0 => "<p class=\"look\"><b>It works, and something should be looked at.</b></p>".to_owned(),
        _ => {
            "<p class=\"bad\"><b>Alarms may suffer: something must be done now.</b></p>".to_owned()
        }
    };
    html += "<ul>";
    for grave in [true, false] {
        for trouble in troubles.iter().filter(|trouble| trouble.is_urgent == grave) {
            let class = if grave { "bad" } else { "look" };
            html += &format!(
                "<li><b class=\"{class}\">{}</b><p class=\"todo\">{}</p></li>",
                trouble.what, trouble.remedy
            );
        }
    }
    html + "</ul>"
}

fn troubles(snapshot: &Snapshot) -> Vec<Trouble> {
    let status = &snapshot.status;
    let mut all = Vec::new();
    let mut say = |is_urgent, what: String, remedy| all.push(Trouble { is_urgent, what, remedy });
    let has_just_started = status["uptime_s"].as_u64().is_some_and(|up| up < START_S);
    if status["journal_works"] == false {
        say(
            true,
            "The store cannot be written.".into(),
            "Free some room on the disk; if there is room, replace the card.",
        );
    }
    for link in items(status, "links") {
        let name = text(&link["name"]);
        let fault = link["fault"].as_str().map(escaped);
        if link["up"] == false && (fault.is_some() || !has_just_started) {
            let why = fault.map_or(String::new(), |fault| format!(": {fault}"));
            say(
                true,
                format!("Receiver {name} does not work{why}"),
                "Is it plugged in, and its path right? <code>pendant-gateway check</code> says more.",
            );
        }
        if link["jamming_suspected"] == true {
            say(
                true,
                format!("Jamming suspected at {name}."),
                "The centre is told. Switch off what came lately near the antenna; do not restart \
                 the gateway.",
            );
        }
    }
    let is_jammed = items(status, "links").iter().any(|link| link["jamming_suspected"] == true);
    if status["reception_suspect"] == true || (status["jamming_suspected"] == true && !is_jammed) {
        say(
            true,
            "Many pendants fell silent together.".into(),
            "Look at the antenna and its cable first.",
        );
    }
    brokers(snapshot, has_just_started, &mut say);
    if status["pendants"] == 0 {
        say(
            false,
            "No pendant is enrolled.".into(),
            "<code>sudo pendant-gateway enroll --help</code>",
        );
    }
    if status["clock"]["set"] == false || status["clock"]["source"] == "unverified" {
        say(
            false,
            "Nothing vouches for the clock. Alarms go out all the same, and say so.".into(),
            "Let it reach a time server: <code>timedatectl</code>",
        );
    }
    if let Some(trouble) = status["history_trouble"].as_str() {
        say(
            false,
            format!("Signal quality is not kept: {}", escaped(trouble)),
            "No alarm depends on it; look at the disk's room and health.",
        );
    }
    all
}

fn brokers(
    snapshot: &Snapshot,
    has_just_started: bool,
    say: &mut impl FnMut(bool, String, &'static str),
) {
    let status = &snapshot.status;
    let all = items(status, "brokers");
    let is_reached = all.iter().any(|broker| broker["connected"] == true);
    for broker in all {
        let name = text(&broker["name"]);
        let fault = broker["fault"].as_str().map(escaped);
        let why = fault.as_ref().map_or(String::new(), |fault| format!(": {fault}"));
        if broker["connected"] == false && (fault.is_some() || !has_just_started) {
            say(
                !is_reached,
                format!("Broker {name} is not connected{why}"),
                "Events are kept. Does the line work? <code>pendant-gateway check</code> says more.",
            );
        } else if fault.is_some() {
            say(false, format!("Broker {name}{why}"), "Ask the centre to look at its broker.");
        }
        const ANEW: &str = "Have a new one signed, and put it in the same place.";
        let now = snapshot.unix_s.and_then(|now| i64::try_from(now).ok());
        let left_s =
            now.zip(broker["certificate_ends_unix_s"].as_i64()).map(|(now, end)| end - now);
        if left_s.is_some_and(|left| left <= 0) {
            say(true, format!("The certificate for broker {name} has ended."), ANEW);
        } else if let Some(trouble) = broker["certificate_trouble"].as_str() {
            say(false, format!("Certificate for broker {name}: {}", escaped(trouble)), ANEW);
        } else if let Some(left) = left_s.filter(|left| *left <= 30 * DAY_S) {
            let days = left / DAY_S;
            say(false, format!("The certificate for broker {name} ends in {days} days."), ANEW);
        }
    }
    if is_reached && status["centre_heard"] == false {
        say(
            true,
            "The centre does not answer events; they are kept.".into(),
            "Ask the centre whether it runs.",
        );
    }
    if is_reached && status["centre_messages"] == false && !has_just_started {
        say(
            true,
            "The centre's regular message does not come.".into(),
            "Ask the centre whether it runs, and may publish to this gateway's command topic.",
        );
    }
}
