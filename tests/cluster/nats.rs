//! Three nodes of NATS JetStream in MQTT mode, by `docs/brokers/nats.conf`.

use crate::clerk::{Clerk, now};
use crate::dice::Dice;
use crate::load::{Load, seed};
use crate::mosquitto::{command, free_port};
use crate::rights::example;
use crate::site::SOON;
use crate::stage::{
    People, Program, a_new_certificate_leaves_it_online, gateways_are_kept_apart, nothing_was_lost,
    page, the_kit_s_centre_is_served,
};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Between a node's return and the next death, and before the first: load on a whole
/// cluster, to compare with.
const WELL: Duration = Duration::from_secs(15);
/// So long a dead node stays away.
const AWAY: Duration = Duration::from_secs(10);

struct Node {
    port: u16,
    http: u16,
    program: Option<Program>,
}

struct Cluster {
    folder: TempDir,
    people: People,
    nodes: Vec<Node>,
}

impl Cluster {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let people = People::new();
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut cluster = Self { folder, people, nodes: Vec::new() };
        for place in 0..3 {
            let node = Node { port: free_port(), http: free_port(), program: None };
            cluster.configure(place, &node, &routes);
            cluster.nodes.push(node);
        }
        for place in 0..3 {
            cluster.returns(place);
        }
        cluster.whole().await;
        cluster
    }

    fn configure(&self, place: usize, node: &Node, routes: &[u16]) {
        let server = &self.people.server;
        let display = |path: &std::path::Path| path.display().to_string();
        let route = |place: usize| format!("nats://localhost:{}", routes[place]);
        let text = example(
            "nats.conf",
            &[
                ("\"nats-1\"", &format!("\"nats-{}\"", place + 1)),
                ("127.0.0.1:4222", &format!("127.0.0.1:{}", free_port())),
                ("\"127.0.0.1:8222\"\n", &format!("\"127.0.0.1:{}\"\n", node.http)),
                ("0.0.0.0:6222", &format!("127.0.0.1:{}", routes[place])),
                ("nats://nats-1.example.org:6222", &route(0)),
                ("nats://nats-2.example.org:6222", &route(1)),
                ("nats://nats-3.example.org:6222", &route(2)),
                ("0.0.0.0:8883", &format!("127.0.0.1:{}", node.port)),
                ("/var/lib/nats", &display(&self.path(&format!("store-{place}")))),
                ("/etc/nats/tls/ca.pem", &display(&self.people.authority.file())),
                ("/etc/nats/tls/server.pem", &display(&server.certificate)),
                ("/etc/nats/tls/server.key", &display(&server.key)),
            ],
        );
        fs::write(self.path(&format!("node-{place}.conf")), text).expect("written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn dies(&mut self, place: usize) {
        self.nodes[place].program = None;
    }

    fn returns(&mut self, place: usize) {
        let mut nats = command("nats-server", "nats-server");
        nats.arg("-c").arg(self.path(&format!("node-{place}.conf")));
        let log = self.path(&format!("node-{place}.log"));
        self.nodes[place].program = Some(Program::start(nats, &log));
    }

    /// Waits until every node says that it has caught up.
    async fn whole(&mut self) {
        let give_up = Instant::now() + SOON;
        loop {
            let well = |node: &Node| {
                page(node.http, "/healthz").is_some_and(|said| said.contains("\"ok\""))
            };
            if self.nodes.iter().all(well) {
                return;
            }
            for (place, node) in self.nodes.iter_mut().enumerate() {
                let runs = node.program.as_mut().is_none_or(Program::runs);
                assert!(runs, "node {place} ended:\n{}", self.log(place));
            }
            assert!(Instant::now() < give_up, "not whole in time:\n{}", self.log(0));
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self, place: usize) -> String {
        fs::read_to_string(self.path(&format!("node-{place}.log"))).unwrap_or_default()
    }

    /// The node that leads the stream in which messages are, as the nodes said last.
    fn leader(&self) -> usize {
        let elected = (0..3).filter_map(|place| {
            let log = self.log(place);
            let line = log.lines().rfind(|line| {
                line.contains("new stream leader for") && line.contains("> $MQTT_msgs'")
            })?;
            // "[pid] 2026/11/30 07:13:03.040012 [INF] ..."
            let at = line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
            Some((at, place))
        });
        elected.max().expect("a leader was elected").1
    }

    fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }
}

#[tokio::test]
async fn the_example_keeps_gateways_apart() {
    let cluster = Cluster::start().await;
    gateways_are_kept_apart(&cluster.people, cluster.nodes[1].port).await;
}

#[tokio::test]
async fn nodes_are_killed_under_load_and_nothing_is_lost() {
    let seed = seed(311);
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start().await;
    let mut site = cluster.people.site(&cluster.ports());
    let load = Load::start(&site, 20, &mut dice);
    // Last the node that is the gateway's first.
    let mut ports = cluster.ports();
    ports.rotate_left(1);
    let people = &cluster.people;
    let clerk = Clerk::start(&people.authority, &people.centre, ports).await;
    site.start().await;
    let all = |s: &serde_json::Value| (0..3).all(|n| s["brokers"][n]["connected"] == true);
    site.until("all lines stand", all).await;
    sleep(WELL).await;
    let mut deaths = Vec::new();
    // The stream's leader, whoever it is; the node that the gateway is at; then the others.
    for next in [None, Some(0), Some(1), Some(2), None] {
        let place = next.unwrap_or_else(|| cluster.leader());
        let leads = cluster.leader() == place;
        deaths.push(now());
        cluster.dies(place);
        println!("node {} is killed{}", place + 1, if leads { "; it led the stream" } else { "" });
        sleep(AWAY).await;
        cluster.returns(place);
        cluster.whole().await;
        sleep(WELL).await;
    }
    nothing_was_lost(seed, site, load, &clerk, &deaths).await;
}

#[tokio::test]
async fn a_new_certificate_leaves_the_gateway_online() {
    let cluster = Cluster::start().await;
    let (people, port) = (&cluster.people, cluster.nodes[0].port);
    a_new_certificate_leaves_it_online(people, port).await;
}

#[tokio::test]
async fn the_kit_s_centre_hears_receipts_and_is_answered() {
    let cluster = Cluster::start().await;
    the_kit_s_centre_is_served(&cluster.people, cluster.nodes[2].port).await;
}
