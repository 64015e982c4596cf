//! One node of RabbitMQ with its MQTT plugin, by `docs/brokers/rabbitmq.conf`.

use crate::clerk::{Clerk, now};
use crate::dice::Dice;
use crate::load::{Load, seed};
use crate::mosquitto::{command, free_port};
use crate::rights::example;
use crate::site::SOON;
use crate::stage::{
    People, Program, a_new_certificate_leaves_it_online, gateways_are_kept_apart, nothing_was_lost,
    the_kit_s_centre_is_served,
};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Before the first death, and between two: load on a broker that is well.
const WELL: Duration = Duration::from_secs(15);
const DEATHS: usize = 4;

struct Rabbit {
    folder: TempDir,
    people: People,
    port: u16,
    names: u16,
    distribution: u16,
    program: Option<Program>,
}

impl Rabbit {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let people = People::new();
        let port = free_port();
        let display = |path: &Path| path.display().to_string();
        let place = |name: &str| folder.path().join(name);
        let text = example(
            "rabbitmq.conf",
            &[
                ("0.0.0.0:8883", &format!("127.0.0.1:{port}")),
                ("/etc/rabbitmq/tls/ca.pem", &display(&people.authority.file())),
                ("/etc/rabbitmq/tls/server.pem", &display(&people.server.certificate)),
                ("/etc/rabbitmq/tls/server.key", &display(&people.server.key)),
                ("/etc/rabbitmq/lonework.json", &display(&place("lonework.json"))),
            ],
        );
        fs::write(place("rabbitmq.conf"), text).expect("written");
        fs::write(place("lonework.json"), example("rabbitmq.json", &[])).expect("written");
        // The line that the example names in its head.
        let plugins = "[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].";
        assert!(example("rabbitmq.conf", &[]).contains(plugins));
        fs::write(place("enabled_plugins"), plugins).expect("written");
        let (names, distribution) = (free_port(), free_port());
        let mut rabbit = Self { folder, people, port, names, distribution, program: None };
        rabbit.returns();
        rabbit.listens().await;
        rabbit
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Debian's own start script only serves the user rabbitmq.
    fn server() -> PathBuf {
        let folders = fs::read_dir("/usr/lib/rabbitmq/lib");
        let folders = folders.expect("rabbitmq-server is missing: install the Debian package");
        let mut servers =
            folders.flatten().map(|folder| folder.path().join("sbin/rabbitmq-server"));
        servers.find(|server| server.is_file()).expect("RabbitMQ's own start script")
    }

    fn returns(&mut self) {
        let mut rabbit = Command::new(Self::server());
        rabbit
            .env("HOME", self.folder.path())
            .env("RABBITMQ_NODENAME", "lonework@localhost")
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", self.path("store"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        self.program = Some(Program::start(rabbit, &self.path("out")));
    }

    async fn listens(&mut self) {
        let give_up = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let runs = self.program.as_mut().is_some_and(Program::runs);
            let out = || fs::read_to_string(self.path("out")).unwrap_or_default();
            assert!(runs && Instant::now() < give_up, "RabbitMQ did not start:\n{}", out());
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.program = None;
        // Erlang's register of names outlives whoever started it; this one is our own. It
        // forgets a dead node within a moment, and refuses until then.
        for _ in 0..50 {
            let mut epmd = command("epmd", "erlang-base");
            let ended = epmd.arg("-kill").env("ERL_EPMD_PORT", self.names.to_string()).output();
            if ended.is_ok_and(|ended| ended.status.success()) {
                return;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "between two tries, and Drop cannot wait"
            )]
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[tokio::test]
async fn the_example_keeps_gateways_apart() {
    let rabbit = Rabbit::start().await;
    gateways_are_kept_apart(&rabbit.people, rabbit.port).await;
}

#[tokio::test]
async fn the_broker_is_killed_under_load_and_nothing_is_lost() {
    let seed = seed(312);
    let mut dice = Dice(seed);
    let mut rabbit = Rabbit::start().await;
    let mut site = rabbit.people.site(&[rabbit.port]);
    let load = Load::start(&site, 20, &mut dice);
    let (authority, centre) = (&rabbit.people.authority, &rabbit.people.centre);
    let clerk = Clerk::start(authority, centre, vec![rabbit.port]).await;
    site.start().await;
    site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    let mut deaths = Vec::new();
    for _ in 0..DEATHS {
        sleep(WELL).await;
        deaths.push(now());
        rabbit.program = None;
        rabbit.returns();
        rabbit.listens().await;
        site.until("connected again", |s| s["brokers"][0]["connected"] == true).await;
    }
    sleep(WELL).await;
    nothing_was_lost(seed, site, load, &clerk, &deaths).await;
}

#[tokio::test]
async fn a_new_certificate_leaves_the_gateway_online() {
    let rabbit = Rabbit::start().await;
    let (people, port) = (&rabbit.people, rabbit.port);
    a_new_certificate_leaves_it_online(people, port).await;
}

#[tokio::test]
async fn the_kit_s_centre_hears_receipts_and_is_answered() {
    let rabbit = Rabbit::start().await;
    the_kit_s_centre_is_served(&rabbit.people, rabbit.port).await;
}
