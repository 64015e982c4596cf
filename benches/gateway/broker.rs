//! A real mosquitto on a free port, which asks every client for a certificate.

use crate::Outcome;
use pendant_kit::pki::{IdentityFiles, Leaf, Pki};
use rustls::ClientConfig;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Broker {
    child: Child,
    folder: TempDir,
    pki: Pki,
    pub(crate) port: u16,
    pub(crate) authority: PathBuf,
}

impl Broker {
    pub(crate) fn start() -> Outcome<Self> {
        let program = find("mosquitto")?;
        let folder = tempfile::tempdir()?;
        let pki = Pki::new()?;
        let authority = pki.write_ca(folder.path())?;
        let server = pki.issue(&Leaf::server())?.write(folder.path(), "server")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let configuration = folder.path().join("mosquitto.conf");
        // Wide windows and no lost messages: otherwise its defaults of 20 in
        // flight and 1000 queued would be measured.
        let text = format!(
            "user root\nlog_dest stderr\nlog_type information\nlog_type error\n\
             listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n\
             require_certificate true\nallow_anonymous true\npersistence false\n\
             set_tcp_nodelay true\nmax_inflight_messages 256\nmax_queued_messages 0\n",
            authority.display(),
            server.certificate.display(),
            server.key.display(),
        );
        std::fs::write(&configuration, text)?;
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().ok_or("stderr is piped")?).lines();
        let broker = Self { child, folder, pki, port, authority };
        let mut said = String::new();
        while let Some(line) = log.next().transpose()? {
            if line.contains("running") {
                std::thread::spawn(move || log.count());
                return Ok(broker);
            }
            said = said + &line + "\n";
        }
        Err(format!("mosquitto did not start:\n{said}").into())
    }

    /// A client's certificate and key.
    pub(crate) fn identity(&self, name: &str) -> Outcome<IdentityFiles> {
        Ok(self.pki.issue(&Leaf::client(name))?.write(self.folder.path(), name)?)
    }

    pub(crate) fn tls(&self, name: &str) -> Outcome<Arc<ClientConfig>> {
        Ok(self.pki.client_config(&self.pki.issue(&Leaf::client(name))?)?)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, also from the folder that only root has in its path.
fn find(program: &str) -> Outcome<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is missing: install the Debian package {program}").into())
}
