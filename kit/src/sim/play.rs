//! Plays a site in real time: its air, who is on it, and who disturbs.

use super::{AirReport, JammerSettings, PendantSettings, Post, Progress, SimError, SiteScenario};
use crate::bench::{Memory, PendantHandle};
use crate::pendant::Habits;
use crate::site::{Said, Site, SiteSettings, Wearer};
use pendant_hal::sim::ether::{Antenna, Ether};
use pendant_hal::sim::socket::EtherServer;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How long the site waits for its gateway.
pub(super) const GATEWAY_COMES_WITHIN: Duration = Duration::from_secs(60);

/// At the end, how long it waits for the last answers: both windows after a last
/// transmission, and some.
const LAST_ANSWERS: Duration = Duration::from_secs(4);

/// A site that is being played.
pub(super) struct Play {
    site: Site,
    _jammers: JoinSet<()>,
    _air: EtherServer,
}

impl Play {
    /// Makes the air, waits for the gateway, and brings everybody to life.
    pub(super) async fn start(
        scenario: &SiteScenario,
        pendants: &[PendantSettings],
        told: UnboundedSender<Said>,
        tell: &mut impl FnMut(&Progress),
    ) -> Result<Self, SimError> {
        let wearers: Result<Vec<Wearer>, SimError> = pendants.iter().filter_map(wearer).collect();
        let wearers = wearers?;
        let ether = Ether::in_field(scenario.field.clone());
        let antenna = Antenna::at(scenario.gateway);
        let socket = &scenario.socket;
        let air = EtherServer::bind_at(socket, ether.clone(), antenna.clone())
            .map_err(|error| SimError::Air(socket.clone(), error))?;
        let at = Some(socket.display().to_string());
        tell(&Progress::Ready { wire: "air".to_owned(), at });
        let mut guests = air.guests();
        let came = timeout(GATEWAY_COMES_WITHIN, guests.wait_for(|count| *count > 0)).await;
        if !matches!(came, Ok(Ok(_))) {
            return Err(SimError::NoGateway(socket.clone()));
        }
        tell(&Progress::Begun);
        let settings =
            SiteSettings { radio: scenario.radio.clone(), gateway: antenna, seed: scenario.seed };
        let site = Site::start(&settings, &ether, wearers, move |said| {
            // Who started this may have gone.
            let _ = told.send(said);
        });
        let mut jammers = JoinSet::new();
        let start = Instant::now();
        for jammer in scenario.jammers.clone() {
            jammers.spawn(jam(ether.clone(), jammer, start));
        }
        Ok(Self { site, _jammers: jammers, _air: air })
    }

    /// In the order of the scenario.
    pub(super) fn pendants(&self) -> &[PendantHandle] {
        self.site.pendants()
    }

    /// Waits until the site's time is over and the last answers have come.
    pub(super) async fn end(
        self,
        start: Instant,
        scenario: &SiteScenario,
        pendants: &[PendantSettings],
    ) -> AirReport {
        sleep_until(start + scenario.lasts).await;
        self.site.fall_silent(LAST_ANSWERS).await;
        let tell = |(place, why): (usize, String)| format!("{}: {why}", pendants[place].name);
        AirReport {
            pendants: pendants.len(),
            account: self.site.account(),
            answered_percent_min: scenario.answered_percent_min,
            broken: self.site.broken().into_iter().map(tell).collect(),
        }
    }
}

fn wearer(pendant: &PendantSettings) -> Option<Result<Wearer, SimError>> {
    let Post::Site { walk, habits } = &pendant.post else { return None };
    let memory = Memory::File(pendant.memory.clone());
    let remembered = match memory.recall() {
        Ok(remembered) => remembered,
        Err(error) => return Some(Err(SimError::Memory(pendant.name.clone(), error))),
    };
    Some(Ok(Wearer {
        identity: pendant.identity.clone(),
        memory,
        remembered,
        attempts_max: pendant.attempts_max.unwrap_or(Habits::default().attempts_max),
        walk: walk.clone(),
        habits: habits.clone(),
    }))
}

async fn jam(ether: Ether, settings: JammerSettings, start: Instant) {
    let JammerSettings { at, power_dbm, band, jamming, from, until } = settings;
    sleep_until(start + from).await;
    let _jammer = ether.jam(&Antenna::at(at), band, power_dbm, jamming);
    sleep_until(start + until).await;
}
