//! How long a payload is says its layout at many devices: every port takes its own lengths
//! and no other, so that a press in an unknown layout is told and not misread.

use pendant_gateway::engine::device::{Decoder, Unreadable};

/// What a port takes.
enum Lengths {
    Of(&'static [usize]),
    /// So many bytes, and so many for each network, beacon or record behind them.
    And(usize, usize),
    AtLeast(usize),
}
use Lengths::{And, AtLeast, Of};

impl Lengths {
    fn take(&self, bytes: usize) -> bool {
        match *self {
            Of(lengths) => lengths.contains(&bytes),
            And(head, each) => bytes >= head && (bytes - head) % each == 0,
            AtLeast(least) => bytes >= least,
        }
    }
}

/// Ports and lengths of a device, as the documents named beside its decoder have them.
type Ports = &'static [(u8, Lengths)];

const DEVICES: [(Decoder, Ports); 6] = [
    (
        Decoder::DraginoTrackerd,
        &[
            (2, Of(&[15, 18, 22])),
            (3, Of(&[11, 17, 18, 24])),
            (4, Of(&[15])),
            (5, Of(&[9])),
            (6, Of(&[27, 31])),
            (7, Of(&[3])),
            (8, Of(&[10])),
            (9, AtLeast(3)),
        ],
    ),
    (
        Decoder::DraginoTrackerd154,
        &[
            (2, Of(&[19, 23])),
            (3, Of(&[19])),
            (4, Of(&[25])),
            (5, Of(&[9])),
            (6, Of(&[27, 31])),
            (7, Of(&[3])),
            (8, Of(&[10])),
            (9, And(3, 5)),
            (10, Of(&[38])),
        ],
    ),
    (Decoder::DraginoPb01, &[(2, Of(&[8])), (3, And(11, 11)), (5, Of(&[7]))]),
    (Decoder::DraginoPb05, &[(2, Of(&[5])), (3, And(11, 11)), (5, Of(&[7]))]),
    (
        Decoder::MokoLw004,
        &[
            (1, Of(&[7])),
            (2, Of(&[9])),
            (3, Of(&[8])),
            (4, Of(&[7])),
            (5, Of(&[8])),
            (6, Of(&[11])),
            (7, Of(&[7])),
            (8, And(4, 7)),
            (9, And(3, 7)),
            (10, Of(&[11])),
            (11, Of(&[7])),
            (12, And(4, 7)),
            (13, And(3, 7)),
        ],
    ),
    (
        Decoder::MokoLw001,
        &[
            (1, Of(&[9])),
            // With the length 0 of what was heard.
            (2, Of(&[13])),
            (3, AtLeast(5)),
            (4, Of(&[4])),
            (5, Of(&[5])),
            (6, Of(&[5])),
            (7, Of(&[11])),
            (8, Of(&[4])),
            (9, Of(&[23])),
        ],
    ),
];

/// Zeros say nothing at these devices: what is refused is refused for its length or port.
#[test]
fn every_port_takes_its_own_lengths_and_no_other() {
    for (decoder, ports) in DEVICES {
        for port in 0..=255 {
            let known = ports.iter().find(|(known, _)| *known == port);
            for bytes in 0..=48 {
                let found = decoder.decode(port, &[0; 48][..bytes]).map(|reading| reading.signs);
                let place = format!("{decoder:?}, port {port}, {bytes} bytes: {found:?}");
                match known {
                    None => assert_eq!(found, Err(Unreadable::Port), "{place}"),
                    Some((_, lengths)) if !lengths.take(bytes) => {
                        assert_eq!(found, Err(Unreadable::Length), "{place}");
                    }
                    Some(_) => assert!(found.is_ok(), "{place}"),
                }
            }
        }
    }
}
