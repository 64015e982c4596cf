//! The fields of a line of comma-separated values.

use super::COLUMNS;
use csv_core::{ReadRecordResult, ReaderBuilder};
use zeroize::Zeroizing;

/// The fields of one line, wiped when they are dropped.
pub(super) struct Fields {
    text: Zeroizing<Vec<u8>>,
    ends: [usize; COLUMNS.len() + 1],
    pub(super) count: usize,
}

impl Fields {
    /// `None` if a quotation mark is not closed. More fields than there are columns are
    /// cut to one too many.
    pub(super) fn split(line: &str, delimiter: u8) -> Option<Self> {
        let mut ended = Zeroizing::new(Vec::with_capacity(line.len() + 1));
        ended.extend_from_slice(line.as_bytes());
        ended.push(b'\n');
        let mut fields = Self {
            text: Zeroizing::new(vec![0; ended.len()]),
            ends: [0; COLUMNS.len() + 1],
            count: 0,
        };
        let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
        let (result, _, _, count) = reader.read_record(&ended, &mut fields.text, &mut fields.ends);
        fields.count = count;
        let whole = matches!(result, ReadRecordResult::Record | ReadRecordResult::OutputEndsFull);
        whole.then_some(fields)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count).map(|at| {
            let from = if at == 0 { 0 } else { self.ends[at - 1] };
            let field = std::str::from_utf8(&self.text[from..self.ends[at]]);
            field.expect("a text is cut at signs of ASCII alone").trim()
        })
    }
}
