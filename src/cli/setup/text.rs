//! What was asked for, and the text of the configuration that says so: the shipped file
//! with all its explanations, with these values in it.

use crate::config::{Config, DEFAULT_TEXT};
use crate::engine::name::Name;
use pendant_hal::radio::boards::PRESETS;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Codecs of receivers that can be set up here. What nobody vouches for is left to those
/// who edit the file, and read what it says of it.
pub(super) const CODECS: [&str; 4] = ["cobs", "rylr998", "rak-p2p", "e22"];
pub(super) const REGIONS: [&str; 5] = ["EU868", "US915", "AU915", "AS923", "IN865"];
/// MQTT over TLS.
pub(super) const PORT: u16 = 8883;

/// A broker's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
        // An IPv6 address stands in brackets if a port follows.
        let (host, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None if bare.matches(':').count() == 1 => {
                bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port)))
            }
            None => (bare, None),
        };
        let port = port
            .map_or(Ok(PORT), str::parse)
            .map_err(|_| format!("no port: write {host}:{PORT}"))?;
        match rustls_pki_types::ServerName::try_from(host) {
            Ok(_) => Ok(Self { host: host.to_owned(), port }),
            Err(_) => {
                Err("write a name or an address: mqtt.example.org or mqtt.example.org:8883"
                    .to_owned())
            }
        }
    }
}

/// One receiver, as `--serial`, `--radio` and `--concentrator` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    Serial(Serial),
    Radio(Radio),
    Concentrator(Concentrator),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serial {
    pub(super) path: PathBuf,
    pub(super) codec: String,
    pub(super) baud: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Radio {
    pub(super) board: String,
    pub(super) region: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concentrator {
    pub(super) listen: SocketAddr,
    pub(super) eui: String,
    pub(super) region: String,
}

/// As receivers are delivered.
pub(super) fn usual_baud(codec: &str) -> u32 {
    if codec == "e22" { 9600 } else { 115_200 }
}

pub(super) fn one_of(word: &str, words: &[&str], what: &str) -> Result<String, String> {
    let found = words.iter().find(|known| known.eq_ignore_ascii_case(word));
    found
        .map(|known| (*known).to_owned())
        .ok_or_else(|| format!("no {what} {word:?}: one of {}", words.join(", ")))
}

pub(super) fn boards() -> Vec<&'static str> {
    PRESETS.iter().map(|preset| preset.name).collect()
}

impl FromStr for Serial {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let (path, codec, baud) = match parts[..] {
            [path] => (path, "cobs", None),
            [path, codec] => (path, codec, None),
            [path, codec, baud] => (path, codec, Some(baud)),
            _ => return Err("write PATH, PATH,CODEC or PATH,CODEC,BAUD".to_owned()),
        };
        let codec = one_of(codec, &CODECS, "codec")?;
        let baud = baud
            .map_or(Ok(usual_baud(&codec)), str::parse)
            .map_err(|_| "no number of baud".to_owned())?;
        Ok(Self { path: path.into(), codec, baud })
    }
}

impl FromStr for Radio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (board, region) = text.split_once(',').ok_or("write BOARD,REGION")?;
        Ok(Self {
            board: one_of(board, &boards(), "board")?,
            region: one_of(region, &REGIONS, "region")?,
        })
    }
}

impl FromStr for Concentrator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [listen, eui, region] = text.split(',').collect::<Vec<_>>()[..] else {
            return Err("write LISTEN,EUI,REGION: 127.0.0.1:1700,aa555a0000000101,EU868".to_owned());
        };
        let listen = listen
            .parse()
            .map_err(|_| "LISTEN is an address and a port: 127.0.0.1:1700".to_owned())?;
        Ok(Self { listen, eui: eui.to_owned(), region: one_of(region, &REGIONS, "region")? })
    }
}

/// All that the configuration needs to know.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) site: Name,
    pub(super) gateway: Name,
    pub(super) slot: u8,
    pub(super) broker: Address,
    pub(super) broker_name: Option<String>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) store: Option<PathBuf>,
    pub(super) control: Option<PathBuf>,
    /// The folder of certificates and key.
    pub(super) tls: PathBuf,
}

impl Answers {
    /// The configuration's text, understood by its own reader.
    ///
    /// # Errors
    /// What the reader refuses: the values were wrong.
    pub(super) fn text(&self, file_name: &str) -> Result<(String, Config), String> {
        let text = self.write();
        match Config::parse(&text, file_name) {
            Ok(config) => Ok((text, config)),
            Err(errors) => Err(errors.to_string()),
        }
    }

    fn write(&self) -> String {
        let (mut front, rest) = cut(DEFAULT_TEXT, "# ---- Receivers:");
        let (receivers, mut brokers) = cut(&rest, "# ---- The centre's brokers");
        set(&mut front, "site", &quoted(self.site.as_str()));
        set(&mut front, "gateway", &quoted(self.gateway.as_str()));
        set(&mut front, "slot", &self.slot.to_string());
        if let Some(store) = &self.store {
            set(&mut front, "directory", &quoted_path(store));
            set(&mut front, "key_file", &quoted_path(&store.join("store.key")));
        }
        if let Some(control) = &self.control {
            set(&mut front, "socket", &quoted_path(control));
        }
        set(&mut brokers, "host", &quoted(&self.broker.host));
        set(&mut brokers, "port", &self.broker.port.to_string());
        for (key, file) in FILES {
            set(&mut brokers, key, &quoted_path(&self.tls.join(file)));
        }
        if let Some(name) = self.broker_name.as_ref().filter(|name| **name != self.broker.host) {
            set(&mut brokers, "server_name", &quoted(name));
        }
        [front, commented(&receivers), self.links(), "\n\n".to_owned(), brokers].concat()
    }

    fn links(&self) -> String {
        let mut text = String::from("# What `setup` was told or found:\n");
        let (mut serials, mut radios, mut concentrators) = (0, 0, 0);
        for receiver in &self.receivers {
            let told = match receiver {
                Receiver::Serial(Serial { path, codec, baud }) => {
                    serials += 1;
                    writeln!(
                        text,
                        "[[link]]\nname = \"serial-{serials}\"\nkind = \"serial\"\npath = {}\nbaud = {baud}\n\
                         codec = {}",
                        quoted_path(path),
                        quoted(codec)
                    )
                }
                Receiver::Radio(Radio { board, region }) => {
                    radios += 1;
                    writeln!(
                        text,
                        "[[link]]\nname = \"radio-{radios}\"\nkind = \"radio\"\nboard = {}\nregion = {}",
                        quoted(board),
                        quoted(region)
                    )
                }
                Receiver::Concentrator(Concentrator { listen, eui, region }) => {
                    concentrators += 1;
                    writeln!(
                        text,
                        "[[link]]\nname = \"roof-{concentrators}\"\nkind = \"concentrator\"\n\
                         listen = \"{listen}\"\neui = {}\nregion = {}",
                        quoted(eui),
                        quoted(region)
                    )
                }
            };
            told.expect("a String takes everything");
        }
        text
    }
}

/// Settings of a broker, and the files' names.
const FILES: [(&str, &str); 3] =
    [("ca_file", "ca.pem"), ("certificate_file", "gateway.pem"), ("key_file", "gateway.key")];

/// Whether nobody has edited this text yet.
pub(super) fn is_untouched(text: &str) -> bool {
    text.trim().is_empty() || text == DEFAULT_TEXT
}

/// Before and from the line that begins so.
fn cut(text: &str, begin: &str) -> (String, String) {
    let at = text.find(begin).expect("the shipped file has this part");
    (text[..at].to_owned(), text[at..].to_owned())
}

/// Gives the first line of this setting this value, switched off or not.
fn set(text: &mut String, key: &str, value: &str) {
    let is_it = |line: &str| {
        let line = line.strip_prefix('#').unwrap_or(line);
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
    };
    let mut done = false;
    let lines = text.split_inclusive('\n').map(|line| {
        if done || !is_it(line) {
            return line.to_owned();
        }
        done = true;
        format!("{key} = {value}\n")
    });
    let changed: String = lines.collect();
    assert!(done, "the shipped file has a line of {key}");
    *text = changed;
}

/// The example switched off, so that its explanations stay.
fn commented(text: &str) -> String {
    let off = |line: &str| match line.trim() {
        "" => line.to_owned(),
        comment if comment.starts_with('#') => line.to_owned(),
        _ => format!("#{line}"),
    };
    text.split_inclusive('\n').map(off).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LinkKind;

    fn answers(receivers: Vec<Receiver>) -> Answers {
        let name = |text| Name::new(text).expect("a name");
        Answers {
            site: name("harbour"),
            gateway: name("crane-2"),
            slot: 7,
            broker: "mqtt.example.org:8884".parse().expect("an address"),
            broker_name: None,
            receivers,
            store: None,
            control: None,
            tls: "/etc/pendant-gateway/tls".into(),
        }
    }

    fn serial(text: &str) -> Receiver {
        Receiver::Serial(text.parse().expect("a port"))
    }

    #[test]
    fn what_is_written_is_understood_and_says_what_was_asked_for() {
        let radio = "waveshare-sx1262-hat,eu868".parse().map(Receiver::Radio).expect("a radio");
        let roof = "127.0.0.1:1700,aa555a0000000101,EU868"
            .parse()
            .map(Receiver::Concentrator)
            .expect("one");
        let serials = [serial("/dev/serial/by-id/usb-a,rak-p2p,57600"), serial("/dev/ttyAMA0,e22")];
        let mut answers = answers([&serials[..], &[radio, roof]].concat());
        answers.broker_name = Some("broker.internal".into());
        answers.store = Some("/mnt/ssd/store".into());
        answers.control = Some("/run/x/control.sock".into());
        let (text, config) = answers.text("gateway.toml").expect("understood");
        assert_eq!(
            (config.site.as_str(), config.gateway.as_str(), config.slot.get()),
            ("harbour", "crane-2", 7)
        );
        let broker = &config.brokers[0];
        assert_eq!(
            (broker.host.as_str(), broker.port, broker.expected_name()),
            ("mqtt.example.org", 8884, "broker.internal")
        );
        assert_eq!(broker.key_file, Path::new("/etc/pendant-gateway/tls/gateway.key"));
        assert_eq!(config.store.directory, Path::new("/mnt/ssd/store"));
        assert_eq!(config.store.key_file, Path::new("/mnt/ssd/store/store.key"));
        assert_eq!(config.control.socket, Path::new("/run/x/control.sock"));
        let names: Vec<&str> = config.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["serial-1", "serial-2", "radio-1", "roof-1"]);
        let LinkKind::Serial { baud, .. } = config.links[1].kind else { panic!("a serial port") };
        assert_eq!(baud, 9600);
        // With every explanation of the shipped file.
        let words = |text: &str| text.lines().filter(|line| line.starts_with("# ")).count();
        assert_eq!(words(&text), words(DEFAULT_TEXT) + 1);
        assert!(
            !text.lines().any(|line| line.contains("EDIT-ME") && !line.starts_with('#')),
            "{text}"
        );
    }

    #[test]
    fn what_the_reader_refuses_is_not_written() {
        let mut one = answers(vec![serial("dev/x")]);
        assert!(one.text("gateway.toml").expect_err("no absolute path").contains("`path`"));
        one = answers(Vec::new());
        assert!(one.text("gateway.toml").expect_err("nothing is heard").contains("no [[link]]"));
        let odd = answers(vec![serial("/dev/a\"b\\c")]);
        let (_, config) = odd.text("gateway.toml").expect("a path may hold anything");
        let LinkKind::Serial { path, .. } = &config.links[0].kind else { panic!("a serial port") };
        assert_eq!(path, Path::new("/dev/a\"b\\c"));
    }

    #[test]
    fn flags_are_read_and_mistakes_are_told() {
        for (text, host, port) in [
            ("mqtt.example.org", "mqtt.example.org", 8883),
            ("mqtts://mqtt.example.org:8000/", "mqtt.example.org", 8000),
            ("192.0.2.7:1", "192.0.2.7", 1),
            ("2001:db8::1", "2001:db8::1", 8883),
            ("[2001:db8::1]:9", "2001:db8::1", 9),
        ] {
            assert_eq!(text.parse(), Ok(Address { host: host.into(), port }), "{text}");
        }
        assert!("a b".parse::<Address>().is_err() && "host:port".parse::<Address>().is_err());
        assert!("/dev/x,morse".parse::<Serial>().expect_err("no codec").contains("cobs, rylr998"));
        assert!("/dev/x,cobs,fast".parse::<Serial>().is_err());
        assert!(
            "heathkit,EU868"
                .parse::<Radio>()
                .expect_err("no board")
                .contains("waveshare-sx1262-hat")
        );
        assert!("e22-900m22s,MARS".parse::<Radio>().expect_err("no region").contains("EU868"));
        assert!("1700,x,EU868".parse::<Concentrator>().is_err());
        assert!(is_untouched(DEFAULT_TEXT) && !is_untouched("site = \"x\""));
    }
}
