//! Frames and times of DC-09: bytes, not what they mean.
//!
//! A frame is LF, CRC-16 and length of the body, each as four hexadecimal digits, the
//! body, CR.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

const LF: u8 = b'\n';
const CR: u8 = b'\r';
/// Longest frame that is taken; a receiver's answers have about 100 bytes.
const FRAME_BYTES_MAX: usize = 1024;

/// CRC-16/ARC: polynomial 0x8005, reflected (0xA001), from 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 }
        })
    })
}

/// The frame of a body.
pub(super) fn wrap(body: &str) -> Vec<u8> {
    format!("\n{:04X}{:04X}{body}\r", crc16(body.as_bytes()), body.len()).into_bytes()
}

/// The body of a frame; `None` if it is none, or was damaged.
pub(super) fn unwrap(frame: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(frame).ok()?;
    let text = text.strip_prefix('\n')?.strip_suffix('\r')?;
    let (crc, length, body) = (text.get(..4)?, text.get(4..8)?, text.get(8..)?);
    let is_whole = u16::from_str_radix(crc, 16) == Ok(crc16(body.as_bytes()))
        && usize::from_str_radix(length, 16) == Ok(body.len());
    is_whole.then_some(body)
}

/// Cuts frames out of a stream. What is between them is passed over.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame from LF to CR.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == CR);
        let Some(end) = end else {
            if self.0.len() > FRAME_BYTES_MAX {
                self.0.clear();
            }
            return None;
        };
        let mut frame: Vec<u8> = self.0.drain(..=end).collect();
        // Without LF it is no frame, which `unwrap` finds.
        let start = frame.iter().rposition(|byte| *byte == LF).unwrap_or(0);
        Some(frame.split_off(start))
    }
}

/// `HH:MM:SS,MM-DD-YYYY`, UTC. Years beyond 9999 are not told.
pub(super) fn time_text(unix_s: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(unix_s).ok()?;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let date = format!("{:02}-{day:02}-{year:04}", u8::from(month));
    (0..=9999).contains(&year).then(|| format!("{hour:02}:{minute:02}:{second:02},{date}"))
}

/// Seconds since 1970 of such a time.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let marks = [(2, b':'), (5, b':'), (8, b','), (11, b'-'), (14, b'-')];
    if bytes.len() != 19 || marks.iter().any(|(place, mark)| bytes[*place] != *mark) {
        return None;
    }
    let two = |from: usize| text.get(from..from + 2)?.parse::<u8>().ok();
    let month = Month::try_from(two(9)?).ok()?;
    let date = Date::from_calendar_date(text.get(15..)?.parse().ok()?, month, two(12)?).ok()?;
    let time = Time::from_hms(two(0)?, two(3)?, two(6)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames that others made: of panels, from the tests of pysiaalarm
    /// (`tests/test_sia_package_cases.py`), and of codecs in public repositories.
    const OF_OTHERS: [&str; 3] = [
        "\n76D80055\"*NULL\"0000R0L0#AAAB[B4BC8B40D0E6D959D6BEA78E88CC0B2155741A3C44FBB96D476A3E557CAD64D9\r",
        "\n73580056\"SIA-DCS\"0002R1L232#78919[#78919|Nri1/BA012][X012W34.1][Y045N12.2]_14:12:04,09-25-2026\r",
        "\n05BB0076\"*SIA-DCS\"7654L0#1111[C07DA1EB73C617857476EE5D79436CEE5E0084485E79EC56B0D5D1F3F6E648B278050BBCCBC8FE5DCA7E3C80DBDD4945\r",
    ];

    #[test]
    fn the_crc_is_that_of_the_catalogue() {
        // CRC-16/ARC, "check" in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc16(b"123456789"), 0xBB3D);
    }

    #[test]
    fn frames_of_others_are_read_and_would_be_written_alike() {
        for frame in OF_OTHERS {
            let body = unwrap(frame.as_bytes()).expect("a whole frame");
            assert_eq!(wrap(body), frame.as_bytes());
        }
    }

    #[test]
    fn a_frame_with_one_bit_wrong_is_none() {
        let frame = OF_OTHERS[1].as_bytes();
        for bit in 0..frame.len() * 8 {
            let mut wrong = frame.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            // Hexadecimal digits may be small: the frame is then the same.
            let is_same = wrong.eq_ignore_ascii_case(frame) && bit / 8 < 9;
            assert_eq!(unwrap(&wrong).is_some(), is_same, "bit {bit}");
        }
    }

    #[test]
    fn times_are_told_and_read() {
        let text = "14:12:04,09-25-2026";
        assert_eq!(parse_time(text), Some(1_790_345_524));
        assert_eq!(time_text(1_790_345_524).as_deref(), Some(text));
        for wrong in ["14:12:04,13-25-2026", "24:12:04,09-25-2026", "14:12:04,09-25-201", ""] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
        assert_eq!(time_text(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_frames_in_them(
            noise in proptest::collection::vec(any::<u8>(), 0..600), piece in 1usize..50,
        ) {
            let noise: Vec<u8> = noise.into_iter().filter(|byte| *byte != LF).collect();
            let mut stream = noise.clone();
            stream.extend_from_slice(OF_OTHERS[0].as_bytes());
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in stream.chunks(piece) {
                frames.push(piece);
                while let Some(frame) = frames.next() {
                    found.extend(unwrap(&frame).map(str::to_owned));
                }
            }
            prop_assert_eq!(found.last().map(String::as_str), unwrap(OF_OTHERS[0].as_bytes()));
            prop_assert!(frames.0.len() <= FRAME_BYTES_MAX);
        }

        #[test]
        fn any_text_is_a_time_or_none(text in ".{0,24}") {
            if let Some(unix_s) = parse_time(&text) {
                prop_assert_eq!(time_text(unix_s), Some(text));
            }
        }
    }
}
