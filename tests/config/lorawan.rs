//! `[lorawan]`, and radios that hear it.

use super::{LEAST, effective, parse, refusal};
use pendant_gateway::engine::lorawan::Plan;

const FORWARDER: &str = "[[link]]\nname = \"roof\"\nkind = \"concentrator\"\n\
                         eui = \"aa555a0000000101\"\nregion = \"US915\"\n";

#[test]
fn without_the_section_nobody_listens_and_with_it_the_plan_is_the_region_s() {
    assert_eq!(parse(LEAST).lorawan, None);
    let plan = |text: &str| {
        let config = parse(&format!("{LEAST}{text}"));
        assert_eq!(effective(&parse(&config.to_text())), effective(&config));
        config.lorawan.expect("written").plan()
    };
    assert_eq!(plan("[lorawan]\nregion = \"EU868\"\n"), Plan::Eu868);
    for (line, block) in [("", 2), ("sub_band = 1\n", 1), ("sub_band = 8\n", 8)] {
        match plan(&format!("[lorawan]\nregion = \"US915\"\n{line}{FORWARDER}")) {
            Plan::Us915 { sub_band } => assert_eq!(sub_band.get(), block),
            Plan::Eu868 => panic!("another region"),
        }
    }
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    let told = |text: &str| refusal(&format!("{LEAST}{text}"));
    let without = told("[lorawan]\n");
    assert!(without.contains("lacks `region`") && without.contains("EU868"), "{without}");
    let strange = told("[lorawan]\nregion = \"AU915\"\n");
    assert!(strange.contains("\"EU868\", \"US915\""), "{strange}");
    let block = told("[lorawan]\nregion = \"US915\"\nsub_band = 9\n");
    assert!(block.contains("sub_band") && block.contains('8'), "{block}");
    let needless = told("[lorawan]\nregion = \"EU868\"\nsub_band = 2\n");
    assert!(needless.contains("`sub_band` is for US915"), "{needless}");
    let two = told(&format!("[lorawan]\nregion = \"EU868\"\n{FORWARDER}"));
    assert!(two.contains("link roof is in US915, LoRaWAN in EU868"), "{two}");
    let unheard = told("[[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n");
    assert!(unheard.contains("does not listen") && unheard.contains("[lorawan]"), "{unheard}");
}

#[test]
fn that_no_receiver_hears_it_is_a_warning() {
    let warned = |text: &str| {
        let config = parse(&format!("{LEAST}[lorawan]\nregion = \"EU868\"\n{text}"));
        config.warnings.iter().any(|warning| warning.text.contains("no [[link]] hears LoRaWAN"))
    };
    let radio = |network: &str| {
        format!(
            "[[link]]\nname = \"air\"\nkind = \"virtual-radio\"\nsocket = \"/run/air\"\n{network}"
        )
    };
    assert!(warned(""));
    assert!(warned(&radio("")));
    assert!(warned(&radio("network = \"native\"\n")));
    assert!(!warned(&radio("network = \"lorawan\"\n")));
    assert!(!warned(&FORWARDER.replace("US915", "EU868")));
}
