#!/usr/bin/env python3
"""Trains the predictor of quality from recorded outcomes.

    train.py --data DIR --published CATALOG.csv [--tools] [--without SET] [--labels N] [--fold N --rest DIR]
             [--name NAME] --out FILE

DIR holds queries.jsonl.gz and outcomes.csv.gz; CATALOG.csv the mean score of each model and data set,
which is all that is used of models whose outcomes are not in DIR. Needs NumPy and SciPy; the same data
give the same bytes. How and why: README.md here.
"""

import argparse
import csv
import gzip
import hashlib
import json
import math
import os
import re

import numpy as np
import scipy.sparse as sparse

import artifact
import features
from linear import constant, directions, logistic, ridge

BITS = 14
ALPHA = 5.0  # of the ridge regressions; chosen on folds of dev, flat from 2 to 10
PENALTY = 30.0  # of each model's slopes
CUE_WEIGHT = 0.1
FOLDS = 5
# Data sets: what their texts are (those of one kind can't be told apart), the domain, how many directions
# of the models' outcomes are predicted, whether the labels of subjects help while training, and how far
# each model's slopes are drawn to the mean of all models.
SETS = {
    "routellm_mmlu": ("choice", "knowledge", 2, True, 0.3),
    "routellm_gsm8k": ("word_problem", "math", 2, False, 0.3),
    "mmlu_pro": ("hard_choice", "knowledge", 4, True, 0.3),
    "ze_gsm": ("word_problem", "math", 1, False, 0.3),
    "ze_crux": ("code_output", "code", 1, False, 0.3),
}
TOOLS = {"bfcl": ("tool_call", "tools", 4, True, 0.1)}
# A model of this data set also reads the heads of that one.
ALSO = {"routellm_gsm8k": ["ze_gsm"]}
# Of questions with options, the question alone: what no kind is, so that plain prose is like nothing.
PLAIN = ("routellm_mmlu", "mmlu_pro")
UNLIKE = {"pull": 0.35, "shift": -0.5, "error": 1.5}
# How far a model may be off on another set of questions of the same form, in logits, however many outcomes there are
# of this one. With less, a predictor that knows MMLU alone promised more of MMLU-Pro than was kept.
ELSEWHERE = 0.4


def micro(x):
    return round(x * artifact.MICRO)


def question_of(text):
    return re.split(r"\n(?:A\. |Answer)", text)[0]


def number(text):
    """Of a question without its options and signs: the same question is never in two folds."""
    stem = re.sub(r"[^a-z0-9]", "", question_of(text).lower())
    return int(hashlib.sha256(b"fold:" + stem.encode()).hexdigest()[:8], 16)


class Texts:
    """Texts as rows of a sparse matrix: the table's columns, then the cues'."""

    def __init__(self, texts):
        starts, columns, numbers = [0], [], []
        for text in texts:
            raw = text.encode()
            counted, squares = features.values(raw, BITS)
            norm = math.sqrt(squares) if squares else 1.0
            for row in sorted(counted):
                columns.append(row)
                numbers.append(counted[row] / norm)
            for row in features.cues(raw):
                columns.append((1 << BITS) + row)
                numbers.append(CUE_WEIGHT)
            starts.append(len(columns))
        width = (1 << BITS) + features.CUE_ROWS
        shape = (len(texts), width)
        self.x = sparse.csr_matrix((np.array(numbers), np.array(columns), np.array(starts)), shape=shape)


class Set:
    """One data set: its texts, and scores and output tokens of every model that has all of them."""

    def __init__(self, name, about, questions, outcomes, unseen=()):
        self.name = name
        self.kind, self.domain, self.rank, self.subjects, self.shared = about
        rows = [q for q in questions if q["dataset"] == name]
        self.x = Texts([q["prompt"] for q in rows]).x
        self.fold = np.array([number(q["prompt"]) % FOLDS for q in rows])
        self.subject = [q["domain"] for q in rows]
        self.plain = [question_of(q["prompt"]) for q in rows] if name in PLAIN else []
        models = sorted({m for q in rows for m in outcomes.get(q["qid"], {})})
        models = [m for m in models if m not in unseen]
        self.models = [m for m in models if all(m in outcomes[q["qid"]] for q in rows)]
        self.scores = np.array([[outcomes[q["qid"]][m][0] for m in self.models] for q in rows])
        self.tokens = np.array([[outcomes[q["qid"]][m][1] for m in self.models] for q in rows])

    def targets(self, train):
        """What the heads are to say: directions of outcomes, and of the subjects' means."""
        if not hasattr(self, "ways"):
            self.ways = directions(self.scores, self.rank)
        parts = [(self.scores[:, :, None] * self.ways[None]).sum(1)]
        if self.subjects:
            means = self.by_subject(train)
            if not hasattr(self, "subject_ways"):
                self.subject_ways = directions(means, 2)
            parts.append((means[:, :, None] * self.subject_ways[None]).sum(1))
        return np.hstack(parts)

    def by_subject(self, train, prior=20):
        overall = self.scores[train].mean(0)
        means = {}
        for subject in sorted(set(self.subject)):
            own = train & np.array([s == subject for s in self.subject])
            means[subject] = (self.scores[own].sum(0) + prior * overall) / (own.sum() + prior)
        return np.array([means[s] for s in self.subject])

    def fit(self, train):
        return ridge(self.x[train], self.targets(train)[train], ALPHA)


def load(folder):
    with gzip.open(f"{folder}/queries.jsonl.gz", "rt") as file:
        questions = [json.loads(line) for line in file]
    outcomes = {}
    with gzip.open(f"{folder}/outcomes.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            outcomes.setdefault(row["qid"], {})[row["model"]] = (
                float(row["score"]),
                float(row["out_tok"]),
                row["cost"],
            )
    return questions, outcomes


def part(questions, outcomes, fold, rest):
    """All questions but those of a fold; those are written, to be evaluated on."""
    out = [q for q in questions if number(q["prompt"]) % FOLDS == fold]
    os.makedirs(rest, exist_ok=True)
    with open(f"{rest}/queries.jsonl", "w") as file:
        file.writelines(json.dumps(q) + "\n" for q in out)
    with open(f"{rest}/outcomes.csv", "w") as file:
        file.write("qid,model,score,cost\n")
        for q in out:
            for model, (score, _, cost) in sorted(outcomes.get(q["qid"], {}).items()):
                file.write(f"{q['qid']},{model},{score},{cost}\n")
    return [q for q in questions if number(q["prompt"]) % FOLDS != fold]


def thin(questions, labels):
    """Only so many questions of the first set, those whose numbers are least: what few labels give."""
    few = [q for q in questions if q["dataset"] == "routellm_mmlu"]
    few.sort(key=lambda q: hashlib.sha256(b"label:" + q["qid"].encode()).hexdigest())
    keep = {q["qid"] for q in few[:labels]}
    return [q for q in questions if q["dataset"] != "routellm_mmlu" or q["qid"] in keep]


def out_of_fold(sets, this):
    """What every set's heads say of this set's texts, by fits that have not seen their questions."""
    heads = {}
    for other in sets:
        said = np.zeros((this.x.shape[0], other.full[0].shape[1]))
        for fold, (w, b) in enumerate(other.folds):
            rows = this.fold == fold
            said[rows] = this.x[rows] @ w + b
        heads[other.name] = said
    return heads


class Fitted:
    """What the heads say of a data set, brought to mean 0 and deviation 1, to place models by."""

    def __init__(self, kind, z, heads, mean, deviation):
        self.kind, self.z, self.heads, self.mean, self.deviation = kind, z, heads, mean, deviation

    def record(self, slopes, level, tokens, rows):
        """A model by its slopes and its mean score; `rows`: outcomes that it was fitted on, if any."""
        weights = [s / d for s, d in zip(slopes, self.deviation)]
        free = constant(self.z, slopes, level) - sum(w * m for w, m in zip(weights, self.mean))
        error = 0.5 if rows is None else math.sqrt(ELSEWHERE**2 + 1 / (rows * level * (1 - level)))
        return {
            "kind": self.kind,
            "intercept": micro(free),
            "weights": [[h, micro(w)] for h, w in zip(self.heads, weights)],
            "error": micro(error),
            "tokens": micro(tokens),
        }


def lengths(this, alpha=20.0):
    """A head for how much longer than usual answers are, in natural logarithms."""
    logs = np.array([[math.log(max(t, 1.0)) for t in row] for row in this.tokens.tolist()])
    usual = (logs - logs.mean(0)).mean(1)
    return ridge(this.x, usual[:, None], alpha)


def kinds_fit(sets, kinds):
    """One head a kind: about 1 for its texts, about 0 for all others and for plain prose.

    Also where likeness begins and is whole: at what one in a hundred of the others reaches, and at what
    all but one in twenty of its own do, both of texts that the fit has not seen.
    """
    texts = [t for this in sets for t in this.plain if number(t) % 2 == 0]
    parts = [(this.x, kinds.index(this.kind), this.fold) for this in sets]
    parts.append((Texts(texts).x, -1, np.array([number(t) // 2 % FOLDS for t in texts])))
    x = sparse.vstack([part for part, _, _ in parts]).tocsr()
    kind = np.concatenate([np.full(part.shape[0], k) for part, k, _ in parts])
    fold = np.concatenate([f for _, _, f in parts])
    y = (kind[:, None] == np.arange(len(kinds))).astype(float)
    sizes = [max(int((kind == k).sum()), 1) for k in range(len(kinds))]
    weight = np.array([1.0 if k < 0 else min(4.0, 6000 / sizes[k]) for k in kind.tolist()])
    said = np.zeros_like(y)
    for f in range(FOLDS):
        train = fold != f
        w, b = ridge(x[train], y[train], 1.0, weight[train])
        said[~train] = x[~train] @ w + b
    ramps = []
    for k in range(len(kinds)):
        own, others = np.sort(said[kind == k, k]), np.sort(said[kind != k, k])
        begins = max(float(others[len(others) * 99 // 100]), 0.4)
        ramps.append((begins, max(float(own[len(own) // 20]), begins + 0.15)))
    return ridge(x, y, 1.0, weight), ramps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--published", required=True)
    parser.add_argument("--tools", action="store_true", help="also the suite `tools`: for evaluation, never shipped")
    parser.add_argument("--without", action="append", default=[], help="leave a data set out")
    parser.add_argument("--unseen", default="", help="models whose outcomes are not used, but their published means")
    parser.add_argument("--labels", type=int, help="of the first data set, train on so many questions only")
    parser.add_argument("--fold", type=int, help="leave this fold of five out, and write it to --rest")
    parser.add_argument("--rest")
    parser.add_argument("--name", default="shipped")
    parser.add_argument("--out", required=True)
    asked = parser.parse_args()

    questions, outcomes = load(asked.data)
    if asked.fold is not None:
        questions = part(questions, outcomes, asked.fold, asked.rest)
    if asked.labels:
        questions = thin(questions, asked.labels)
    about = SETS | (TOOLS if asked.tools else {})
    unseen = [model for model in asked.unseen.split(",") if model]
    sets = [Set(name, row, questions, outcomes, unseen) for name, row in about.items() if name not in asked.without]
    for this in sets:
        everything = np.ones(this.x.shape[0], bool)
        this.targets(everything)
        this.full = this.fit(everything)
        this.folds = [this.fit(this.fold != fold) for fold in range(FOLDS)]

    names, columns, constants = [], [], []

    def add(name, w, b):
        names.append(name), columns.append(w), constants.append(b)
        return len(names) - 1

    first = {}
    for this in sets:
        w, b = this.full
        first[this.name] = len(names)
        for i in range(w.shape[1]):
            add(f"{this.name}/{i}", w[:, i], b[i])
    kinds = list(dict.fromkeys(this.kind for this in sets))
    long_of = {}
    for this in sets:
        if this.tokens.std() > 5 and this.kind not in long_of:
            w, b = lengths(this)
            long_of[this.kind] = add(f"{this.kind}/length", w[:, 0], b[0])
    (w, b), ramps = kinds_fit(sets, kinds)
    kind_heads = {kind: add(kind, w[:, i], b[i]) for i, kind in enumerate(kinds)}

    records, levels, shared, shifts = {}, {}, {}, {}
    for this in sets:
        heads = out_of_fold(sets, this)
        use = [this.name] + [o for o in ALSO.get(this.name, []) if o in heads]
        z = np.hstack([heads[o] for o in use])
        at = [first[o] + i for o in use for i in range(heads[o].shape[1])]
        mean, deviation = z.mean(0), np.sqrt(((z - z.mean(0)) ** 2).mean(0)) + 1e-9
        z = (z - mean) / deviation
        fits = [logistic(z, this.scores[:, m], PENALTY) for m in range(len(this.models))]
        common = [sum(fit[1][i] for fit in fits) / len(fits) for i in range(z.shape[1])]
        fitted = Fitted(kinds.index(this.kind), z, at, mean, deviation)
        for m, name in enumerate(this.models):
            slopes = [(1 - this.shared) * own + this.shared * c for own, c in zip(fits[m][1], common)]
            level = float(this.scores[:, m].mean())
            new = fitted.record(slopes, level, float(this.tokens[:, m].mean()), len(z))
            # of two sets of one kind, the first counts
            if not any(r["kind"] == new["kind"] for r in records.get(name, [])):
                records.setdefault(name, []).append(new)
            levels.setdefault(name, []).append(level)
        shared[this.name] = (fitted, common, float(this.tokens.mean()))
        if this.kind not in shifts:
            # how much harder or easier than usual, for models of which the level alone is known
            weights = [c / d for c, d in zip(common, deviation)]
            shifts[this.kind] = {
                "constant": micro(-sum(w * m for w, m in zip(weights, mean))),
                "weights": [[h, micro(w)] for h, w in zip(at, weights)],
            }
    with open(asked.published, newline="") as file:
        for row in csv.DictReader(file):
            name, level = row["model"], min(max(float(row["mean_score"]), 0.01), 0.99)
            if row["dataset"] in shared and (row["hidden_model"] == "True" or name in unseen):
                fitted, common, tokens = shared[row["dataset"]]
                records.setdefault(name, []).append(fitted.record(common, level, tokens, None))
                levels.setdefault(name, []).append(level)
            elif row["dataset"] not in shared and name not in levels:
                levels.setdefault(name, []).append(level)
                records.setdefault(name, [])

    table, cue_table, heads = [], [], []
    for name, w, b in zip(names, columns, constants):
        text, small = w[: 1 << BITS], w[1 << BITS :]
        # one in 4,000 is clipped, so that the rest is finer
        most = float(np.sort(np.abs(text))[-(len(text) // 4000) - 1]) or 1.0
        scale = max(round(most / 127 * 1e12), 1)
        table.append(np.clip(np.rint(text / (scale / 1e12)), -127, 127).astype(np.int8))
        cue_table.append(np.rint(small * CUE_WEIGHT * 1e6).astype(np.int32))
        heads.append({"name": name, "scale": scale, "bias": micro(float(b))})
    logit = lambda p: math.log(p / (1 - p))
    description = {
        "name": asked.name,
        "bits": BITS,
        "sets": [this.name for this in sets],
        "heads": heads,
        "kinds": [
            {
                "name": kind,
                "domain": next(this.domain for this in sets if this.kind == kind),
                "head": kind_heads[kind],
                "length": long_of.get(kind),
                "likeness": [micro(x) for x in ramp],
                "shift": shifts[kind],
            }
            for kind, ramp in zip(kinds, ramps)
        ],
        "unlike": {k: micro(v) for k, v in UNLIKE.items()},
        "models": [
            {
                "id": name,
                "general": micro(sum(logit(x) for x in levels[name]) / len(levels[name])),
                "kinds": records[name],
            }
            for name in sorted(records)
        ],
    }
    # rows of whole groups of eight, which are added at once
    for _ in range(-len(table) % 8):
        table.append(np.zeros(1 << BITS, np.int8))
        cue_table.append(np.zeros(features.CUE_ROWS, np.int32))
    description["width"] = len(table)
    rows = np.stack(table, 1).tobytes()
    artifact.write(asked.out, description, rows, np.stack(cue_table, 1).astype("<i4").tobytes())
    print(f"{asked.out}: {len(names)} heads, {len(records)} models, {sum(len(r) for r in records.values())} records")


if __name__ == "__main__":
    main()
