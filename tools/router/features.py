"""What the predictor sees of a text: the twin of src/quality/features.rs, with the standard library only.

Both must agree to the last bit: whole numbers only, and bytes rather than characters, so that neither
a Unicode table nor a rounding can make a difference. tests/data/router/fixture.jsonl proves it.
"""

import math
import re

# A longer text is read at its beginning and its end only.
HEAD, TAIL = 6144, 2048
# What a word is: letters and digits, and every byte that is not ASCII; any other sign is one alone.
TOKEN = re.compile(rb"[a-z0-9\x80-\xff]+|[^ \t\n\r\x0b\x0c]")
MASK = 0xFFFFFFFF
# 256 (1 + ln n): how much a row counts that occurs n times.
VALUES = [0] + [round(256 * (1 + math.log(n))) for n in range(1, 256)]
# Cheap cues and the edges of their classes.
CUES = (
    ("bytes", (100, 200, 300, 400, 600, 800, 1200, 1600, 2400, 4000)),
    ("digits", (1, 3, 6, 10, 16, 24, 40, 80)),
    ("numbers", (1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 40)),
    ("capitals", (1, 3, 6, 10, 16, 24, 40, 80)),
    ("lines", (1, 3, 5, 8, 10, 14, 20)),
    ("sentences", (1, 2, 3, 4, 5, 6, 8, 10, 14, 20)),
    ("signs", (3, 6, 10, 16, 24, 40, 80, 160)),
    ("questions", (1, 2, 3)),
    ("percents", (1, 2, 3)),
    ("dollars", (1, 2, 3, 4)),
    ("word_length", (32, 36, 40, 44, 48, 52)),  # tenths of a byte
)
CUE_ROWS = sum(len(edges) + 1 for _, edges in CUES)


def window(text: bytes) -> bytes:
    return text if len(text) <= HEAD + TAIL else text[:HEAD] + text[-TAIL:]


def word_hash(word: bytes) -> int:
    h = 0x811C9DC5  # FNV-1a, then mixed so that the low bits depend on all
    for byte in word:
        h = ((h ^ byte) * 0x01000193) & MASK
    h ^= h >> 15
    h = (h * 0x2C1B3C6D) & MASK
    return h ^ (h >> 12)


def pair_hash(first: int, second: int) -> int:
    return ((((first * 0x9E3779B1) & MASK) ^ second) * 0x85EBCA6B & MASK) >> 16


def rows(text: bytes, bits: int) -> dict[int, int]:
    """How often each row of the table occurs: one a word, one a pair of neighbours."""
    found: dict[int, int] = {}
    mask = (1 << bits) - 1
    before = None
    for word in TOKEN.findall(window(text).lower()):
        h = word_hash(word)
        found[h & mask] = found.get(h & mask, 0) + 1
        if before is not None:
            row = pair_hash(before, h) & mask
            found[row] = found.get(row, 0) + 1
        before = h
    return found


def values(text: bytes, bits: int) -> tuple[dict[int, int], int]:
    """Rows with their values, and the sum of the squares of those."""
    counted = {row: VALUES[min(n, 255)] for row, n in rows(text, bits).items()}
    return counted, sum(v * v for v in counted.values())


def cues(text: bytes) -> list[int]:
    """One row of the cues' table for each cue."""
    part = window(text)
    words = len(TOKEN.findall(part.lower()))
    digits = sum(48 <= c <= 57 for c in part)
    capitals = sum(65 <= c <= 90 for c in part)
    small = sum(97 <= c <= 122 for c in part)
    printable = sum(33 <= c < 127 for c in part)
    counts = (
        len(text),
        digits,
        len(re.findall(rb"[0-9]+", part)),
        capitals,
        part.count(b"\n"),
        len(re.findall(rb"[.?!](?:[ \t\n\r]|\Z)", part)),
        printable - digits - capitals - small,
        part.count(b"?"),
        part.count(b"%"),
        part.count(b"$"),
        10 * len(part) // max(words, 1),
    )
    out, base = [], 0
    for (_, edges), count in zip(CUES, counts):
        out.append(base + sum(count >= edge for edge in edges))
        base += len(edges) + 1
    return out
