//! What the predictor sees of a text: hashed words and pairs of neighbours, and cheap cues.
//!
//! The twin of `tools/router/features.py`, to the last bit: whole numbers only, and bytes rather
//! than characters, so that neither a Unicode table nor a rounding can make a difference.

/// A longer text is read at its beginning and its end only, in bytes.
const HEAD: usize = 6_144;
const TAIL: usize = 2_048;

/// The cues' classes: where each begins. In the order of [`Counts::cues`].
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
const VALUES: [u16; 256] = [
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
    pub(super) rows: Vec<(u32, u16)>,
    /// The sum of the squares of the values.
    pub(super) squares: u64,
    /// A row of the cues' table for each cue.
    pub(super) cues: [u32; CUES.len()],
}

impl Features {
    /// Reads a text for a table of `2^bits` rows.
    #[must_use]
    pub(super) fn of(text: &[u8], bits: u32) -> Self {
        let mut reader = Reader::new(text.len(), bits);
        let (head, tail) = window(text);
        reader.read(head);
        reader.read(tail);
        reader.end_word();
        let cues = reader.cues(text.len(), head.len() + tail.len());
        let (mut rows, mut squares) = (Vec::with_capacity(reader.touched.len()), 0);
        for row in reader.touched {
            let times = reader.times.get(row as usize).copied().unwrap_or_default();
            let value = VALUES.get(usize::from(times)).copied().unwrap_or_default();
            squares += u64::from(value) * u64::from(value);
            rows.push((row, value));
        }
        Self {
            rows,
            squares,
            cues,
        }
    }
}

fn window(text: &[u8]) -> (&[u8], &[u8]) {
    if text.len() <= HEAD + TAIL {
        return (text, &[]);
    }
    let (head, rest) = text.split_at(HEAD);
    (head, rest.split_at(rest.len() - TAIL).1)
}

/// What has been read of a text.
struct Reader {
    mask: u32,
    /// How often each row has occurred, at most 255.
    times: Vec<u8>,
    /// The rows that have, each once.
    touched: Vec<u32>,
    /// The hash of the word that is being read.
    word: Option<u32>,
    /// The hash of the word before it.
    before: Option<u32>,
    words: usize,
    digits: usize,
    numbers: usize,
    capitals: usize,
    small: usize,
    lines: usize,
    sentences: usize,
    printable: usize,
    questions: usize,
    percents: usize,
    dollars: usize,
    /// The byte before.
    last: u8,
}

/// FNV-1a.
const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

impl Reader {
    fn new(bytes: usize, bits: u32) -> Self {
        let rows = 1_u32 << bits;
        Self {
            mask: rows - 1,
            times: vec![0; rows as usize],
            touched: Vec::with_capacity(bytes.min(HEAD + TAIL) / 2),
            word: None,
            before: None,
            words: 0,
            digits: 0,
            numbers: 0,
            capitals: 0,
            small: 0,
            lines: 0,
            sentences: 0,
            printable: 0,
            questions: 0,
            percents: 0,
            dollars: 0,
            last: 0,
        }
    }

    fn read(&mut self, part: &[u8]) {
        for &byte in part {
            match byte {
                b'a'..=b'z' => {
                    self.small += 1;
                    self.letter(byte);
                }
                b'A'..=b'Z' => {
                    self.capitals += 1;
                    self.letter(byte.to_ascii_lowercase());
                }
                b'0'..=b'9' => {
                    self.digits += 1;
                    self.numbers += usize::from(!self.last.is_ascii_digit());
                    self.letter(byte);
                }
                0x80.. => self.letter(byte),
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.end_word();
                    self.lines += usize::from(byte == b'\n');
                    self.sentences += usize::from(ends_sentence(self.last));
                }
                0x0b | 0x0c => self.end_word(),
                _ => self.sign(byte),
            }
            self.printable += usize::from((33..127).contains(&byte));
            self.last = byte;
        }
    }

    fn letter(&mut self, byte: u8) {
        let word = self.word.unwrap_or(BASIS);
        self.word = Some((word ^ u32::from(byte)).wrapping_mul(PRIME));
    }

    /// A sign is a word of its own.
    fn sign(&mut self, byte: u8) {
        self.end_word();
        self.questions += usize::from(byte == b'?');
        self.percents += usize::from(byte == b'%');
        self.dollars += usize::from(byte == b'$');
        self.letter(byte);
        self.end_word();
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        self.words += 1;
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
        if let Some(times) = self.times.get_mut(row as usize) {
            if *times == 0 {
                self.touched.push(row);
            }
            *times = times.saturating_add(1);
        }
    }

    fn cues(&self, bytes: usize, read: usize) -> [u32; CUES.len()] {
        let sentences = self.sentences + usize::from(ends_sentence(self.last));
        let counts = [
            bytes,
            self.digits,
            self.numbers,
            self.capitals,
            self.lines,
            sentences,
            self.printable - self.digits - self.capitals - self.small,
            self.questions,
            self.percents,
            self.dollars,
            10 * read / self.words.max(1),
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
}

fn ends_sentence(byte: u8) -> bool {
    matches!(byte, b'.' | b'?' | b'!')
}
