//! `check`, the radios: whether they work, and how many answers an hour they may
//! give.

use super::findings::Findings;
use crate::config::{Air, Concentrator, Config, Radio};
use crate::shell::radios;
use pendant_hal::radio::linux::CONSUMER;
use pendant_hal::region::{Band, Region};
use pendant_hal::{LineFault, LinkFault, concentrator};

/// Sets the radio up as the running gateway would. Nothing is transmitted.
pub(super) fn try_out(about: &str, radio: &Radio, findings: &mut Findings) {
    let chip = radio.chip.name();
    match radios::probe(radio) {
        Ok(()) => {
            let text = format!(
                "{chip} on {} works: chip, oscillator and interrupt line",
                radio.spi.display()
            );
            findings.good(about, text);
        }
        Err(LinkFault::Line { role, line, why: LineFault::Taken { by } }) if by == CONSUMER => {
            findings.advice(
                about,
                format!("the radio is in use: {by} holds GPIO line {line} ({role})"),
                "if the gateway is running, `status` shows the radio; stop it to try the radio here",
            );
        }
        Err(fault) => findings.wrong(
            about,
            fault.to_string(),
            "docs/install.md, \"A radio on the Pi's own pins\", has wiring and overlays",
        ),
    }
}

/// Waits for the packet forwarder's call, as the running gateway would.
pub(super) fn await_forwarder(about: &str, settings: &Concentrator, findings: &mut Findings) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let called = match &runtime {
        Ok(runtime) => runtime.block_on(concentrator::probe(&radios::concentrator(settings))),
        Err(error) => {
            return findings.wrong(about, format!("cannot listen: {error}"), "try again");
        }
    };
    match called {
        Ok(()) => {
            let Concentrator { listen, eui, .. } = settings;
            findings.good(about, format!("packet forwarder {eui} calls on {listen}"));
        }
        Err(fault @ LinkFault::Port { taken: true, .. }) => findings.advice(
            about,
            fault.to_string(),
            "if the gateway is running, `status` shows the link; stop it to try the port here",
        ),
        Err(fault) => findings.wrong(
            about,
            fault.to_string(),
            "docs/install.md, \"A concentrator\", says how a forwarder is set up",
        ),
    }
}

/// What the settings allow, against what the enrolled pendants will ask for.
pub(super) fn count_answers(config: &Config, enrolled: usize, findings: &mut Findings) {
    let mut total = Some(0);
    for link in config.links.iter().filter(|link| link.acknowledge) {
        let Some(air) = link.kind.air() else {
            // What a receiver on a serial port may do is its own affair.
            total = None;
            continue;
        };
        let Some((region, band)) = air.region.zip(air.band()) else {
            total = None;
            continue;
        };
        let answers = answers_an_hour(air, &band);
        findings.good(&format!("link {}", link.name), describe(air, region, &band, answers));
        total = total.zip(answers).map(|(total, answers)| total + answers);
    }
    let interval_ms = config.pendants.policies.site.heartbeat_interval_ms;
    let wanted = (enrolled as u64 * 3_600_000).checked_div(interval_ms);
    let Some((total, wanted)) = total.zip(wanted) else {
        return;
    };
    if total > 0 && wanted > total {
        findings.advice(
            "answers",
            format!(
                "{enrolled} pendants send about {wanted} heartbeats an hour, and {total} can be \
                 answered: the others are repeated, and so are presses among them"
            ),
            "raise the pendants' heartbeat interval, or lower the spreading factor of the site",
        );
    }
}

/// How many the duty cycle pays for; `None`: any number.
fn answers_an_hour(air: &Air, band: &Band) -> Option<u64> {
    let allowed_ms = u64::from(band.duty_permille?) * 3600;
    let airtime_us = u64::try_from(air.airtime().as_micros()).unwrap_or(u64::MAX);
    (allowed_ms * 1000).checked_div(airtime_us)
}

fn describe(air: &Air, region: Region, band: &Band, answers: Option<u64>) -> String {
    let airtime_ms = air.airtime().as_millis();
    let hz = air.downlink_frequency_hz;
    let place = format!("{} {hz} Hz SF{}", region.name(), air.spreading_factor);
    match (answers, band.duty_permille) {
        (Some(answers), Some(permille)) => format!(
            "{place}: {answers} answers an hour of {airtime_ms} ms each (duty cycle {}.{} %); it \
             hears nothing while it sends them",
            permille / 10,
            permille % 10
        ),
        _ => format!(
            "{place}: as many answers as are asked for, {airtime_ms} ms each; it hears nothing \
             while it sends them"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn air(region: Region, spreading_factor: u8) -> Air {
        let channels = region.channels();
        Air {
            region: Some(region),
            frequency_hz: channels.uplink_hz,
            downlink_frequency_hz: channels.downlink_hz,
            spreading_factor,
            bandwidth_hz: 125_000,
            coding_rate_denominator: 5,
            power_dbm: 14,
            antenna_gain_dbi: 2,
            network: crate::config::Network::Native,
        }
    }

    #[test]
    fn answers_an_hour_are_airtime_over_duty_cycle() {
        for (factor, answers) in [(7, 5835), (10, 971), (12, 242)] {
            let air = air(Region::Eu868, factor);
            let band = air.band().expect("a band");
            assert_eq!(answers_an_hour(&air, &band), Some(answers), "SF{factor}");
        }
        let air = air(Region::Us915, 10);
        assert_eq!(answers_an_hour(&air, &air.band().expect("a band")), None);
    }
}
