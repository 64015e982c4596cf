//! `[lorawan]`: whether pendants that speak LoRaWAN are listened to, and in which
//! band plan they are answered.

use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::radio::place;
use super::reader::Section;
use super::sections::{HOMES, section};
use super::{Link, LinkKind, LoRaWan, Network};
use crate::engine::lorawan::{Plan, SubBand};
use pendant_hal::region::Region;

pub(super) const KEYS: &[&str] = &["region", "sub_band"];

/// Packet forwarders in North America are shipped with this one as a rule.
const SUB_BAND_USUAL: i64 = 2;

/// `None` if the section is left out: nobody speaks LoRaWAN here.
pub(super) fn lorawan(
    top: &Section<'_>,
    links: &[Link],
    report: &mut Report<'_>,
) -> Option<LoRaWan> {
    top.value("lorawan")?;
    let section = section(top, "lorawan", "[lorawan]", KEYS, report);
    section.require("region", "\"EU868\" or \"US915\"", report);
    let regions = [("EU868", Region::Eu868), ("US915", Region::Us915)];
    let region = section.choice("region", &regions, report);
    let sub_band = section.whole("sub_band", &Quantity::new(Unit::Plain, 1..=8), report);
    section.finish(HOMES, report);
    let region = region?;
    if let Some(value) = section.value("sub_band").filter(|_| region == Region::Eu868) {
        report.refuse(value.span(), "`sub_band` is for US915", "leave the line out");
    }
    refuse_other_regions(&section, links, region, report);
    warn_if_nobody_hears(&section, links, report);
    let sub_band = u8::try_from(sub_band.unwrap_or(SUB_BAND_USUAL)).ok().and_then(SubBand::new);
    Some(LoRaWan { region, sub_band: sub_band.filter(|_| region == Region::Us915) })
}

/// What is answered in another region's channels would be refused at the antenna.
fn refuse_other_regions(
    section: &Section<'_>,
    links: &[Link],
    region: Region,
    report: &mut Report<'_>,
) {
    let other = links.iter().find_map(|link| {
        let its = link.kind.air()?.region?;
        (its != region).then_some((&link.name, its))
    });
    if let Some((name, its)) = other {
        report.refuse(
            place(section, "region"),
            format!("link {name} is in {}, LoRaWAN in {}", its.name(), region.name()),
            "write the same region in both places",
        );
    }
}

fn warn_if_nobody_hears(section: &Section<'_>, links: &[Link], report: &mut Report<'_>) {
    let hears = |link: &Link| match &link.kind {
        LinkKind::Concentrator(_) => true,
        LinkKind::Radio(radio) => radio.air.network == Network::LoRaWan,
        LinkKind::VirtualRadio(radio) => radio.air.network == Network::LoRaWan,
        LinkKind::Serial { .. } => false,
    };
    if !links.iter().any(hears) {
        report.warn(
            section.header(),
            "no [[link]] hears LoRaWAN",
            "add one of kind \"concentrator\", or a radio with network = \"lorawan\"",
        );
    }
}

impl LoRaWan {
    /// How the engine is told.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.sub_band.map_or(Plan::Eu868, |sub_band| Plan::Us915 { sub_band })
    }
}
