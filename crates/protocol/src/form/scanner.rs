//! Finding a boundary that may lie across any number of pieces.

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

/// Looks for one delimiter, a line break followed by two hyphens and the
/// boundary. A boundary has no carriage return, so the delimiter's first byte
/// is its only one and a failed match can only start again at the byte it
/// failed at.
pub(super) struct Scanner {
    delimiter: Bytes,
    finder: Finder<'static>,
    /// Bytes of the delimiter that ended the pieces so far.
    matched: usize,
}

impl Scanner {
    /// At the start of a body the delimiter's line break is taken as read.
    pub fn new(boundary: &str) -> Scanner {
        let delimiter = Bytes::from(format!("\r\n--{boundary}"));
        let finder = Finder::new(&delimiter).into_owned();
        Scanner { delimiter, finder, matched: 2 }
    }

    /// Takes bytes up to and including the delimiter, hands on those that are
    /// not of it, and tells whether it was found. What was taken for its
    /// beginning in an earlier piece and turns out to be data is handed on too.
    pub fn scan(&mut self, input: &mut Bytes, data: &mut impl FnMut(Bytes)) -> bool {
        if self.matched > 0 {
            let wanted = &self.delimiter[self.matched..];
            let same = input.iter().zip(wanted).take_while(|(a, b)| a == b).count();
            self.matched += same;
            input.advance(same);
            if self.matched == self.delimiter.len() {
                self.matched = 0;
                return true;
            }
            if input.is_empty() {
                return false;
            }
            data(self.delimiter.slice(..self.matched));
            self.matched = 0;
        }
        if let Some(at) = self.finder.find(input) {
            hand_on(input.split_to(at), data);
            input.advance(self.delimiter.len());
            return true;
        }
        let tail_max = (self.delimiter.len() - 1).min(input.len());
        let tail_start = input.len() - tail_max;
        let begun = memchr::memrchr(b'\r', &input[tail_start..])
            .map(|at| tail_start + at)
            .filter(|at| self.delimiter.starts_with(&input[*at..]));
        let end = begun.unwrap_or(input.len());
        self.matched = input.len() - end;
        hand_on(input.split_to(end), data);
        input.clear();
        false
    }
}

fn hand_on(bytes: Bytes, data: &mut impl FnMut(Bytes)) {
    if !bytes.is_empty() {
        data(bytes);
    }
}
