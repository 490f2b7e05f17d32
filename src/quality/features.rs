//! What the predictor sees of a text: hashed words and pairs of neighbours, and cheap cues.
//!
//! The twin of `tools/router/features.py`, to the last bit: whole numbers only, and bytes rather
//! than characters, so that neither a Unicode table nor a rounding can make a difference.

use std::{borrow::Cow, cell::RefCell};

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
            let mut words = Words::on(paper, part.len(), bits);
            words.read(&part);
            let cues = cues(&part, text.len(), words.number);
            let (rows, squares) = words.counted();
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

/// What a byte is to words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Part of a word.
    Letter,
    /// A word of its own.
    Sign,
    Space,
}

/// By byte, so that no byte costs a chain of comparisons.
static SORTS: [Sort; 256] = {
    let mut sorts = [Sort::Sign; 256];
    let mut byte = 0_u8;
    loop {
        sorts[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80.. => Sort::Letter,
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Sort::Space,
            _ => Sort::Sign,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    sorts
};

/// What words are noted on. Left clean for the next text: to clear all of it would take as long as to
/// read a short one.
#[derive(Default)]
struct Paper {
    /// How often each row has occurred, at most 255; all zero between two texts.
    times: Vec<u8>,
    /// Rows that have.
    touched: Vec<u32>,
}

thread_local! {
    static PAPER: RefCell<Paper> = RefCell::default();
}

/// The words of a text, as rows.
struct Words<'a> {
    mask: u32,
    times: &'a mut [u8],
    /// The rows that have occurred, each once: so many of these.
    touched: &'a mut [u32],
    rows: usize,
    /// The hash of the word before.
    before: Option<u32>,
    number: usize,
}

impl<'a> Words<'a> {
    fn on(paper: &'a mut Paper, bytes: usize, bits: u32) -> Self {
        let rows = 1_u32 << bits;
        // a word and a pair for each byte at most, and one more that is written and not kept
        let most = 2 * bytes + 1;
        if paper.times.len() < rows as usize {
            paper.times.resize(rows as usize, 0);
        }
        if paper.touched.len() < most {
            paper.touched.resize(most, 0);
        }
        Self {
            mask: rows - 1,
            times: &mut paper.times,
            touched: &mut paper.touched,
            rows: 0,
            before: None,
            number: 0,
        }
    }

    /// The rows with how much each counts, and the sum of the squares of that.
    fn counted(self) -> (Vec<(u32, i16)>, u64) {
        let (mut rows, mut squares) = (Vec::with_capacity(self.rows), 0);
        for row in self.touched.iter().take(self.rows).copied() {
            let times = self.times.get_mut(row as usize).map(std::mem::take);
            let value = VALUES.get(usize::from(times.unwrap_or_default()));
            let value = value.copied().unwrap_or_default();
            squares += u64::from(value.unsigned_abs()).pow(2);
            rows.push((row, value));
        }
        (rows, squares)
    }

    fn read(&mut self, text: &[u8]) {
        let sort = |byte: u8| SORTS.get(usize::from(byte)).copied();
        let taken =
            |word: u32, byte: u8| (word ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(PRIME);
        let mut bytes = text.iter().copied();
        let mut next = bytes.next();
        // a loop within the loop: where a word ends is guessed wrongly once for each, and not twice
        while let Some(byte) = next {
            next = bytes.next();
            match sort(byte) {
                Some(Sort::Letter) => {
                    let mut word = taken(BASIS, byte);
                    while let Some(byte) = next.filter(|b| sort(*b) == Some(Sort::Letter)) {
                        word = taken(word, byte);
                        next = bytes.next();
                    }
                    self.word(word);
                }
                Some(Sort::Sign) => self.word((BASIS ^ u32::from(byte)).wrapping_mul(PRIME)),
                Some(Sort::Space) | None => {}
            }
        }
    }

    fn word(&mut self, word: u32) {
        self.number += 1;
        // mixed so that the low bits depend on all
        let word = word ^ (word >> 15);
        let word = word.wrapping_mul(0x2c1b_3c6d);
        let word = word ^ (word >> 12);
        self.touch(word);
        if let Some(before) = self.before {
            let pair = before.wrapping_mul(0x9e37_79b1) ^ word;
            self.touch(pair.wrapping_mul(0x85eb_ca6b) >> 16);
        }
        self.before = Some(word);
    }

    fn touch(&mut self, hash: u32) {
        let row = hash & self.mask;
        let times = self.times.get_mut(row as usize);
        if let (Some(times), Some(place)) = (times, self.touched.get_mut(self.rows)) {
            // written in any case: whether it is new can't be guessed
            *place = row;
            self.rows += usize::from(*times == 0);
            *times = times.saturating_add(1);
        }
    }
}

/// The cues of what is read of a text of so many bytes with so many words. One pass for each, which
/// the compiler makes of many bytes at once.
fn cues(part: &[u8], bytes: usize, words: usize) -> [u32; CUES.len()] {
    let digits = count(part, |b| b.is_ascii_digit());
    let capitals = count(part, |b| b.is_ascii_uppercase());
    let small = count(part, |b| b.is_ascii_lowercase());
    let first = part.first().is_some_and(u8::is_ascii_digit);
    let last = part.last().is_some_and(|byte| ends_sentence(*byte));
    // `&` and `|`: both sides of each, so that no byte decides how the next is compared
    let blank = |b: u8| (b == b' ') | (b == b'\t') | (b == b'\n') | (b == b'\r');
    let counts = [
        bytes,
        digits,
        pairs(part, |a, b| !a.is_ascii_digit() & b.is_ascii_digit()) + usize::from(first),
        capitals,
        count(part, |b| b == b'\n'),
        pairs(part, |a, b| ends_sentence(a) & blank(b)) + usize::from(last),
        count(part, |b| (33..127).contains(&b)) - digits - capitals - small,
        count(part, |b| b == b'?'),
        count(part, |b| b == b'%'),
        count(part, |b| b == b'$'),
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

/// Bytes that are counted in one byte, so that many are compared and added at once.
const RUN: usize = 128;

fn count(part: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let run = |run: &[u8]| run.iter().map(|byte| u8::from(is(*byte))).sum::<u8>();
    part.chunks(RUN).map(|bytes| usize::from(run(bytes))).sum()
}

/// How many bytes with the one after them.
fn pairs(part: &[u8], is: impl Fn(u8, u8) -> bool) -> usize {
    let next = part.get(1..).unwrap_or_default();
    let run = |(a, b): (&[u8], &[u8])| {
        let pairs = a.iter().zip(b).map(|(a, b)| u8::from(is(*a, *b)));
        pairs.sum::<u8>()
    };
    let runs = part.chunks(RUN).zip(next.chunks(RUN));
    runs.map(|runs| usize::from(run(runs))).sum()
}

fn ends_sentence(byte: u8) -> bool {
    (byte == b'.') | (byte == b'?') | (byte == b'!')
}
