//! A browser, reduced to what tests need: one request a connection, plain or TLS,
//! and the events of a stream.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(30);

pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Where a page is, and how it is spoken to.
#[derive(Clone)]
pub struct Browser {
    pub port: u16,
    /// Sent with every request.
    pub headers: Vec<String>,
    /// The fingerprint that the certificate must have; plain HTTP without.
    pub fingerprint: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// As they came, in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("cut: {text}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Browser {
    pub fn new(port: u16) -> Self {
        Self { port, headers: vec![format!("Host: 127.0.0.1:{port}")], fingerprint: None }
    }

    pub fn with(&self, header: &str) -> Self {
        let mut browser = self.clone();
        browser.headers.push(header.to_owned());
        browser
    }

    pub async fn connect(&self) -> Box<dyn Line> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.expect("somebody listens");
        let Some(fingerprint) = &self.fingerprint else { return Box::new(tcp) };
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Fingerprint(fingerprint.clone())))
            .with_no_client_auth();
        let name = ServerName::try_from("gw1").expect("a name");
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        Box::new(tls.expect("the certificate is the one that was told"))
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Box<dyn Line> {
        let mut line = self.connect().await;
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        for header in &self.headers {
            text += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += &format!("\r\n{body}");
        line.write_all(text.as_bytes()).await.expect("it is taken");
        line
    }

    pub async fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut line = self.ask(method, path, body).await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(SOON, line.read_to_end(&mut bytes)).await;
        // Without a farewell of TLS the end is an error; what came is looked at.
        drop(read.expect("an answer in time"));
        Answer::parse(&bytes)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, body).await
    }

    pub async fn stream(&self, path: &str) -> Stream {
        self.try_stream(path).await.expect("there is room for one more")
    }

    /// `None` if too many look on.
    pub async fn try_stream(&self, path: &str) -> Option<Stream> {
        let mut stream = Stream { line: self.ask("GET", path, "").await, text: String::new() };
        while !stream.text.contains("\r\n\r\n") {
            stream.read().await;
        }
        if stream.text.starts_with("HTTP/1.1 503") {
            return None;
        }
        assert!(stream.text.starts_with("HTTP/1.1 200"), "{}", stream.text);
        assert!(stream.text.to_lowercase().contains("content-type: text/event-stream"));
        Some(stream)
    }
}

/// Server-sent events.
pub struct Stream {
    line: Box<dyn Line>,
    text: String,
}

impl Stream {
    async fn read(&mut self) {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(SOON, self.line.read(&mut bytes)).await;
        let count = read.expect("news in time").expect("the line holds");
        assert!(count > 0, "the stream has ended");
        self.text += std::str::from_utf8(&bytes[..count]).expect("tests are in ASCII");
    }

    /// The parts of the next event: id and HTML.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some((_, rest)) = self.text.split_once("data: ") {
                if let Some((event, rest)) = rest.split_once("\n\n") {
                    let event = serde_json::from_str(event).expect("JSON");
                    self.text = rest.to_owned();
                    return event;
                }
            }
            self.read().await;
        }
    }
}

fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// As an installer compares it.
#[derive(Debug)]
struct Fingerprint(String);

impl ServerCertVerifier for Fingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash = Sha256::digest(end_entity.as_ref());
        let shown: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        if shown.join(":") == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(format!("another certificate: {}", shown.join(":"))))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
