"""The file that the predictor is: written by train.py, read here and by src/quality/artifact.rs.

`TGROUTER`, u32 version, u32 length of the description, the description (JSON, whole numbers only),
rows x width of i8, cue rows x width of i32 in millionths, SHA-256 of all that; little-endian.
"""

import hashlib
import json
import math
import struct

import features

MAGIC, VERSION = b"TGROUTER", 1
MICRO = 1_000_000
# The 90th percentile of the normal distribution: `low` and `high` enclose four of five.
Z = 1_281_552


def write(path, description, table, cue_table):
    """table: rows x width of int8, cue_table: cue rows x width of int32, both as bytes."""
    text = json.dumps(description, separators=(",", ":"), sort_keys=True).encode()
    body = MAGIC + struct.pack("<II", VERSION, len(text)) + text + table + cue_table
    with open(path, "wb") as file:
        file.write(body + hashlib.sha256(body).digest())


class Artifact:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        body, digest = data[:-32], data[-32:]
        if body[:8] != MAGIC or hashlib.sha256(body).digest() != digest:
            raise SystemExit(f"{path}: not an artifact, or damaged")
        version, length = struct.unpack_from("<II", body, 8)
        if version != VERSION:
            raise SystemExit(f"{path}: version {version}, and {VERSION} is read here")
        self.about = json.loads(body[16 : 16 + length])
        self.width = self.about["width"]
        self.rows = 1 << self.about["bits"]
        at = 16 + length
        self.table = struct.unpack_from(f"<{self.rows * self.width}b", body, at)
        at += self.rows * self.width
        self.cue_table = struct.unpack_from(f"<{features.CUE_ROWS * self.width}i", body, at)

    def read(self, text: bytes) -> list[float]:
        """What every head says of a text."""
        counted, squares = features.values(text, self.about["bits"])
        norm = math.sqrt(squares) if squares else 1.0
        cue_rows = features.cues(text)
        out = []
        for head, about in enumerate(self.about["heads"]):
            total = sum(v * self.table[row * self.width + head] for row, v in counted.items())
            small = sum(self.cue_table[row * self.width + head] for row in cue_rows)
            out.append(total * (about["scale"] / 1e6 / 1e6) / norm + (about["bias"] / 1e6 + small / 1e6))
        return out

    def predict(self, text: bytes, models):
        """For each model: id, p, low, high, domain, novelty, output tokens."""
        return self.judge(self.read(text), models)

    def judge(self, heads, models):
        about = self.about
        kinds = about["kinds"]
        kind = max(range(len(kinds)), key=lambda k: (heads[kinds[k]["head"]], -k))
        score = heads[kinds[kind]["head"]]
        begins, whole = kinds[kind]["likeness"]
        like = min(max((score - begins / 1e6) / ((whole - begins) / 1e6), 0.0), 1.0)
        known = {model["id"]: model for model in about["models"]}
        answers = []
        for name in models or sorted(known):
            model = known.get(name)
            if model is None:
                answers.append({"id": name, "p": None})
                continue
            record = next((r for r in model["kinds"] if r["kind"] == kind), None)
            answers.append({"id": name, **self.one(model, record, heads, like, kinds[kind])})
        return answers

    def one(self, model, record, heads, like, kind):
        about = self.about
        pull, shift, wide = (about["unlike"][x] / 1e6 for x in ("pull", "shift", "error"))
        out = model["general"] / 1e6 * pull + shift
        if record is None:
            like = 0.0
            inside, error = out, 0.0
        else:
            inside, error = record["intercept"] / 1e6, record["error"] / 1e6
            for head, weight in record["weights"]:
                inside += weight / 1e6 * heads[head]
        logit = like * inside + (1.0 - like) * out
        spread = math.hypot(like * error, (1.0 - like) * wide)
        z = Z / 1e6
        tokens = None
        if record is not None and like > 0.0:
            tokens = record["tokens"] / 1e6
            if kind["length"] is not None:
                # the head of length is in natural logarithms, and at most doubles or halves
                tokens *= math.exp(min(max(heads[kind["length"]], -0.7), 0.7))
        return {
            "p": logistic(logit),
            "low": logistic(logit - z * spread),
            "high": logistic(logit + z * spread),
            "like": like,
            "output_tokens": tokens,
        }


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
