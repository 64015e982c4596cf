use super::*;
use proptest::prelude::*;

fn lines(stream: &[u8], step: usize) -> Vec<Line> {
    let mut finder = Finder::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in stream.chunks(step) {
        buffer.extend_from_slice(piece);
        found.extend(std::iter::from_fn(|| finder.next(&mut buffer)));
        assert!(buffer.len() <= LINE_BYTES_MAX);
    }
    found
}

fn received(frame: &[u8]) -> Vec<u8> {
    let text = base64::encode(frame);
    let mut line = format!("+RCV=50,{},", text.len()).into_bytes();
    line.extend(text);
    line.extend(b",-99,40\r\n");
    line
}

fn heard(frame: &[u8]) -> Line {
    Line::Received { rssi_dbm: -99, snr_db: 40, frame: frame.to_vec() }
}

#[test]
fn the_answers_of_the_manual() {
    let stream = b"+READY\r\n+OK\r\n\r\n+ERR=17\r\nhello\r\n+ERR=x\r\n+VER=RYLR998_V1.2.1\r\n";
    let expected = [Line::Started, Line::Ok, Line::Error(17), Line::Bad, Line::Bad, Line::Other];
    assert_eq!(lines(stream, 1), expected);
}

#[test]
fn data_is_cut_by_its_length() {
    // The manual's own example: five characters that are not base64 of whole bytes.
    assert_eq!(lines(b"+RCV=50,5,HELLO,-99,40\r\n", 4), [Line::Bad]);
    let frame = [0x41; 24];
    assert_eq!(lines(&received(&frame), 7), [heard(&frame)]);
    // Commas, line ends and a forged line inside the data of another network.
    let forged = received(&[0x42; 24]);
    let mut stream = format!("+RCV=1,{},", forged.len()).into_bytes();
    stream.extend(&forged);
    stream.extend(b",-60,9\r\n");
    stream.extend(received(&frame));
    assert_eq!(lines(&stream, 5), [Line::Bad, heard(&frame)]);
}

#[test]
fn a_line_that_cannot_be_read_costs_only_itself() {
    let frame = [7; 24];
    for bad in [
        &b"+RCV=50,999,"[..],
        b"+RCV=123456,5,HELLO,-99,40",
        b"+RCV=50,x,HELLO,-99,40",
        b"+RCV=50,5,HELLO!,-99,40",
        b"+RCV=50,5,HELLO,-9999999,40",
        b"+RCV=50,5,HELLO,-99,+4",
        b"HELLO,-99,40",
    ] {
        let mut stream = bad.to_vec();
        stream.extend(b"\r\n");
        stream.extend(received(&frame));
        assert_eq!(lines(&stream, 3), [Line::Bad, heard(&frame)], "{bad:?}");
    }
}

#[test]
fn ten_megabytes_without_a_line_end_are_one_count() {
    // Miri would take hours; there it is 80 KiB.
    const PIECES: usize = if cfg!(miri) { 20 } else { 10 * 1024 * 1024 / 4096 };
    let mut finder = Finder::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for _ in 0..PIECES {
        buffer.extend_from_slice(&[b'x'; 4096]);
        found.extend(std::iter::from_fn(|| finder.next(&mut buffer)));
        assert!(buffer.capacity() <= 16 * 1024);
    }
    assert_eq!(found, [Line::Oversize]);
    buffer.extend_from_slice(b"\r\n+OK\r\n");
    assert_eq!(finder.next(&mut buffer), Some(Line::Ok));
}

#[test]
fn a_command_holds_what_the_module_takes() {
    let frame = [0; 24];
    let command = send_command(&frame).expect("24 bytes fit");
    assert_eq!(command, format!("AT+SEND=0,32,{}\r\n", "A".repeat(32)).into_bytes());
    assert!(send_command(&[0; 180]).is_some());
    assert!(send_command(&[0; 181]).is_none());
}

proptest! {
    #[test]
    fn rubbish_ends_at_the_next_line(
        rubbish in prop::collection::vec(any::<u8>(), 0..600),
        frame in prop::collection::vec(any::<u8>(), 1..=180),
        step in 1usize..700,
    ) {
        // A rubbish length can swallow at most the longest data; so many line
        // ends are always enough.
        let idle = b"\r\n".repeat(LINE_BYTES_MAX);
        let stream = [rubbish, idle, received(&frame)].concat();
        prop_assert_eq!(lines(&stream, step).pop(), Some(heard(&frame)));
    }

    #[test]
    fn near_misses_never_panic(
        mut line in prop::collection::vec(any::<u8>(), 1..=180).prop_map(|frame| received(&frame)),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        step in 1usize..64,
    ) {
        for (place, byte) in changes {
            let place = place.index(line.len());
            line[place] = byte;
        }
        let stream = [line, b"\r\n".repeat(LINE_BYTES_MAX)].concat();
        lines(&stream, step);
    }

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(b"+RCV=50,5,".to_vec()),
            Just(b"+OK\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(received(&[9; 24])),
        ], 0..12),
        step in 1usize..300,
    ) {
        let stream = pieces.concat();
        prop_assert_eq!(lines(&stream, step), lines(&stream, LINE_BYTES_MAX));
    }
}
