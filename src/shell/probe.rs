//! A try of the way to a broker: name, TCP, and TLS with both certificates. It ends
//! before MQTT begins. A login would be under some client id, and a broker that makes
//! client ids of certificates would hang up on the running gateway for it.

use super::tls::{TlsFiles, TlsFilesError, Validity, client_tls, validity};
use super::uplink::{Awaited, BrokerFault};
use crate::config::Broker;
use rustls_pki_types::{ServerName, UnixTime};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For each broker, all in all.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a broker may take to refuse our certificate, in TLS 1.3 after the
/// handshake: three times the handshake's length, within these bounds.
const REFUSAL_WAIT: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// A broker that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How long name, TCP and TLS took.
    pub took: Duration,
    /// When the broker's certificate may be used, if its dates can be read.
    pub broker: Option<Validity>,
}

/// Tries the way to a broker, for 5 s at most.
///
/// # Errors
/// Says what is wrong and what to do.
pub async fn probe(broker: &Broker) -> Result<Answered, BrokerFault> {
    let files = TlsFiles {
        authority: broker.ca_file.clone(),
        certificate: broker.certificate_file.clone(),
        key: broker.key_file.clone(),
    };
    let tls = client_tls(&files, broker.expected_name())
        .map_err(|error: TlsFilesError| BrokerFault::Files(error))?;
    let fault = |error: &io::Error| {
        let now_unix_s = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        BrokerFault::of_handshake(error, tls.own, now_unix_s)
    };
    let (begin, late) = (Instant::now(), BrokerFault::ProtocolTimeout(Awaited::Connection));
    let end = begin + WAIT_MAX;
    let found = timeout_at(end, lookup_host((broker.host.as_str(), broker.port))).await;
    let addresses = found.map_err(|_| late.clone())?.map_err(|_| BrokerFault::Dns)?.collect();
    let stream = dial(addresses, broker.interface.as_deref(), end).await?;
    // The verifier knows which name is wanted; this one only goes into the hello.
    let name = ServerName::try_from(broker.expected_name().to_owned())
        .map_err(|_| BrokerFault::TlsName(Vec::new()))?;
    let connecting = TlsConnector::from(tls.config.clone()).connect(name, stream);
    let shaken = timeout_at(end, connecting).await.map_err(|_| late)?;
    let mut stream = shaken.map_err(|error| fault(&error))?;
    let took = begin.elapsed();
    let [least, most] = REFUSAL_WAIT;
    match timeout((took * 3).clamp(least, most), refusal(&mut stream)).await {
        Ok(error) => Err(fault(&error)),
        // It waits for our login: nothing is wrong.
        Err(_) => Ok(Answered { took, broker: broker_validity(&stream) }),
    }
}

fn broker_validity(stream: &TlsStream<TcpStream>) -> Option<Validity> {
    let certificates = stream.get_ref().1.peer_certificates()?;
    certificates.first().and_then(|certificate| validity(certificate))
}

/// A broker says nothing before the login, unless it hangs up.
async fn refusal(stream: &mut TlsStream<TcpStream>) -> io::Error {
    match stream.read_u8().await {
        Ok(_) => io::Error::other("it speaks before it is spoken to"),
        Err(error) => error,
    }
}

/// Each address has its share of the time that is left: the daemon, too, gets by one that
/// says nothing.
async fn dial(
    addresses: Vec<SocketAddr>,
    interface: Option<&str>,
    end: Instant,
) -> Result<TcpStream, BrokerFault> {
    let mut last = BrokerFault::Dns;
    for (address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = end.saturating_duration_since(Instant::now()) / left;
        match timeout(share, connect(*address, interface)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = BrokerFault::Unreachable(error.kind()),
            Err(_) => last = BrokerFault::ProtocolTimeout(Awaited::Connection),
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As where a site's IPv6 leads nowhere.
    #[tokio::test]
    async fn an_address_that_says_nothing_leaves_time_for_the_next() {
        let silent = TcpSocket::new_v4().expect("a socket");
        silent.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let silent = silent.listen(0).expect("it listens");
        let silent_address = silent.local_addr().expect("its address");
        // Whom it takes without being asked it has taken; the next one waits for ever.
        let _taken = TcpStream::connect(silent_address).await.expect("taken");
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = vec![silent_address, open.local_addr().expect("its address")];
        let end = Instant::now() + Duration::from_secs(2);
        let dialled = dial(addresses.clone(), None, end).await.expect("the second answers");
        assert_eq!(dialled.peer_addr().expect("connected"), addresses[1]);
        let end = Instant::now() + Duration::from_millis(200);
        let alone = dial(vec![silent_address], None, end).await;
        assert!(matches!(alone, Err(BrokerFault::ProtocolTimeout(Awaited::Connection))));
    }
}
