//! What the predictor sees of a text: hashed words and pairs of neighbours, and cheap cues.
//!
//! The twin of `tools/router/features.py`, to the last bit: whole numbers only, and bytes rather
//! than characters, so that neither a Unicode table nor a rounding can make a difference.

use std::{borrow::Cow, cell::RefCell, hint::select_unpredictable};

use crate::lanes::{self, BLOCK};

/// A longer text is read at its beginning and its end only, in bytes.
const HEAD: usize = 6_144;
const TAIL: usize = 2_048;

/// The cues' classes: where each begins. In the order of `cues()`.
const CUES: [&[usize]; 11] = [
    // bytes, digits, numbers, capitals, lines, sentences, signs
    &[100, 200, 300, 400, 600, 800, 1200, 1600, 2400, 4000],
    &[1, 3, 6, 10, 16, 24, 40, 80],
    &[1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 40],
    &[1, 3, 6, 10, 16, 24, 40, 80],
    &[1, 3, 5, 8, 10, 14, 20],
    &[1, 2, 3, 4, 5, 6, 8, 10, 14, 20],
    &[3, 6, 10, 16, 24, 40, 80, 160],
    // question marks, per cent signs, dollar signs, tenths of a byte a word
    &[1, 2, 3],
    &[1, 2, 3],
    &[1, 2, 3, 4],
    &[32, 36, 40, 44, 48, 52],
];

/// Rows of the cues' table.
pub(super) const CUE_ROWS: usize = {
    let (mut rows, mut cue) = (0, 0);
    while cue < CUES.len() {
        rows += CUES[cue].len() + 1;
        cue += 1;
    }
    rows
};

/// `256 (1 + ln n)`, rounded: how much a row counts that occurs `n` times.
const VALUES: [i16; 256] = [
    0, 256, 433, 537, 611, 668, 715, 754, 788, 818, 845, 870, 892, 913, 932, 949, 966, 981, 996,
    1010, 1023, 1035, 1047, 1059, 1070, 1080, 1090, 1100, 1109, 1118, 1127, 1135, 1143, 1151, 1159,
    1166, 1173, 1180, 1187, 1194, 1200, 1207, 1213, 1219, 1225, 1231, 1236, 1242, 1247, 1252, 1257,
    1263, 1268, 1272, 1277, 1282, 1286, 1291, 1295, 1300, 1304, 1308, 1313, 1317, 1321, 1325, 1329,
    1332, 1336, 1340, 1344, 1347, 1351, 1354, 1358, 1361, 1365, 1368, 1371, 1375, 1378, 1381, 1384,
    1387, 1390, 1393, 1396, 1399, 1402, 1405, 1408, 1411, 1414, 1416, 1419, 1422, 1424, 1427, 1430,
    1432, 1435, 1437, 1440, 1442, 1445, 1447, 1450, 1452, 1455, 1457, 1459, 1462, 1464, 1466, 1468,
    1471, 1473, 1475, 1477, 1479, 1482, 1484, 1486, 1488, 1490, 1492, 1494, 1496, 1498, 1500, 1502,
    1504, 1506, 1508, 1510, 1512, 1514, 1516, 1517, 1519, 1521, 1523, 1525, 1526, 1528, 1530, 1532,
    1534, 1535, 1537, 1539, 1540, 1542, 1544, 1545, 1547, 1549, 1550, 1552, 1554, 1555, 1557, 1558,
    1560, 1562, 1563, 1565, 1566, 1568, 1569, 1571, 1572, 1574, 1575, 1577, 1578, 1580, 1581, 1583,
    1584, 1585, 1587, 1588, 1590, 1591, 1592, 1594, 1595, 1597, 1598, 1599, 1601, 1602, 1603, 1605,
    1606, 1607, 1609, 1610, 1611, 1612, 1614, 1615, 1616, 1617, 1619, 1620, 1621, 1622, 1624, 1625,
    1626, 1627, 1628, 1630, 1631, 1632, 1633, 1634, 1636, 1637, 1638, 1639, 1640, 1641, 1643, 1644,
    1645, 1646, 1647, 1648, 1649, 1650, 1651, 1653, 1654, 1655, 1656, 1657, 1658, 1659, 1660, 1661,
    1662, 1663, 1664, 1665, 1666, 1667, 1668, 1669, 1671, 1672, 1673, 1674, 1675,
];

/// The rows of a text and how much each counts, and its cues.
#[derive(Debug)]
pub(super) struct Features {
    /// Rows of the table with their values, each row once.
    pub(super) rows: Vec<(u32, i16)>,
    /// The sum of the squares of the values.
    pub(super) squares: u64,
    /// A row of the cues' table for each cue.
    pub(super) cues: [u32; CUES.len()],
}

impl Features {
    /// Reads a text for a table of `2^bits` rows.
    #[must_use]
    pub(super) fn of(text: &[u8], bits: u32) -> Self {
        let part = window(text);
        PAPER.with_borrow_mut(|paper| {
            let words = paper.read(&part);
            let cues = cues(&part, text.len(), words);
            let (rows, squares) = paper.rows(words, bits);
            Self {
                rows,
                squares,
                cues,
            }
        })
    }
}

fn window(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= HEAD + TAIL {
        return Cow::Borrowed(text);
    }
    let (head, rest) = text.split_at(HEAD);
    Cow::Owned([head, rest.split_at(rest.len() - TAIL).1].concat())
}

/// FNV-1a.
const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// A half of a text of which the words are found.
struct Half<'a> {
    /// What is left of it.
    text: &'a [u8],
    /// The hash of the word that is being read.
    word: u32,
    words: &'a mut [u32],
    number: usize,
}

/// Bytes of small letters, and a bit for each: does a word end with it, and does none go on behind it?
struct Block {
    bytes: [u8; BLOCK],
    ends: u64,
    stops: u64,
}

impl<'a> Half<'a> {
    fn of(text: &'a [u8], words: &'a mut [u32]) -> Self {
        Self {
            text,
            word: BASIS,
            words,
            number: 0,
        }
    }

    /// The next block; spaces where the text has ended.
    fn block(&mut self) -> Block {
        let (part, rest) = self.text.split_at(self.text.len().min(BLOCK));
        self.text = rest;
        let mut bytes = [b' '; BLOCK];
        if let Some(place) = bytes.get_mut(..part.len()) {
            place.copy_from_slice(part);
        }
        bytes.make_ascii_lowercase();
        let letters = lanes::mask(&bytes, |bytes| {
            let letters = bytes
                .are_within(b'a', b'z')
                .or(bytes.are_within(b'0', b'9'));
            letters.or(bytes.are_within(0x80, u8::MAX))
        });
        let spaces = lanes::mask(&bytes, |bytes| {
            bytes.are(b' ').or(bytes.are_within(b'\t', b'\r'))
        });
        let goes_on = rest.first().is_some_and(|byte| is_letter(*byte));
        // letters make words, and each sign is a word of its own
        let within = letters & (letters >> 1 | u64::from(goes_on) << (BLOCK - 1));
        Block {
            bytes,
            ends: !spaces & !within,
            stops: !within,
        }
    }

    /// Takes a byte of a block. Without a branch: where words end can't be guessed.
    #[inline]
    fn take(&mut self, block: &Block, at: usize) {
        let byte = block.bytes.get(at).copied().unwrap_or_default();
        self.word = (self.word ^ u32::from(byte)).wrapping_mul(PRIME);
        if let Some(place) = self.words.get_mut(self.number) {
            // the next one takes its place unless it has ended
            *place = self.word;
        }
        self.number += (block.ends >> at & 1) as usize;
        let stops = block.stops >> at & 1 == 1;
        self.word = select_unpredictable(stops, BASIS, self.word);
    }
}

/// Does a word go on with it? Letters and digits, and all that is outside ASCII.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// What words are noted on. Left clean for the next text: to clear all of it would take as long as to
/// read a short one.
#[derive(Default)]
struct Paper {
    /// The hashes of the words, in order; longer than these.
    words: Vec<u32>,
    /// How often each row has occurred, at most 255; all zero between two texts.
    times: Vec<u8>,
    /// Rows that have; longer than these.
    touched: Vec<u32>,
}

thread_local! {
    static PAPER: RefCell<Paper> = RefCell::default();
}

impl Paper {
    /// Finds the words of a text; how many there are.
    ///
    /// A text is read in two halves side by side: the hash of a byte waits for that of the byte before
    /// it, so one half alone would leave the processor idle most of the time.
    fn read(&mut self, text: &[u8]) -> usize {
        let half = text.len() / 2;
        let (_, rest) = text.split_at(half);
        // where no word goes on; without any, all is one half
        let cut = rest.iter().position(|byte| !is_letter(*byte));
        let (first, second) = text.split_at(cut.map_or(text.len(), |cut| half + cut));
        // no more than a word for each byte, and a place that is written and not kept
        let room = first.len().next_multiple_of(BLOCK) + 1;
        let most = room + second.len().next_multiple_of(BLOCK) + 1;
        if self.words.len() < most {
            self.words.resize(most, 0);
        }
        let (begin, end) = self.words.split_at_mut(room);
        let (mut first, mut second) = (Half::of(first, begin), Half::of(second, end));
        while !first.text.is_empty() || !second.text.is_empty() {
            let (one, other) = (first.block(), second.block());
            for at in 0..BLOCK {
                first.take(&one, at);
                second.take(&other, at);
            }
        }
        let (first, second) = (first.number, second.number);
        self.words.copy_within(room..room + second, first);
        first + second
    }

    /// The rows of so many words and of their neighbours, for a table of `2^bits`, with how much each counts,
    /// and the sum of the squares of that.
    fn rows(&mut self, words: usize, bits: u32) -> (Vec<(u32, i16)>, u64) {
        let all = 1_usize << bits;
        // one for each word and each pair, and one more that is written and not kept
        let most = 2 * words + 1;
        if self.times.len() < all {
            self.times.resize(all, 0);
        }
        if self.touched.len() < most {
            self.touched.resize(most, 0);
        }
        let (times, touched) = (self.times.as_mut_slice(), self.touched.as_mut_slice());
        let mask = low_bits(bits);
        let mut number = 0;
        let mut touch = |hash: u32| {
            let row = hash & mask;
            if let (Some(times), Some(place)) =
                (times.get_mut(row as usize), touched.get_mut(number))
            {
                // written in any case: whether it is new can't be guessed
                *place = row;
                number += usize::from(*times == 0);
                *times = times.saturating_add(1);
            }
        };
        let mut before = None;
        for word in self.words.get(..words).unwrap_or_default() {
            let word = mixed(*word);
            touch(word);
            if let Some(before) = before.replace(word) {
                touch(pair(before, word));
            }
        }
        let (mut rows, mut squares) = (Vec::with_capacity(number), 0);
        for row in touched.iter().take(number).copied() {
            let times = times.get_mut(row as usize).map(std::mem::take);
            let value = VALUES.get(usize::from(times.unwrap_or_default()));
            let value = value.copied().unwrap_or_default();
            squares += u64::from(value.unsigned_abs()).pow(2);
            rows.push((row, value));
        }
        (rows, squares)
    }
}

/// The hash of a word, mixed so that the low bits depend on all.
fn mixed(word: u32) -> u32 {
    let word = word ^ (word >> 15);
    let word = word.wrapping_mul(0x2c1b_3c6d);
    word ^ (word >> 12)
}

/// The hash of two words that stand beside each other.
fn pair(before: u32, word: u32) -> u32 {
    let pair = before.wrapping_mul(0x9e37_79b1) ^ word;
    pair.wrapping_mul(0x85eb_ca6b) >> 16
}

fn low_bits(bits: u32) -> u32 {
    u32::MAX.checked_shr(u32::BITS - bits).unwrap_or(0)
}

/// The cues of what is read of a text of so many bytes with so many words.
fn cues(part: &[u8], bytes: usize, words: usize) -> [u32; CUES.len()] {
    let [
        digits,
        numbers,
        capitals,
        lines,
        sentences,
        signs,
        asked,
        per_cent,
        dollars,
    ] = lanes::counts(part, |here, next| {
        let digits = here.are_within(b'0', b'9');
        let letters = here.with(0x20).are_within(b'a', b'z');
        let blank = next.are(b' ').or(next.are(b'\t'));
        let blank = blank.or(next.are(b'\n')).or(next.are(b'\r'));
        let asked = here.are(b'?');
        let ends = here.are(b'.').or(asked).or(here.are(b'!'));
        [
            digits,
            next.are_within(b'0', b'9').and_not(digits),
            here.are_within(b'A', b'Z'),
            here.are(b'\n'),
            ends.and(blank),
            here.are_within(33, 126).and_not(digits.or(letters)),
            asked,
            here.are(b'%'),
            here.are(b'$'),
        ]
    });
    let first = part.first().is_some_and(u8::is_ascii_digit);
    let last = matches!(part.last(), Some(b'.' | b'?' | b'!'));
    let counts = [
        bytes,
        digits,
        numbers + usize::from(first),
        capitals,
        lines,
        sentences + usize::from(last),
        signs,
        asked,
        per_cent,
        dollars,
        10 * part.len() / words.max(1),
    ];
    let mut base = 0;
    let mut cues = [0; CUES.len()];
    for ((cue, edges), count) in cues.iter_mut().zip(CUES).zip(counts) {
        *cue = base
            + edges
                .iter()
                .map(|edge| u32::from(count >= *edge))
                .sum::<u32>();
        base += edges.iter().map(|_| 1).sum::<u32>() + 1;
    }
    cues
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn words_slowly(text: &[u8]) -> Vec<u32> {
        let mut words = Vec::new();
        let mut word = None;
        for byte in text.to_ascii_lowercase() {
            let goes_on = byte.is_ascii_alphanumeric() || byte >= 0x80;
            if !goes_on {
                words.extend(word.take());
            }
            let hash = (word.unwrap_or(BASIS) ^ u32::from(byte)).wrapping_mul(PRIME);
            match byte {
                _ if goes_on => word = Some(hash),
                b' ' | b'\t'..=b'\r' => {}
                _ => words.push(hash),
            }
        }
        words.extend(word);
        words
    }

    proptest! {
        #[test]
        fn words_are_those_that_stand_in_the_text_and_in_their_order(
            text in "([a-zA-Z0-9]{1,9}|[ \t\r\n]{1,3}|[\\x00-\\x7f]{1,3}|é|人工智能|z{60,70}|[.?!,]{60,70}){0,60}"
        ) {
            let mut paper = Paper::default();
            // what another text has left must make no difference
            paper.read(b"other words, before these");
            let number = paper.read(text.as_bytes());
            prop_assert_eq!(&paper.words[..number], &words_slowly(text.as_bytes())[..]);
        }
    }
}
