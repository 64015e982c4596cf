//! A real mosquitto with mutual TLS on a free port of 127.0.0.1, with
//! certificates made on the spot.

use pendant_kit::pki::client_config_of_files;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::ClientConfig;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longest wait for anything that must happen; never waited for in full.
pub const SOON: Duration = Duration::from_secs(20);

/// The years in which a certificate is valid.
pub type Years = (i32, i32);

/// Years that cover every run of these tests.
pub const VALID: Years = (2020, 2120);
/// Years that are over.
pub const EXPIRED: Years = (2020, 2021);

/// A certificate authority whose certificates are files of one folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM file.
    pub certificate: PathBuf,
    /// PEM file.
    pub key: PathBuf,
}

impl Identity {
    /// Puts certificate and key, one after the other, into the places of another's, each
    /// as a careful tool does: a new file, then renamed.
    pub fn replace(&self, other: &Self) {
        replace(&self.key, &other.key);
        replace(&self.certificate, &other.certificate);
    }
}

/// Puts a file's contents into the place of another, which keeps its rights.
pub fn replace(new: &Path, place: &Path) {
    let beside = place.with_extension("new");
    fs::copy(new, &beside).expect("it can be copied");
    let rights = fs::metadata(place).expect("there was one").permissions();
    fs::set_permissions(&beside, rights).expect("its rights set");
    fs::rename(&beside, place).expect("it can be renamed");
}

impl Authority {
    /// Makes an authority with its own folder.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = params(name, &[], VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        write(&folder.path().join("authority.pem"), &certificate.pem());
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// How a client speaks TLS that trusts this authority alone and shows this identity.
    pub fn client_tls(&self, who: &Identity) -> Arc<ClientConfig> {
        client_config_of_files(&self.file(), &who.certificate, &who.key).expect("TLS")
    }

    /// Its key, for another program that signs in its name.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server's certificate on this machine that ends in ten days.
    pub fn issue_until_soon(&self, name: &str) -> Identity {
        let now = rustls::pki_types::UnixTime::now().as_secs();
        let days = i64::try_from(now / 86_400).expect("a day of this age");
        let end = rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(86_400) * u32::try_from(days + 10).expect("few");
        let mut params = params(name, &["localhost", "127.0.0.1"], VALID);
        params.not_after = end;
        self.sign(name, params)
    }

    /// Issues a certificate for `name`, good as server under `hosts` and as client.
    pub fn issue(&self, name: &str, hosts: &[&str], years: Years) -> Identity {
        self.sign(name, params(name, hosts, years))
    }

    /// Issues a client's certificate that ends at the beginning of the day so many days
    /// from now.
    #[expect(clippy::disallowed_methods, reason = "the daemon judges it by this clock")]
    pub fn issue_for(&self, name: &str, days: u64) -> Identity {
        let ends = SystemTime::now() + Duration::from_secs(days * 86_400);
        let date = humantime::format_rfc3339_seconds(ends).to_string();
        let number =
            |digits: std::ops::Range<usize>| -> u16 { date[digits].parse().expect("digits") };
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let mut params = params(name, &[], VALID);
        params.not_after = rcgen::date_time_ymd(
            i32::from(year),
            u8::try_from(month).expect("a month"),
            u8::try_from(day).expect("a day"),
        );
        self.sign(name, params)
    }

    fn sign(&self, name: &str, mut params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity = Identity {
            certificate: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        write(&identity.certificate, &signed.pem());
        write(&identity.key, &key.serialize_pem());
        // As a key must be.
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&identity.key, closed).expect("its rights set");
        identity
    }
}

fn params(name: &str, hosts: &[&str], (from, until): Years) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names that can stand in a certificate");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the temporary folder can be written to");
}

/// A running broker. Dropped, it is killed.
pub struct Mosquitto {
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Mosquitto {
    /// Starts a broker that asks every client for a certificate of `authority`.
    /// `more` are further lines of its configuration.
    pub async fn start(authority: &Authority, server: &Identity, more: &str) -> Self {
        for _ in 0..10 {
            if let Some(broker) = Self::start_on(free_port(), authority, server, more).await {
                return broker;
            }
        }
        panic!("ten free ports were taken by others before mosquitto could have them");
    }

    /// Starts a broker on a port that another one had.
    pub async fn restart(port: u16, authority: &Authority, server: &Identity, more: &str) -> Self {
        Self::start_on(port, authority, server, more)
            .await
            .unwrap_or_else(|| panic!("port {port} is taken"))
    }

    async fn start_on(
        port: u16,
        authority: &Authority,
        server: &Identity,
        more: &str,
    ) -> Option<Self> {
        let text = format!(
            "user root\nlog_dest stderr\nlog_type all\nlistener {port} 127.0.0.1\ncafile {}\n\
             certfile {}\nkeyfile {}\nrequire_certificate true\npersistence false\n{more}\n",
            authority.file().display(),
            server.certificate.display(),
            server.key.display(),
        );
        Self::start_with(port, authority, &text).await
    }

    /// Starts a broker with this configuration, which has it listen on this port of
    /// 127.0.0.1 and log all to stderr. `None` if the port is taken.
    pub async fn start_with(port: u16, authority: &Authority, text: &str) -> Option<Self> {
        let configuration = authority.folder.path().join(format!("mosquitto-{port}.conf"));
        write(&configuration, text);
        let mut child = command("mosquitto", "mosquitto")
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto can be started");
        let log = lines(child.stderr.take().expect("stderr is piped"));
        let mut broker = Self { child, log, port };
        let mut seen = String::new();
        while let Some(line) = broker.next_line().await {
            if line.contains("running") {
                return Some(broker);
            }
            seen += &line;
            seen.push('\n');
        }
        assert!(seen.contains("Address already in use"), "mosquitto did not start:\n{seen}");
        None
    }

    async fn next_line(&mut self) -> Option<String> {
        tokio::time::timeout(SOON, self.log.recv()).await.expect("mosquitto says something")
    }

    /// Waits until the broker's log has a line with `part`.
    pub async fn logged(&mut self, part: &str) -> String {
        loop {
            let line = self.next_line().await;
            let line = line.unwrap_or_else(|| panic!("mosquitto ended without saying {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Ends it at once; its port is free then.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The number of the broker's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A `mosquitto_sub` that is subscribed.
pub struct Subscriber {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Subscriber {
    /// Subscribes to `filter` with QoS 1.
    pub async fn start(
        broker: &mut Mosquitto,
        authority: &Authority,
        who: &Identity,
        filter: &str,
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("subscriber-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut child = client("mosquitto_sub", broker.port, authority, who)
            .args(["-i", &id, "-q", "1", "-t", filter, "-F", "%r %t %p"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub can be started");
        let lines = lines(child.stdout.take().expect("stdout is piped"));
        broker.logged(&format!("Sending SUBACK to {id}")).await;
        Self { child, lines }
    }

    /// The next message: retained or not, topic, payload.
    pub async fn next(&mut self) -> (bool, String, String) {
        let line = tokio::time::timeout(SOON, self.lines.recv()).await;
        message(&line.expect("a message in time").expect("mosquitto_sub goes on"))
    }

    /// The next message if it is here already.
    pub fn try_next(&mut self) -> Option<(bool, String, String)> {
        self.lines.try_recv().ok().map(|line| message(&line))
    }
}

/// Retained or not, topic, payload.
fn message(line: &str) -> (bool, String, String) {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    (part() == "1", part(), part())
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes `payload` with QoS 1 by `mosquitto_pub`.
pub async fn publish(
    port: u16,
    authority: &Authority,
    who: &Identity,
    topic: &str,
    payload: String,
) {
    let mut command = client("mosquitto_pub", port, authority, who);
    command.args(["-q", "1", "-t", topic, "-s"]).stdin(Stdio::piped());
    let done = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("mosquitto_pub can be started");
        let mut input = child.stdin.take().expect("stdin is piped");
        std::io::Write::write_all(&mut input, payload.as_bytes()).expect("mosquitto_pub reads");
        drop(input);
        child.wait().expect("mosquitto_pub ends")
    });
    let status = done.await.expect("the thread ends");
    assert!(status.success(), "mosquitto_pub: {status}");
}

fn client(program: &str, port: u16, authority: &Authority, who: &Identity) -> Command {
    client_of("5", program, port, authority, who)
}

/// A client of mosquitto's own that speaks this version of MQTT (`5` or `311`).
pub fn client_of(
    version: &str,
    program: &str,
    port: u16,
    authority: &Authority,
    who: &Identity,
) -> Command {
    let mut command = command(program, "mosquitto-clients");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version])
        .arg("--cafile")
        .arg(authority.file())
        .arg("--cert")
        .arg(&who.certificate)
        .arg("--key")
        .arg(&who.key)
        .stdin(Stdio::null());
    command
}

/// The program, also from the folder that only root has in its path.
pub fn command(program: &str, debian_package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file());
    let found = found.unwrap_or_else(|| {
        panic!("{program} is missing: install the Debian package {debian_package}")
    });
    Command::new(found)
}

/// The lines of a program's output, as they come.
pub fn lines(output: impl std::io::Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (send, receive) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// A port at which nobody listens yet, by TCP or UDP. It is none of those that the kernel gives to whoever
/// connects or asks for any: one of the many tests beside would have it before the daemon.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    loop {
        // Processes that follow each other begin eight ports apart.
        let place = std::process::id().wrapping_mul(8) + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + place % PORTS).expect("32,000 at most");
        let here = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(here).is_ok() && UdpSocket::bind(here).is_ok() {
            return port;
        }
    }
}
