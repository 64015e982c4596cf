//! How the gateway is, in one sentence, and what to do.

use crate::health::troubles;
use crate::plot::escaped;
use crate::shell::page::live::Snapshot;

/// HTML. The first sentence says all in short.
pub(super) fn health(snapshot: &Snapshot) -> String {
    let now_s = snapshot.unix_s.and_then(|now| i64::try_from(now).ok()).unwrap_or(0);
    let troubles = troubles(&snapshot.status, now_s);
    if troubles.is_empty() {
        return "<p class=\"good\"><b>All is well.</b> The receivers work, and the centre \
                answers.</p>"
            .to_owned();
    }
    let mut html = if troubles.iter().any(|trouble| trouble.is_urgent) {
        "<p class=\"bad\"><b>Alarms may suffer: something must be done now.</b></p>"
    } else {
        "<p class=\"look\"><b>It works, and something should be looked at.</b></p>"
    }
    .to_owned();
    html += "<ul>";
    for trouble in &troubles {
        let class = if trouble.is_urgent { "bad" } else { "look" };
        html += &format!(
            "<li><b class=\"{class}\">{}</b><p class=\"todo\">{}</p></li>",
            sentence(&trouble.what),
            escaped(&trouble.remedy)
        );
    }
    html + "</ul>"
}

/// With a capital letter at its front. A remedy may begin with a command, and stays.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    escaped(&first.chain(letters).collect::<String>())
}
