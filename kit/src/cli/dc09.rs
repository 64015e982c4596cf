//! `dc09`: from gateways to an alarm receiver.

use super::broker::BrokerArguments;
use super::{Exit, Refusal, say, told_to_stop};
use crate::centre::{CentreSettings, Since};
use crate::dc09::{
    BridgeSettings, Cipher, Format, LinkSettings, Mapping, State, Told, Transport, run,
};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Our name at the broker; what we miss is kept under it
    #[arg(long, default_value = "pendant-kit-dc09")]
    client_id: String,
    /// The alarm receiver
    #[arg(long, value_name = "HOST:PORT")]
    receiver: String,
    /// Reach it over UDP, not TCP
    #[arg(long)]
    udp: bool,
    /// The codes that it wants
    #[arg(long, value_enum, default_value_t = Codes::Sia)]
    codes: Codes,
    /// The account of all that has none of its own in --accounts: 3 to 16 hexadecimal digits
    #[arg(long)]
    account: String,
    /// Accounts and zones of pendants and gateways, and codes of kinds (TOML)
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Our receiver number (R), up to 6 hexadecimal digits
    #[arg(long, default_value = "0", value_parser = number)]
    receiver_number: String,
    /// Our line number (L), up to 6 hexadecimal digits
    #[arg(long, default_value = "0", value_parser = number)]
    line_number: String,
    /// Encrypt with the key in this file: 32, 48 or 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    encryption_key: Option<PathBuf>,
    /// Send trouble as well
    #[arg(long)]
    trouble: bool,
    /// Tell kind, pendant and wearer as text
    #[arg(long)]
    text: bool,
    /// Where numbers and what was acknowledged outlive a restart
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Wait so long for an answer before sending again
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..))]
    answer_wait_ms: u64,
    /// Ask the receiver for an answer when it gave none for so long
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    supervision_s: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Codes {
    /// The SIA format, DC-03 (SIA-DCS)
    Sia,
    /// Contact ID, DC-05 (ADM-CID)
    ContactId,
}

fn number(text: &str) -> Result<String, &'static str> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_number.then(|| text.to_ascii_uppercase()).ok_or("1 to 6 hexadecimal digits")
}

pub(super) async fn dc09(arguments: Arguments) -> Result<Exit, Refusal> {
    let (json, state) = (arguments.json, arguments.state.clone());
    let settings = settings(arguments)?;
    let named = |error| Refusal(format!("{}: {error}", state.display()));
    let memory = State::open(&state).map_err(named)?;
    let told = told_to_stop()?;
    let stop = async {
        told.await;
    };
    // An output that was closed does not end the alarms.
    let tell = |told: Told| drop(print(&told, json));
    let ended = run(settings, memory, tell, stop).await.map_err(named)?;
    let is_well = ended.waiting == 0 && ended.refused == 0;
    Ok(if is_well { Exit::AsExpected } else { Exit::Unexpected })
}

fn settings(arguments: Arguments) -> Result<BridgeSettings, Refusal> {
    let format = match arguments.codes {
        Codes::Sia => Format::Sia,
        Codes::ContactId => Format::ContactId,
    };
    let mut mapping = Mapping::new(format, &arguments.account).map_err(Refusal)?;
    (mapping.trouble, mapping.text) = (arguments.trouble, arguments.text);
    if let Some(file) = arguments.accounts {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string());
        let mapped = text.and_then(|text| mapping.with_file(&text));
        mapping = mapped.map_err(|error| Refusal(format!("{}: {error}", file.display())))?;
    }
    let cipher = arguments.encryption_key.as_deref().map(Cipher::from_file).transpose();
    let centre = arguments.broker.centre(&arguments.client_id)?;
    Ok(BridgeSettings {
        centre: CentreSettings { since: Since::FirstHeard, ..centre },
        mapping,
        link: LinkSettings {
            receiver: arguments.receiver,
            transport: if arguments.udp { Transport::Udp } else { Transport::Tcp },
            answer_wait: Duration::from_millis(arguments.answer_wait_ms),
        },
        receiver_number: arguments.receiver_number,
        line_number: arguments.line_number,
        cipher: cipher.map_err(Refusal)?,
        supervision: Duration::from_secs(arguments.supervision_s),
    })
}

fn print(told: &Told, json: bool) -> io::Result<()> {
    if json {
        return say(&serde_json::to_string(told).map_err(io::Error::other)?);
    }
    say(&told.to_string().replace(char::is_control, "?"))
}
