//! The broker of a fleet: a mosquitto of our own with mutual TLS, which can be killed and
//! comes back with what it had stored, or one that somebody else runs.

use crate::pki::{Identity, IdentityFiles, Leaf, Pki, client_config_of_files};
use rustls::ClientConfig;
use std::io::{self, Read, Seek};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Longest time that mosquitto may take to begin.
const BEGINS_MAX: Duration = Duration::from_secs(20);
/// A port is asked so often whether somebody listens.
const ASK_EVERY: Duration = Duration::from_millis(50);

fn other<E: std::fmt::Display>(error: E) -> io::Error {
    io::Error::other(error.to_string())
}

/// A broker that others run, and what lets us in.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its name, as in its certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authority that signed its certificate (PEM).
    pub ca: PathBuf,
    /// A certificate that may speak for every gateway and for the centre (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// What a client shows: files of the authority, of its certificate and of its key.
pub(super) struct Badge {
    pub(super) ca: PathBuf,
    pub(super) files: IdentityFiles,
}

impl Badge {
    pub(super) fn tls(&self) -> io::Result<Arc<ClientConfig>> {
        client_config_of_files(&self.ca, &self.files.certificate, &self.files.key).map_err(other)
    }
}

/// The broker.
pub(super) enum Broker {
    Own(Box<Own>),
    Given(Given),
}

/// A mosquitto of this process.
pub(super) struct Own {
    pki: Pki,
    folder: PathBuf,
    ca: PathBuf,
    port: u16,
    child: Child,
}

impl Broker {
    /// Starts mosquitto in this folder, unless there is a broker.
    pub(super) async fn start(given: Option<Given>, folder: &Path) -> io::Result<Self> {
        if let Some(given) = given {
            return Ok(Self::Given(given));
        }
        let pki = Pki::new().map_err(other)?;
        let server: Identity = pki.issue(&Leaf::server()).map_err(other)?;
        let server = server.write(folder, "broker")?;
        let ca = pki.write_ca(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let text = format!(
            "user root\nlog_type error\nlog_type warning\nlistener {port} 127.0.0.1\ncafile {}\n\
             certfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\npersistence true\n\
             persistence_location {}/\nautosave_interval 5\nmax_inflight_messages 1024\n\
             max_queued_messages 0\nset_tcp_nodelay true\n",
            ca.display(),
            server.certificate.display(),
            server.key.display(),
            folder.display(),
        );
        std::fs::write(folder.join("mosquitto.conf"), text)?;
        let child = begin(folder, port).await?;
        Ok(Self::Own(Box::new(Own { pki, folder: folder.to_owned(), ca, port, child })))
    }

    pub(super) fn address(&self) -> (&str, u16) {
        match self {
            Self::Own(own) => ("localhost", own.port),
            Self::Given(given) => (&given.host, given.port),
        }
    }

    /// What a client of this name shows.
    pub(super) fn badge(&self, name: &str) -> io::Result<Badge> {
        match self {
            Self::Own(own) => {
                let identity = own.pki.issue(&Leaf::client(name)).map_err(other)?;
                Ok(Badge { ca: own.ca.clone(), files: identity.write(&own.folder, name)? })
            }
            Self::Given(given) => Ok(Badge {
                ca: given.ca.clone(),
                files: IdentityFiles {
                    certificate: given.certificate.clone(),
                    key: given.key.clone(),
                },
            }),
        }
    }

    /// The broker's process, if it is ours.
    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Own(own) => Some(own.child.id()),
            Self::Given(_) => None,
        }
    }

    /// Kills it as a power cut would, waits, and starts it again; false if it is not ours.
    pub(super) async fn kill_for(&mut self, away: Duration) -> io::Result<bool> {
        let Self::Own(own) = self else { return Ok(false) };
        own.child.kill()?;
        own.child.wait()?;
        sleep(away).await;
        own.child = begin(&own.folder, own.port).await?;
        Ok(true)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts mosquitto, and waits until it listens.
async fn begin(folder: &Path, port: u16) -> io::Result<Child> {
    let mut log = std::fs::File::options()
        .create(true)
        .append(true)
        .read(true)
        .open(folder.join("mosquitto.log"))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has it where only root looks.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let program = folders.map(|it| it.join("mosquitto")).find(|it| it.is_file());
    let program = program.ok_or_else(|| {
        io::Error::other(
            "mosquitto is missing: install the Debian package mosquitto, or name a \
                          broker with --host",
        )
    })?;
    let mut child = Command::new(program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone()?)
        .spawn()?;
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let ended = child.try_wait()?.is_some();
        if ended || begun.elapsed() > BEGINS_MAX {
            drop(child.kill());
            drop(child.wait());
            let mut text = String::new();
            log.rewind()?;
            log.read_to_string(&mut text)?;
            return Err(io::Error::other(format!("mosquitto did not begin: {}", text.trim())));
        }
        sleep(ASK_EVERY).await;
    }
    Ok(child)
}
