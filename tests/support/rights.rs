//! What certificates may do at a broker that is configured by an example of
//! `docs/brokers`: a gateway nothing in another's name, and the centre no gateway's part.

use crate::mosquitto::{Authority, Identity, client_of, lines};
use std::process::{Child, Stdio};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// An example of `docs/brokers` with these pieces of text replaced. Each must be there,
/// so that the example and what is tested stay one.
pub fn example(name: &str, replaced: &[(&str, &str)]) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/brokers").join(name);
    let mut text = std::fs::read_to_string(&path).expect("the example is there");
    for (from, to) in replaced {
        assert!(text.contains(from), "{name} has no {from:?} any more");
        text = text.replace(from, to);
    }
    text
}

/// A certificate, and the client id that is used with it.
type Who<'a> = (&'a Identity, &'a str);

/// A broker, and who comes to it.
pub struct Rights<'a> {
    /// Of MQTT, as mosquitto's clients name it: `5` or `311`.
    pub version: &'a str,
    pub port: u16,
    pub authority: &'a Authority,
    /// `gw1`.
    pub gateway: &'a Identity,
    pub centre: &'a Identity,
    /// A gateway that says what it may not, and its client id.
    pub forger: Who<'a>,
    /// Another gateway, in whose name it does.
    pub victim: &'a str,
}

/// A subscription by `mosquitto_sub` that tells of each message's topic.
struct Listening {
    child: Child,
    lines: UnboundedReceiver<String>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listening {
    /// The next line; `None` at the client's end.
    async fn next(&mut self) -> Option<String> {
        timeout(crate::site::SOON, self.lines.recv()).await.expect("something in time")
    }
}

impl Rights<'_> {
    /// Judges all of it.
    pub async fn judge(&self) {
        let (gateway, centre) = ((self.gateway, "gw1"), (self.centre, "centre"));
        for last in ["event/urgent", "event/trouble", "event/routine", "state", "answer"] {
            self.carries(gateway, centre, last).await;
        }
        for last in ["event/urgent", "state", "answer"] {
            let forged = format!("lonework/v1/ward-3/{}/{last}", self.victim);
            self.keeps_back(&forged, gateway, centre, last).await;
        }
        for last in ["receipt", "command"] {
            self.carries(centre, gateway, last).await;
            let forged = format!("lonework/v1/ward-3/gw1/{last}");
            self.keeps_back(&forged, centre, gateway, last).await;
            self.hears_nothing_of_others(last).await;
        }
        self.leaves_what_waits_for_another();
    }

    /// What one end says reaches the other.
    async fn carries(&self, from: Who<'_>, to: Who<'_>, last: &str) {
        let topic = format!("lonework/v1/ward-3/gw1/{last}");
        let mut listening = self.listen(to, &topic).await;
        assert!(self.publish(from, &topic, "right"), "{} may publish to {topic}", from.1);
        let heard = listening.next().await;
        assert_eq!(heard.as_deref(), Some(&*format!("{topic} right")), "to {}", to.1);
    }

    /// Who listens hears what was allowed, and not what the forger said before it.
    async fn keeps_back(&self, forged: &str, from: Who<'_>, to: Who<'_>, last: &str) {
        let topic = format!("lonework/v1/ward-3/gw1/{last}");
        let filter =
            if to.1 == "centre" { format!("lonework/v1/+/+/{last}") } else { topic.clone() };
        let mut listening = self.listen(to, &filter).await;
        // Whether the broker tells of it, drops it or hangs up is its own way.
        self.publish(self.forger, forged, "forged");
        assert!(self.publish(from, &topic, "genuine"), "{topic}");
        let heard = listening.next().await;
        assert_eq!(heard.as_deref(), Some(&*format!("{topic} genuine")), "not {forged}");
    }

    /// A gateway that subscribes to all gateways' receipts hears none of another.
    async fn hears_nothing_of_others(&self, last: &str) {
        let topic = format!("lonework/v1/ward-3/gw2/{last}");
        let filter = format!("lonework/v1/+/+/{last}");
        let own = format!("lonework/v1/ward-3/gw1/{last}");
        // The broker refuses the filter, hangs up, or lets only its own through.
        let mut command = self.subscriber((self.gateway, "gw1"), &filter);
        command.args(["-W", "1"]);
        let mut child = command.spawn().expect("mosquitto_sub can be started");
        let mut heard = lines(child.stdout.take().expect("stdout is piped"));
        while child.try_wait().expect("its state").is_none() {
            assert!(self.publish((self.centre, "centre"), &topic, "not for gw1"));
            assert!(self.publish((self.centre, "centre"), &own, "for gw1"));
        }
        while let Some(line) = heard.recv().await {
            assert!(!line.contains("not for gw1"), "{line}");
        }
    }

    /// Under another's client id nobody gets what waits in that session.
    fn leaves_what_waits_for_another(&self) {
        let events = "lonework/v1/+/+/event/+";
        let kept = |who: Who<'_>, filter: &str, more: &[&str]| {
            let mut command = self.subscriber(who, filter);
            command.arg("-c").args(more);
            if self.version == "5" {
                command.args(["-x", "600"]);
            }
            let output = command.output().expect("mosquitto_sub can be started");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let (centre, gateway) = ((self.centre, "centre"), (self.gateway, "gw1"));
        // Subscribes, and goes.
        kept(centre, events, &["-E"]);
        let topic = "lonework/v1/ward-3/gw1/event/urgent";
        assert!(self.publish(gateway, topic, "for the centre"));
        let thief = (self.gateway, "centre");
        let stolen = kept(thief, "lonework/v1/ward-3/gw1/receipt", &["-W", "1"]);
        assert_eq!(stolen, "", "of the centre's session");
        let left = kept(centre, events, &["-C", "1", "-W", "20"]);
        assert_eq!(left.trim_end(), format!("{topic} for the centre"));
    }

    fn publish(&self, (who, id): Who<'_>, topic: &str, text: &str) -> bool {
        let mut command = client_of(self.version, "mosquitto_pub", self.port, self.authority, who);
        command.args(["-i", id, "-q", "1", "-t", topic, "-m", text]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("mosquitto_pub can be started").success()
    }

    /// Subscribes, and returns once what is published arrives.
    async fn listen(&self, who: Who<'_>, filter: &str) -> Listening {
        let mut child = self.subscriber(who, filter).arg("-d").spawn().expect("mosquitto_sub");
        let mut lines = lines(child.stdout.take().expect("stdout is piped"));
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        let subscribed = async {
            while let Some(line) = lines.recv().await {
                if line.starts_with("Subscribed (mid") {
                    return true;
                }
            }
            false
        };
        let subscribed = timeout(crate::site::SOON, subscribed).await.expect("in time");
        assert!(subscribed, "{} may subscribe to {filter}", who.1);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                // What it heard, not what it says of the protocol.
                if line.starts_with("lonework/") && send.send(line).is_err() {
                    return;
                }
            }
        });
        Listening { child, lines: receive }
    }

    fn subscriber(&self, (who, id): Who<'_>, filter: &str) -> std::process::Command {
        let mut command = client_of(self.version, "mosquitto_sub", self.port, self.authority, who);
        command.args(["-i", id, "-q", "1", "-R", "-F", "%t %p", "-t", filter]);
        // It keeps back what it says of the protocol when nobody sits at a terminal.
        let mut unbuffered = std::process::Command::new("stdbuf");
        unbuffered.arg("-oL").arg(command.get_program()).args(command.get_args());
        unbuffered.stdout(Stdio::piped()).stderr(Stdio::null());
        unbuffered
    }
}
