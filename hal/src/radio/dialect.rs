//! What two families of chips say on SPI, as far as the link listens in.
//!
//! lora-phy's driver keeps some of what a chip tells to itself: it returns a
//! frame with a CRC error as if it were good, and rounds the signal-to-noise
//! ratio. So the link reads the chip's answers on their way, in the dialect of
//! the chip's family.

/// A family of chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SX1261, SX1262, SX1268 (SX1261/2 datasheet rev 2.1).
    Sx126x,
    /// SX1276 to SX1279, RFM95 and kin (SX1276/77/78/79 datasheet rev 7).
    Sx127x,
}

/// What one answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    Nothing,
    /// No chip can have said this.
    NoChip,
    /// Interrupts, and the mode if it came with them.
    Interrupts(Flags, Option<Mode>),
    Mode(Mode),
    /// Of the frame that was received last, in the chip's units.
    Signal(Signal),
    /// Whether the oscillator failed to start, or a synthesiser to lock.
    OscillatorFailed(bool),
    /// Power on the channel, dBm; of an SX127x above the offset of its port.
    Level(i16),
    /// A frame is being received whose header was good.
    Coming,
    /// How far the carrier of the frame that was received last is off, in the
    /// chip's unit.
    Offset(i32),
}

/// How the last frame was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) rssi_dbm: i16,
    pub(super) snr_quarter_db: i16,
    /// How far the sender's carrier is off, Hz.
    pub(super) offset_hz: i32,
}

/// A chip's mode, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As after a reset.
    AsReset,
    Other,
}

/// Interrupts that were read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) any: bool,
    /// A frame has begun: preamble, sync word or header.
    pub(super) begun: bool,
    pub(super) header: bool,
    pub(super) header_error: bool,
    pub(super) crc_error: bool,
    /// A frame has ended.
    pub(super) received: bool,
    /// A look for activity on the channel has ended.
    pub(super) looked: bool,
}

/// What a chip says after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Expected,
    NoChip,
    /// Somebody else is there, and says this.
    Stranger(u16),
}

/// Registers in the SX126x's retention list, at most (section 9.6).
const RETAINED_MAX: u8 = 4;

/// SX127x: LoRa mode in RegOpMode, and frequencies above which the chip's
/// high-frequency port is used, as RegFrfMsb (525 MHz in steps of 4 MHz).
const LORA_MODE: u8 = 0x80;
const HIGH_PORT_MSB: u8 = 0x84;
const HIGH_PORT_HZ: u32 = 525_000_000;

/// RSSI of an SX127x is counted from here, dBm, by its port (section 5.5.5).
const HIGH_PORT_DBM: i16 = -157;
const LOW_PORT_DBM: i16 = -164;

impl Dialect {
    /// A question that no driver asks, put before its first command after a
    /// reset: the SX126x's sync word, the SX127x's version.
    pub(super) fn greeting(self) -> (&'static [u8], usize) {
        match self {
            Self::Sx126x => (&[0x1D, 0x07, 0x40, 0x00], 2),
            Self::Sx127x => (&[0x42], 1),
        }
    }

    /// What the answer to [`Self::greeting`] means (tables 12-1 and 41).
    pub(super) fn greeted(self, answer: &[u8]) -> Greeting {
        let number = answer.iter().fold(0, |number, byte| number << 8 | u16::from(*byte));
        if answer.iter().all(|byte| *byte == 0x00) || answer.iter().all(|byte| *byte == 0xFF) {
            return Greeting::NoChip;
        }
        let expected = match self {
            Self::Sx126x => 0x1424,
            Self::Sx127x => 0x12,
        };
        if number == expected { Greeting::Expected } else { Greeting::Stranger(number) }
    }

    /// What else is to be asked when the driver reads the interrupts: the SX127x
    /// does not tell its mode with them.
    pub(super) fn beside_interrupts(self, command: &[u8]) -> Option<(&'static [u8], usize)> {
        (self == Self::Sx127x && command == [0x12]).then_some((&[0x01], 1))
    }

    /// What else is to be asked when the driver has read how a frame was heard:
    /// the error of the carrier's frequency.
    pub(super) fn beside_signal(self, command: &[u8]) -> Option<(&'static [u8], usize)> {
        match (self, command) {
            (Self::Sx126x, [0x14]) => Some((&[0x1D, 0x07, 0x6B, 0x00], 3)),
            (Self::Sx127x, [0x1A]) => Some((&[0x28], 3)),
            _ => None,
        }
    }

    /// Whether the interrupt line tells of headers. That of an SX127x tells of whole
    /// frames only; the state of its modem has to be asked for.
    pub(super) fn tells_headers(self) -> bool {
        self == Self::Sx126x
    }

    /// The question for the power on the channel.
    pub(super) fn level(self) -> (&'static [u8], usize) {
        match self {
            Self::Sx126x => (&[0x15], 2),
            // With the modem's state, three registers before it.
            Self::Sx127x => (&[0x18], 4),
        }
    }

    /// Power on the channel, dBm, by what was learnt of it.
    pub(super) fn level_dbm(self, level: i16, frequency_hz: u32) -> i16 {
        match self {
            Self::Sx126x => level,
            Self::Sx127x if frequency_hz >= HIGH_PORT_HZ => HIGH_PORT_DBM + level,
            Self::Sx127x => LOW_PORT_DBM + level,
        }
    }

    /// The error of the carrier's frequency, Hz.
    pub(super) fn offset_hz(self, offset: i32, bandwidth_hz: u32) -> i32 {
        // SX1276 datasheet section 4.1.5: value * 2^24 / 32 MHz * bandwidth / 500 kHz.
        // The SX1261/2's does not name its register; drivers in use reckon with
        // 1.55 * value * bandwidth / 1.6 MHz.
        let parts = match self {
            Self::Sx126x => 1_032_258,
            Self::Sx127x => 953_674,
        };
        let hz = i64::from(offset) * i64::from(bandwidth_hz) / parts;
        i32::try_from(hz).unwrap_or(i32::MAX)
    }

    /// Where the driver's arithmetic would overflow on an answer, it gets the
    /// next one that it can bear: lora-phy adds 2 to a ratio of up to 127
    /// quarters of a decibel in eight bits.
    pub(super) fn soften(self, command: &[u8], answer: &mut [u8]) {
        if let (Self::Sx126x, [0x14], [_, snr @ 126..=127, _]) = (self, command, answer) {
            *snr = 125;
        }
    }

    /// A question about the oscillator, where the chip can answer it (section 13.6).
    pub(super) fn oscillator(self) -> Option<(&'static [u8], usize)> {
        (self == Self::Sx126x).then_some((&[0x17], 3))
    }

    /// What an answer to a command says. `last` is the signal learnt before.
    pub(super) fn read(self, command: &[u8], answer: &[u8], last: Signal) -> Learnt {
        match self {
            Self::Sx126x => sx126x(command, answer, last),
            Self::Sx127x => sx127x(command, answer, last),
        }
    }
}

/// 20 bits in three bytes, two's complement.
fn signed_20([high, middle, low]: [u8; 3]) -> i32 {
    i32::from_be_bytes([high << 4 | middle >> 4, middle << 4 | low >> 4, low << 4, 0]) >> 12
}

fn sx126x(command: &[u8], answer: &[u8], last: Signal) -> Learnt {
    match (command, answer) {
        (&[0x12], &[status, high, low]) => {
            // Chip mode in bits 6:4 of the status byte (table 13-76).
            let mode = match status >> 4 & 7 {
                2 => Mode::AsReset,
                3..=6 => Mode::Other,
                _ => return Learnt::NoChip,
            };
            let flags = u16::from_be_bytes([high, low]);
            let is = |mask| flags & mask != 0;
            Learnt::Interrupts(
                Flags {
                    any: flags != 0,
                    begun: is(0x001C),
                    header: is(0x0010),
                    header_error: is(0x0020),
                    crc_error: is(0x0040),
                    received: is(0x0002),
                    looked: is(0x0080),
                },
                Some(mode),
            )
        }
        (&[0x14], &[_, rssi, snr, _]) => Learnt::Signal(Signal {
            rssi_dbm: -i16::from(rssi) / 2,
            snr_quarter_db: i16::from(i8::from_le_bytes([snr])),
            ..last
        }),
        (&[0x1D, 0x07, 0x6B, _], &[high, middle, low]) => {
            Learnt::Offset(signed_20([high, middle, low]))
        }
        (&[0x15], &[_, level]) => Learnt::Level(-i16::from(level) / 2),
        (&[0x17], &[_, _, errors]) => Learnt::OscillatorFailed(errors & 0x60 != 0),
        // The driver trusts this length with its own memory.
        (&[0x1D, 0x02, 0x9F, _], &[retained, ..]) if retained > RETAINED_MAX => Learnt::NoChip,
        _ => Learnt::Nothing,
    }
}

fn sx127x(command: &[u8], answer: &[u8], last: Signal) -> Learnt {
    match (command, answer) {
        // The driver masks some of them, and what is masked reads as zero.
        (&[0x12], &[0xFF]) => Learnt::NoChip,
        (&[0x12], &[flags]) => {
            let is = |mask| flags & mask != 0;
            Learnt::Interrupts(
                Flags {
                    any: flags != 0,
                    begun: is(0x10),
                    header: is(0x10),
                    header_error: false,
                    crc_error: is(0x20),
                    received: is(0x40),
                    looked: is(0x04),
                },
                None,
            )
        }
        (&[0x01], &[0x00 | 0xFF]) => Learnt::NoChip,
        (&[0x01], &[mode]) if mode & LORA_MODE == 0 => Learnt::Mode(Mode::AsReset),
        (&[0x01], &[_]) => Learnt::Mode(Mode::Other),
        (&[0x19], &[snr]) => {
            Learnt::Signal(Signal { snr_quarter_db: i16::from(i8::from_le_bytes([snr])), ..last })
        }
        (&[0x28], &[high, middle, low]) => Learnt::Offset(signed_20([high, middle, low])),
        // Not while a signal is detected or synchronised with (table 41).
        (&[0x18], &[state, _, _, level]) if state & 0x03 == 0 => Learnt::Level(i16::from(level)),
        (&[0x18], &[state, ..]) if state & 0x0A == 0x0A => Learnt::Coming,
        (&[0x1A], &[rssi]) => Learnt::Signal(Signal { rssi_dbm: i16::from(rssi), ..last }),
        // Asked last of a frame: which port it came through decides what the
        // number above means (section 5.5.5).
        (&[0x06], &[msb]) => {
            let offset = if msb >= HIGH_PORT_MSB { HIGH_PORT_DBM } else { LOW_PORT_DBM };
            let rssi_dbm = match last.snr_quarter_db {
                snr @ ..0 => offset + last.rssi_dbm + snr / 4,
                _ => offset + last.rssi_dbm * 16 / 15,
            };
            Learnt::Signal(Signal { rssi_dbm, ..last })
        }
        _ => Learnt::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_without_a_chip_is_told_from_a_stranger() {
        let of = |dialect: Dialect, answer: &[u8]| dialect.greeted(answer);
        assert_eq!(of(Dialect::Sx126x, &[0x14, 0x24]), Greeting::Expected);
        assert_eq!(of(Dialect::Sx126x, &[0, 0]), Greeting::NoChip);
        assert_eq!(of(Dialect::Sx126x, &[0xFF, 0xFF]), Greeting::NoChip);
        assert_eq!(of(Dialect::Sx127x, &[0x12]), Greeting::Expected);
        assert_eq!(of(Dialect::Sx127x, &[0xFF]), Greeting::NoChip);
        // An SX1272.
        assert_eq!(of(Dialect::Sx127x, &[0x22]), Greeting::Stranger(0x22));
    }

    #[test]
    fn frequency_errors_keep_their_sign() {
        for (raw, value) in [
            ([0x00, 0x00, 0x01], 1),
            ([0x07, 0xFF, 0xFF], 524_287),
            ([0x08, 0x00, 0x00], -524_288),
            ([0x0F, 0xFF, 0xFF], -1),
            ([0xFF, 0xFF, 0xFE], -2),
        ] {
            assert_eq!(signed_20(raw), value, "{raw:02x?}");
        }
        let hz = |dialect: Dialect, offset| dialect.offset_hz(offset, 125_000);
        assert_eq!(hz(Dialect::Sx126x, 10_000), 1_210);
        assert_eq!(hz(Dialect::Sx127x, -10_000), -1_310);
    }

    /// Both examples of section 5.5.5, and one below the noise.
    #[test]
    fn the_sx127x_tells_a_signal_in_three_answers() {
        let heard = |snr: u8, rssi: u8, msb: u8| {
            let mut last = Signal::default();
            for (command, byte) in [(0x19, snr), (0x1A, rssi), (0x06, msb)] {
                let Learnt::Signal(signal) = Dialect::Sx127x.read(&[command], &[byte], last) else {
                    panic!("no signal in {command:02x}");
                };
                last = signal;
            }
            (last.rssi_dbm, last.snr_quarter_db)
        };
        assert_eq!(heard(40, 75, 0xD9), (-77, 40));
        assert_eq!(heard(40, 75, 0x6C), (-84, 40));
        assert_eq!(heard(0xD8, 40, 0xD9), (-127, -40));
    }

    #[test]
    fn interrupts_of_both_families_mean_the_same() {
        let sx126x = |flags: u16| {
            let [high, low] = flags.to_be_bytes();
            Dialect::Sx126x.read(&[0x12], &[0x52, high, low], Signal::default())
        };
        let sx127x = |flags| Dialect::Sx127x.read(&[0x12], &[flags], Signal::default());
        let received = Flags { any: true, received: true, crc_error: true, ..Flags::default() };
        assert_eq!(sx126x(0x0042), Learnt::Interrupts(received, Some(Mode::Other)));
        assert_eq!(sx127x(0x60), Learnt::Interrupts(received, None));
        let header = Flags { any: true, begun: true, header: true, ..Flags::default() };
        assert_eq!(sx126x(0x0010), Learnt::Interrupts(header, Some(Mode::Other)));
        assert_eq!(sx127x(0x10), Learnt::Interrupts(header, None));
        assert_eq!(sx127x(0xFF), Learnt::NoChip);
        let nobody = Dialect::Sx126x.read(&[0x12], &[0; 3], Signal::default());
        assert_eq!(nobody, Learnt::NoChip);
    }
}
