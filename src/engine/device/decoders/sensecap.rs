//! Seeed SenseCAP T1000: frames one behind the other, each with its number in front.
//! Big-endian. Fields as in `Seeed-Solution/SenseCAP-Decoder`, `T1000/TTN`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Position, Reading, Sign};

const PORT: u8 = 5;
/// Raw satellite data for a location server, and its answers.
const RAW_PORTS: [u8; 2] = [192, 199];
/// What stands for a temperature that was not measured.
const NO_TEMPERATURE: i16 = i16::MIN;

/// Where things stand in a frame, counted from behind its number.
struct Layout {
    frame: u8,
    bytes: usize,
    events: Option<usize>,
    longitude: Option<usize>,
    temperature: Option<usize>,
    battery: Option<usize>,
}

const fn layout(
    frame: u8,
    bytes: usize,
    [events, longitude, temperature, battery]: [Option<usize>; 4],
) -> Layout {
    Layout { frame, bytes, events, longitude, temperature, battery }
}

const LAYOUTS: [Layout; 20] = [
    // State and settings: after a join, by request, in short.
    layout(0x01, 46, [None, None, None, Some(0)]),
    layout(0x02, 15, [None, None, None, Some(0)]),
    layout(0x03, 31, [None; 4]),
    layout(0x04, 9, [None; 4]),
    layout(0x05, 4, [None, None, None, Some(0)]),
    // A place from satellites, networks, beacons; with and without sensors.
    layout(0x06, 21, [Some(0), Some(8), Some(16), Some(20)]),
    layout(0x07, 41, [Some(0), None, Some(36), Some(40)]),
    layout(0x08, 34, [Some(0), None, Some(29), Some(33)]),
    layout(0x09, 17, [Some(0), Some(8), None, Some(16)]),
    layout(0x0a, 37, [Some(0), None, None, Some(36)]),
    layout(0x0b, 30, [Some(0), None, None, Some(29)]),
    // An error of the search.
    layout(0x0d, 4, [None; 4]),
    // What goes with raw satellite data, and a search without success.
    layout(0x0f, 16, [Some(0), None, Some(8), Some(12)]),
    layout(0x10, 12, [Some(0), None, None, Some(8)]),
    layout(0x11, 13, [Some(1), None, Some(8), Some(12)]),
    // The same with acceleration.
    layout(0x1a, 27, [Some(0), Some(8), Some(16), Some(26)]),
    layout(0x1b, 47, [Some(0), None, Some(36), Some(46)]),
    layout(0x1c, 40, [Some(0), None, Some(29), Some(39)]),
    layout(0x1d, 19, [Some(1), None, Some(8), Some(18)]),
    // Raw satellite data of a length of its own, which stands in its fourth byte.
    layout(0x0e, 4, [None; 4]),
];
const RAW_FRAME: u8 = 0x0e;

pub(super) fn t1000(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if RAW_PORTS.contains(&port) {
        return Ok(Reading::default());
    }
    if port != PORT {
        return Err(Unreadable::Port);
    }
    let mut fields = Fields::new(payload);
    if fields.is_empty() {
        return Err(Unreadable::Length);
    }
    let mut reading = Reading::default();
    while !fields.is_empty() {
        let number = fields.u8()?;
        let layout = LAYOUTS.iter().find(|layout| layout.frame == number);
        let layout = layout.ok_or(Unreadable::Tag)?;
        let frame = fields.slice(layout.bytes)?;
        if number == RAW_FRAME {
            fields.skip(usize::from(frame[3]))?;
        }
        read(frame, layout, &mut reading)?;
    }
    Ok(reading)
}

fn read(frame: &[u8], layout: &Layout, reading: &mut Reading) -> Result<(), Unreadable> {
    let from = |at: usize| Fields::new(&frame[at..]);
    if let Some(at) = layout.events {
        // Of the three bytes only the last is in use. Moving, resting, heat and light
        // are no signs.
        let [_, _, events] = from(at).take()?;
        reading.note(events & 0x04 != 0, Sign::Motionless);
        reading.note(events & 0x08 != 0, Sign::Shock);
        reading.note(events & 0x40 != 0, Sign::Sos);
        reading.note(events & 0x80 != 0, Sign::Press);
    }
    if let Some(at) = layout.longitude {
        let mut place = from(at);
        let (longitude, latitude) = (place.be_i32()?, place.be_i32()?);
        reading.position = Position::found(latitude, longitude)?;
    }
    if let Some(at) = layout.temperature {
        let temperature = from(at).be_i16()?;
        reading.temperature_decidegrees =
            Some(temperature).filter(|temperature| *temperature != NO_TEMPERATURE);
    }
    if let Some(at) = layout.battery {
        reading.battery(from(at).u8()?)?;
    }
    Ok(())
}
