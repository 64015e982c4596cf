//! What is read of a file, and how its mistakes are told.

use super::*;
use proptest::prelude::*;

const KEY: &str = "2B7E151628AED2A6ABF7158809CF4F3C";
const LABEL: &str = "LW:D0:24E124C0002A0001:24E124ABCDEF0002:AABB1122";

fn told(text: &str) -> Vec<String> {
    read(text.as_bytes()).mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn every_kind_of_pendant_is_read() {
    let text = format!(
        "\u{feff}Number,wearer,device,dev_eui,join_eui,app_key,nonces,qr_code,dev_addr,nwk_s_key,app_s_key,node\r\n\
         00012f,m.okafor,,,,,,,,,,\r\n\
         ,,,,,,,,,,,\r\n\
         \r\n\
         000130,\"a.silva\",milesight-ws101,24-E1-24-AB-CD-EF-00-01,24E124C0002A0001,{KEY},rising,,,,,\r\n\
         000131,b.novak,,,,{KEY},,{LABEL},,,,\r\n\
         000132,c.weiss,,,,,,,26011234,{KEY},{KEY},\r\n\
         000133,d.lund,meshtastic-node,,,,,,,,,1234abcd"
    );
    for text in [text.clone(), text.replace(',', ";"), text.replace(',', "\t")] {
        let found = read(text.as_bytes());
        assert_eq!(found.mistakes, []);
        assert!(found.holds_keys);
        let rows: Vec<_> = found
            .rows
            .iter()
            .map(|row| {
                let number = row.bought.as_ref().map(|bought| bought.number);
                (row.line, row.pendant.get(), row.wearer.as_str().to_owned(), number)
            })
            .collect();
        let eui = |number| Some(Number::DevEui(crate::engine::lorawan::Eui(number)));
        assert_eq!(
            rows,
            [
                (2, 0x12f, "m.okafor".to_owned(), None),
                (5, 0x130, "a.silva".to_owned(), eui(0x24E1_24AB_CDEF_0001)),
                (6, 0x131, "b.novak".to_owned(), eui(0x24E1_24AB_CDEF_0002)),
                (7, 0x132, "c.weiss".to_owned(), Some(Number::DevAddr(0x2601_1234))),
                (8, 0x133, "d.lund".to_owned(), Some(Number::Node(0x1234_abcd))),
            ]
        );
    }
    assert!(!read(b"number,wearer\n00012f,m.okafor\n").holds_keys);
}

#[test]
fn every_mistake_is_told_with_its_line_and_column() {
    let text = format!(
        "number,wearer,device,dev_eui,app_key,node,kind\n\
         12f,M. Okafor,,,,,\n\
         000130,a.silva,milesight-ws1o1,24E124,{KEY}0,,lorawan\n\
         000131,b.novak,,,{KEY},,\n\
         000132,c.weiss,,24E124ABCDEF0001,{KEY},1234abcd,native\n\
         000133,d.lund,milesight-ws101,,,,\n\
         000134\n\
         000135,\"e.holm,,,,,\n\
         ,f.rossi,,,,,\n\
         000136,g.marin,,24E124ABCDEF0001,,,\n\
         000137,h.kim,,,,,,,,\n"
    );
    let told = told(&text);
    for (at, begins, says) in [
        (0, "line 2, column number: ", "six hexadecimal digits"),
        (1, "line 2, column wearer: ", "' ' may not stand in a name"),
        (2, "line 3, column device: ", "no such device"),
        (3, "line 3, column app_key: ", "a key has 32 hexadecimal digits"),
        (4, "line 3, column dev_eui: ", "an EUI has 16"),
        (5, "line 4, column app_key: ", "for a pendant with dev_eui or qr_code"),
        (6, "line 5, column node: ", "dev_eui stands there already"),
        (7, "line 5, column kind: ", "makes it lorawan"),
        (8, "line 6, column device: ", "has one of: dev_eui, qr_code, dev_addr, node"),
        (9, "line 7: ", "fewer fields than the 7 columns"),
        (10, "line 8: ", "a quotation mark is not closed"),
        (11, "line 9, column number: ", "this is missing"),
        (12, "line 10, column app_key: ", "this is missing"),
        (13, "line 11: ", "more fields than the 7 columns"),
    ] {
        let found = told.iter().filter(|text| text.starts_with(begins) && text.contains(says));
        assert_eq!(found.count(), 1, "{at}: {begins}{says} in {told:#?}");
    }
    assert_eq!(told.len(), 14, "{told:#?}");
    assert!(!told.concat().contains(KEY), "{told:#?}");
}

#[test]
fn a_head_that_is_none_is_told() {
    for (text, says) in [
        ("", "line 1: the first line names the columns"),
        ("\n00012f,m\n", "line 1: the first line names the columns"),
        ("number\n00012f\n", "line 1, column wearer: this column is missing"),
        ("number,wearer,number\n", "line 1, column number: this column is named twice"),
        ("number,wearer,pin\n", "line 1: \"pin\" is no known column; there are: number, wearer"),
        // A file without the names: its first line is that of a pendant.
        (
            "number,2B7E151628AED2A6ABF7158809CF4F3C\n",
            "line 1: what stands first in column 2 is no known column",
        ),
        ("27491836,wearer\n", "line 1: what stands first in column 1 is no known column"),
        ("number,\"wearer\n", "line 1: a quotation mark is not closed"),
        ("number,wearer\n\n", "line 1: no pendant stands below"),
    ] {
        assert!(told(text).concat().starts_with(says), "{text:?}: {:?}", told(text));
    }
    let found = read(b"number,wearer\n00012f,m\n000130,\xe9\n");
    assert_eq!(
        found.mistakes[0].to_string(),
        "line 3: this is no UTF-8 text: save the sheet as CSV (UTF-8)"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let found = read(&bytes);
        prop_assert!(!found.rows.is_empty() || !found.mistakes.is_empty());
    }

    /// Past the head, where most of the reading is. Each mistake names its line, and no
    /// key is repeated.
    #[test]
    fn nor_do_fields_of_any_kind(fields in prop::collection::vec("([0-9A-Fa-f]{6}|[0-9A-F]{16}|[0-9A-F]{32}|native|LW:D0:[0-9A-F:]{0,40}|[\",;é \n]{0,4}|m.okafor)?", 0..60)) {
        let head = COLUMNS.join(",");
        let lines: Vec<String> = fields.chunks(COLUMNS.len()).map(|line| line.join(",")).collect();
        let text = format!("{head}\n{}", lines.join("\n"));
        let found = read(text.as_bytes());
        prop_assert!(!found.rows.is_empty() || !found.mistakes.is_empty());
        let count = text.lines().count();
        for mistake in &found.mistakes {
            prop_assert!((1..=count).contains(&mistake.line), "{}", mistake);
            for secret in fields.iter().filter(|field| field.len() == 32) {
                prop_assert!(!mistake.text.contains(secret.as_str()));
            }
        }
    }
}
