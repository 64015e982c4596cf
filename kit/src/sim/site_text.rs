//! `[site]`: a site in the air, as a scenario file describes it.

use super::scenario::{Mistake, mistake};
use super::steps;
use crate::site::{PENDANTS_MAX, Walk};
use pendant_hal::radio::RadioSettings;
use pendant_hal::region::Region;
use pendant_hal::sim::ether::{Field, Jamming, Position, Wall};
use pendant_hal::sim::waves::Band;
use pendant_protocol::Body;
use serde::Deserialize;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Most walls, most jammers, most way-points of a round.
const WALLS_MAX: usize = 1_000;
const JAMMERS_MAX: usize = 32;
const POINTS_MAX: usize = 100;

/// Farther away than any radio reaches, metres.
const FAR_M: f64 = 100_000.0;

/// A brisk walk, metres a second.
const SPEED_M_S: f64 = 1.2;

/// A week.
const LASTS_S_MAX: f64 = 604_800.0;

/// A checked site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteScenario {
    /// Where the gateway comes into the air; made here.
    pub socket: PathBuf,
    /// How pendants' radios are set.
    pub radio: RadioSettings,
    /// How waves travel.
    pub field: Field,
    /// Where the gateway's antenna is.
    pub gateway: Position,
    /// How long it lasts, counted from when the gateway came; longer if steps do.
    pub lasts: Duration,
    /// Everything that is chance follows from it.
    pub seed: u64,
    /// Fewer answered transmissions than this are not as expected, percent.
    pub answered_percent_min: Option<f64>,
    /// Who disturbs.
    pub jammers: Vec<JammerSettings>,
}

/// A jammer, or somebody who disturbs without knowing it.
#[derive(Debug, Clone, PartialEq)]
pub struct JammerSettings {
    /// Where it is.
    pub at: Position,
    /// Radiated power, dBm.
    pub power_dbm: i16,
    /// What it disturbs.
    pub band: Band,
    /// How.
    pub jamming: Jamming,
    /// From this time on, counted as the steps' times are.
    pub from: Duration,
    /// Until then.
    pub until: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteText {
    socket: PathBuf,
    region: Option<Spanned<String>>,
    frequency_hz: Option<u32>,
    downlink_frequency_hz: Option<u32>,
    spreading_factor: Option<u8>,
    bandwidth_hz: Option<u32>,
    power_dbm: Option<i8>,
    gateway_m: Spanned<[f64; 2]>,
    lasts_s: Spanned<f64>,
    #[serde(default)]
    seed: u64,
    answered_percent_min: Option<Spanned<f64>>,
    loss_exponent: Option<Spanned<f64>>,
    shadowing_db: Option<Spanned<f64>>,
    fading_db: Option<Spanned<f64>>,
    #[serde(default)]
    wall: Vec<Spanned<WallText>>,
    #[serde(default)]
    jammer: Vec<Spanned<JammerText>>,
    #[serde(default)]
    pub(super) crew: Vec<Spanned<CrewText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WallText {
    from_m: Spanned<[f64; 2]>,
    to_m: Spanned<[f64; 2]>,
    loss_db: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JammerText {
    kind: Kind,
    at_m: Spanned<[f64; 2]>,
    power_dbm: i16,
    centre_hz: Option<u32>,
    width_hz: Option<u32>,
    from_s: Option<Spanned<f64>>,
    until_s: Option<Spanned<f64>>,
    on_ms: Option<u64>,
    period_ms: Option<u64>,
    reaction_us: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Continuous,
    Pulsed,
    Selective,
    Reactive,
}

/// Many pendants that are used alike.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrewText {
    pub(super) name: String,
    pub(super) enrolment_dir: PathBuf,
    pub(super) count: Option<usize>,
    pub(super) attempts_max: Option<u32>,
    pub(super) walk: Spanned<WalkText>,
    #[serde(default)]
    pub(super) habit: Vec<Spanned<HabitText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalkText {
    at_m: Option<Spanned<[f64; 2]>>,
    round_m: Option<Spanned<Vec<[f64; 2]>>>,
    area_m: Option<Spanned<[[f64; 2]; 2]>>,
    speed_m_s: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HabitText {
    #[serde(rename = "do")]
    action: String,
    every_s: Spanned<f64>,
}

impl SiteText {
    /// The site, apart from who is on it.
    pub(super) fn check(
        &self,
        span: Range<usize>,
        directory: &Path,
    ) -> Result<SiteScenario, Mistake> {
        let radio = self.radio(span)?;
        if self.wall.len() > WALLS_MAX {
            return mistake(self.wall[WALLS_MAX].span(), format!("at most {WALLS_MAX} walls"));
        }
        if self.jammer.len() > JAMMERS_MAX {
            let span = self.jammer[JAMMERS_MAX].span();
            return mistake(span, format!("at most {JAMMERS_MAX} jammers"));
        }
        let walls: Result<Vec<Wall>, Mistake> =
            self.wall.iter().map(|wall| wall.get_ref().check()).collect();
        let usual = Field::default();
        let or = |value: &Option<Spanned<f64>>, name, allowed, usual| {
            value.as_ref().map_or(Ok(usual), |value| within(value, name, allowed))
        };
        let field = Field {
            exponent: or(&self.loss_exponent, "loss_exponent", 1.0..=8.0, usual.exponent)?,
            shadowing_db: or(&self.shadowing_db, "shadowing_db", 0.0..=20.0, usual.shadowing_db)?,
            fading_db: or(&self.fading_db, "fading_db", 0.0..=20.0, usual.fading_db)?,
            walls: walls?,
            seed: self.seed,
            ..usual
        };
        let lasts = seconds(&self.lasts_s, "lasts_s")?;
        let band = Band { centre_hz: radio.frequency_hz, width_hz: radio.bandwidth_hz };
        let jammers: Result<Vec<JammerSettings>, Mistake> =
            self.jammer.iter().map(|jammer| check_jammer(jammer, band, lasts)).collect();
        let percent = |value| within(value, "answered_percent_min", 0.0..=100.0);
        Ok(SiteScenario {
            socket: directory.join(&self.socket),
            field,
            gateway: position(&self.gateway_m)?,
            lasts,
            seed: self.seed,
            answered_percent_min: self.answered_percent_min.as_ref().map(percent).transpose()?,
            jammers: jammers?,
            radio,
        })
    }

    fn radio(&self, all: Range<usize>) -> Result<RadioSettings, Mistake> {
        let region = match &self.region {
            None => None,
            Some(name) => {
                let names = Region::ALL.map(Region::name);
                let found = Region::ALL.into_iter().find(|it| it.name() == name.get_ref());
                let told = || format!("region is none of: {}", names.join(", "));
                Some((found.map_or_else(|| mistake(name.span(), told()), Ok)?, name.span()))
            }
        };
        let usual = super::RADIO;
        let channels = region.as_ref().map(|(region, _)| region.channels());
        let frequency_hz = self
            .frequency_hz
            .unwrap_or(channels.map_or(usual.frequency_hz, |channels| channels.uplink_hz));
        let downlink_frequency_hz = self
            .downlink_frequency_hz
            .unwrap_or(channels.map_or(frequency_hz, |channels| channels.downlink_hz));
        let radio = RadioSettings {
            frequency_hz,
            downlink_frequency_hz,
            spreading_factor: self.spreading_factor.unwrap_or(usual.spreading_factor),
            bandwidth_hz: self.bandwidth_hz.unwrap_or(usual.bandwidth_hz),
            power_dbm: self.power_dbm.unwrap_or(usual.power_dbm),
            ..usual
        };
        radio.check().or_else(|fault| mistake(all, fault.to_string()))?;
        if let Some((region, span)) = region {
            for hz in [radio.frequency_hz, radio.downlink_frequency_hz] {
                if region.band(hz, radio.bandwidth_hz).is_none() {
                    let name = region.name();
                    let text = format!(
                        "{hz} Hz with {} Hz of bandwidth is in no band of {name}; \
                         leave the frequencies out, or write the gateway's",
                        radio.bandwidth_hz
                    );
                    return mistake(span, text);
                }
            }
        }
        Ok(radio)
    }
}

impl WallText {
    fn check(&self) -> Result<Wall, Mistake> {
        Ok(Wall {
            from: position(&self.from_m)?,
            to: position(&self.to_m)?,
            loss_db: within(&self.loss_db, "loss_db", 0.0..=100.0)?,
        })
    }
}

fn check_jammer(
    text: &Spanned<JammerText>,
    band: Band,
    lasts: Duration,
) -> Result<JammerSettings, Mistake> {
    let (span, jammer) = (text.span(), text.get_ref());
    let pulse = (jammer.on_ms, jammer.period_ms);
    let reaction = Duration::from_micros(jammer.reaction_us.unwrap_or(0));
    let jamming = match (jammer.kind, pulse, jammer.reaction_us) {
        (Kind::Continuous, (None, None), None) => Jamming::Continuous,
        (Kind::Pulsed, (Some(on), Some(period)), None) if 0 < on && on <= period => {
            Jamming::Pulsed { on: Duration::from_millis(on), period: Duration::from_millis(period) }
        }
        (Kind::Selective, (None, None), Some(_)) => Jamming::Selective { reaction },
        (Kind::Reactive, (None, None), Some(_)) => Jamming::Reactive { reaction },
        _ => {
            let text = "\"pulsed\" needs `on_ms` and a `period_ms` that is no shorter, \
                        \"selective\" and \"reactive\" need `reaction_us`, and no kind more";
            return mistake(span, text.to_owned());
        }
    };
    let time = |value: &Option<Spanned<f64>>, name, usual| {
        value.as_ref().map_or(Ok(usual), |value| seconds(value, name))
    };
    Ok(JammerSettings {
        at: position(&jammer.at_m)?,
        power_dbm: jammer.power_dbm.clamp(-100, 100),
        band: Band {
            centre_hz: jammer.centre_hz.unwrap_or(band.centre_hz),
            width_hz: jammer.width_hz.unwrap_or(band.width_hz),
        },
        jamming,
        from: time(&jammer.from_s, "from_s", Duration::ZERO)?,
        until: time(&jammer.until_s, "until_s", lasts)?,
    })
}

/// Where a wearer is; `anywhere`: one of a crew.
pub(super) fn check_walk(text: &Spanned<WalkText>, anywhere: bool) -> Result<Walk, Mistake> {
    let (span, walk) = (text.span(), text.get_ref());
    let speed = |value| within(value, "speed_m_s", 0.01..=50.0);
    let speed_m_s = walk.speed_m_s.as_ref().map(speed).transpose()?;
    match (&walk.at_m, &walk.round_m, &walk.area_m) {
        (Some(at), None, None) => match &walk.speed_m_s {
            None => Ok(Walk::Stands(position(at)?)),
            Some(speed) => mistake(speed.span(), "`speed_m_s` is for who walks; leave it out"),
        },
        (None, Some(round), None) => {
            let span = round.span();
            if !(2..=POINTS_MAX).contains(&round.get_ref().len()) {
                return mistake(span, format!("a round has 2 to {POINTS_MAX} way-points"));
            }
            let points: Result<Vec<Position>, Mistake> =
                round.get_ref().iter().map(|at| place(*at, span.clone())).collect();
            let speed_m_s = speed_m_s.unwrap_or(SPEED_M_S);
            Ok(Walk::Rounds { points: points?, anywhere, speed_m_s })
        }
        (None, None, Some(area)) => {
            let [a, b] = *area.get_ref();
            let area = [place(a, area.span())?, place(b, area.span())?];
            Ok(Walk::Wanders { area, speed_m_s: speed_m_s.unwrap_or(SPEED_M_S) })
        }
        _ => mistake(
            span,
            "say where by one of `at_m` = [x, y], `round_m` = [[x, y], …], \
             `area_m` = [[x, y], [x, y]]",
        ),
    }
}

/// What a pendant says again and again, and how often.
pub(super) fn check_habits(
    habits: &[Spanned<HabitText>],
) -> Result<Vec<(Body, Duration)>, Mistake> {
    let check = |habit: &Spanned<HabitText>| {
        let HabitText { action, every_s } = habit.get_ref();
        let Some(body) = steps::plain_body(action, 0) else {
            let text = format!("do = {action:?} cannot be a habit; heartbeat, check_in, test can");
            return mistake(habit.span(), text);
        };
        within(every_s, "every_s", 1.0..=LASTS_S_MAX)?;
        Ok((body, seconds(every_s, "every_s")?))
    };
    habits.iter().map(check).collect()
}

/// Refuses more pendants than a site has room for.
pub(super) fn check_count(count: usize, span: Range<usize>) -> Result<(), Mistake> {
    if count <= PENDANTS_MAX {
        return Ok(());
    }
    mistake(span, format!("{count} pendants; a site has at most {PENDANTS_MAX}"))
}

fn within(value: &Spanned<f64>, name: &str, allowed: RangeInclusive<f64>) -> Result<f64, Mistake> {
    let number = *value.get_ref();
    if allowed.contains(&number) {
        return Ok(number);
    }
    let (least, most) = allowed.into_inner();
    mistake(value.span(), format!("{name} = {number}: write a number from {least} to {most}"))
}

fn seconds(value: &Spanned<f64>, name: &str) -> Result<Duration, Mistake> {
    within(value, name, 0.0..=LASTS_S_MAX).map(Duration::from_secs_f64)
}

fn position(value: &Spanned<[f64; 2]>) -> Result<Position, Mistake> {
    place(*value.get_ref(), value.span())
}

fn place([x_m, y_m]: [f64; 2], span: Range<usize>) -> Result<Position, Mistake> {
    if x_m.abs() <= FAR_M && y_m.abs() <= FAR_M {
        return Ok(Position::new(x_m, y_m));
    }
    mistake(span, format!("[{x_m}, {y_m}]: metres from the origin, at most {FAR_M} each"))
}
