"""Fits what a character adds to a count of tokens, for each family of tokenizers.

    node count.mjs > counts.jsonl
    python3 fit.py counts.jsonl

Prints the table of src/tokens/families.rs and how far the estimates are off, on pieces that were
left out. Needs numpy and scipy.
"""

import json
import sys

import numpy as np
from scipy.optimize import lsq_linear

# in the order of `Feature` in src/tokens/families.rs
FEATURES = [
    "word", "letter_over_4", "letter_over_8", "case", "upper", "digit", "digit_group", "space_run",
    "mark", "mark_run", "latin", "greek", "cyrillic", "hebrew", "arabic", "indic", "south_east",
    "vietnamese", "kana", "han", "hangul", "wide", "symbol", "rare",
]
AT = {name: at for at, name in enumerate(FEATURES)}
FOLDS = 5


def script(code):
    if 0x300 <= code <= 0x36F:  # marks that stand behind their letter
        return "latin"
    for last, name in [
        (0x24F, "latin"), (0x3FF, "greek"), (0x58F, "cyrillic"), (0x5FF, "hebrew"), (0x8FF, "arabic"),
        (0xDFF, "indic"), (0x1DFF, "south_east"), (0x1EFF, "vietnamese"), (0x1FFF, "greek"),
        (0x2FFF, "symbol"), (0x312F, "kana"), (0x33FF, "symbol"), (0x9FFF, "han"), (0xABFF, "symbol"),
        (0xD7FF, "hangul"), (0xFEFF, "rare"), (0xFFFF, "wide"),
    ]:
        if code <= last:
            return name
    return "rare"


def features(text):
    found = np.zeros(len(FEATURES))

    def add(name, number=1):
        found[AT[name]] += number

    kind, length, before = None, 0, ""
    for c in text:
        code = ord(c)
        if code >= 0x80:
            now = "other"
            add(script(code))
        elif c.isalpha():
            now = "letter"
        elif c.isdigit():
            now = "digit"
        elif code <= 0x20:
            now = "space"
        else:
            now = "mark"
        length = length + 1 if now == kind else 1
        if now == "letter":
            add("word", length == 1)
            add("letter_over_4", length > 4)
            add("letter_over_8", length > 8)
            add("upper", c.isupper())
            add("case", length > 1 and c.isupper() and before.islower())
        elif now == "digit":
            add("digit")
            add("digit_group", length % 3 == 1)
        elif now == "space":
            # a single space belongs to the word after it; a line's end does not
            add("space_run", length == 2 or (length == 1 and c != " "))
        elif now == "mark":
            add("mark")
            add("mark_run", length == 1)
        kind, before = now, c
    return found


def fit(rows, tokens):
    """What each feature adds: from nothing to three tokens. Of Vietnamese letters less than nothing,
    as they cut words into runs of letters, and stand beside Latin ones with marks, which are dearer in other
    languages."""
    weights = 1 / tokens
    low = np.zeros(len(FEATURES))
    low[AT["vietnamese"]] = -3
    return lsq_linear(rows * weights[:, None], tokens * weights, bounds=(low, 3)).x


def main():
    samples = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    rows = np.array([features(sample["text"]) for sample in samples])
    kinds = np.array([sample["kind"] for sample in samples])
    families = list(samples[0]["tokens"])
    print(f"{len(samples)} pieces; off by (mean of the absolute, 90th percentile), left out in {FOLDS} folds\n")
    table = {}
    for family in families:
        tokens = np.array([float(sample["tokens"][family]) for sample in samples])
        off = np.zeros(len(samples))
        for fold in range(FOLDS):
            out = np.arange(len(samples)) % FOLDS == fold
            off[out] = rows[out] @ fit(rows[~out], tokens[~out]) / tokens[out] - 1
        by_kind = {kind: float(np.mean(off[kinds == kind])) for kind in dict.fromkeys(kinds)}
        worst = max(by_kind.items(), key=lambda item: abs(item[1]))
        print(f"{family:9} {np.mean(np.abs(off)):.3f} {np.quantile(np.abs(off), 0.9):.3f}"
              f"   worst kind: {worst[0]} {worst[1]:+.2f}")
        table[family] = fit(rows, tokens)
    print("\n// thousandths of a token, in the order of `Feature`")
    for family, row in table.items():
        print(f"    // {family}\n    [{', '.join(str(round(1000 * value)) for value in row)}],")


if __name__ == "__main__":
    main()
