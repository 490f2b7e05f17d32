#!/usr/bin/env python3
"""Measures what routing by predictions is worth: trains what is needed, and replays it with `tollgate evaluate`.

    evidence.py --data DIR --tollgate PROGRAM [--work DIR]

DIR has dev/, test/ and catalog.csv. Prints a table. Takes some minutes; run it with the Python that train.py needs.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EVALUATION = os.path.normpath(os.path.join(HERE, "..", "..", "tests", "data", "router", "evaluation.bin"))
MMLU, GSM = "routellm_mmlu", "routellm_gsm8k"
# What is left out, and which suite that makes unlike all that was trained on.
LEFT_OUT = {"ze_gsm, routellm_gsm8k": "reasoning", "ze_crux": "reasoning", "mmlu_pro": "knowledge"}

# Models that are known by their outcomes, each a quarter of which is taken for unseen in turn.
UNSEEN = """
athene-70b claude-3-5-sonnet-20240620 claude-3-5-sonnet-20241022 claude-3-haiku-20240307 claude-3-opus-20240229
command-r deepseek-v2.5-0908 gemini-1.5-flash gemini-1.5-pro gemma-2-2b gemma-2-9b gpt-3.5-turbo-0125
gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-mini-2024-07-18 granite-20b-fc llama-3-70b llama-3-8b llama-3.1-405b
llama-3.1-70b llama-3.1-8b mistral-7b-v0.2 mistral-nemo-2407 mixtral-8x22b phi-3.5-mini qwen1.5-72b qwen2-72b
qwen2-7b xlam-7b yi-1.5-34b
""".split()


class Bench:
    def __init__(self, asked):
        self.asked = asked
        os.makedirs(asked.work, exist_ok=True)

    def train(self, name, *more):
        out = os.path.join(self.asked.work, f"{name}.bin")
        data = self.asked.data
        command = [sys.executable, os.path.join(HERE, "train.py"), "--data", f"{data}/dev", "--name", name]
        command += ["--published", f"{data}/catalog.csv", "--out", out, *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return out

    def evaluate(self, artifact, data, *more):
        command = [self.asked.tollgate, "evaluate", "--json", "--data", data, "--artifact", artifact, *more]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        rows = json.loads(done.stdout)["figures"]
        return {(row["of"].split(" (")[0], row["figure"]): row for row in rows}


def number(value):
    return "never" if value is None else f"{value:.3f}"


def measured(row):
    if row is None:
        return "-"
    text = number(row["value"])
    if row["high"] is not None or row["low"] is not None:
        text += f" ({number(row['low'])} to {number(row['high'])})"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tollgate", required=True)
    parser.add_argument("--work", default="target/router/evidence")
    bench = Bench(parser.parse_args())
    test = f"{bench.asked.data}/test"

    test_rows = bench.evaluate(EVALUATION, test)
    folds = []
    for fold in range(5):
        rest = os.path.join(bench.asked.work, f"rest{fold}")
        artifact = bench.train(f"fold{fold}", "--tools", "--fold", str(fold), "--rest", rest)
        folds.append(bench.evaluate(artifact, rest))
    few = bench.evaluate(bench.train("labels1500", "--labels", "1500"), test)

    def mean(of, figure):
        values = [fold[of, figure]["value"] for fold in folds if (of, figure) in fold]
        known = [value for value in values if value is not None]
        return f"{sum(known) / len(known):.3f}" + ("" if len(known) == 5 else f" ({len(known)} of 5 folds)") if known else "-"

    print("| | test split | mean of five folds of dev |\n| --- | --- | --- |")
    for of, figures in {
        MMLU: ["APGR", "CPT80", "ECE"],
        GSM: ["APGR", "CPT80", "ECE"],
        "knowledge": ["cost at 95 %", "cost at 99 %", "AUC", "ECE"],
        "reasoning": ["cost at 95 %", "cost at 99 %", "AUC", "ECE"],
        "tools, by API": ["cost at 95 %", "cost at 99 %", "AUC", "ECE"],
    }.items():
        for figure in figures:
            print(f"| {of}: {figure} | {measured(test_rows.get((of, figure)))} | {mean(of, figure)} |")
    print(f"| {MMLU}, 1,500 labels: APGR | {measured(few.get((MMLU, 'APGR')))} | |")
    print("\n| models of which only the published mean is known | AUC | ECE |\n| --- | --- | --- |")
    for group in range(4):
        unseen = ",".join(sorted(UNSEEN)[group::4])
        artifact = bench.train(f"unseen{group}", "--tools", "--unseen", unseen)
        rows = bench.evaluate(artifact, test, "--models", unseen)
        for suite in ("knowledge", "reasoning", "tools"):
            if (suite, "AUC") in rows:
                auc, ece = (rows[suite, figure] for figure in ("AUC", "ECE"))
                print(f"| {auc['of']} | {number(auc['value'])} | {number(ece['value'])} |")

    print("\n| floor | suite | promised on | kept |\n| --- | --- | --- | --- |")

    def floors(rows, suite, what):
        for floor in ("0.6", "0.7", "0.8", "0.9"):
            share = rows[suite, f"floor {floor}: promised"]["value"]
            kept = measured(rows.get((suite, f"floor {floor}: kept")))
            print(f"| {floor} | {what} | {share:.3f} | {kept} |")

    for suite in ("knowledge", "reasoning", "tools"):
        floors(test_rows, suite, suite)
    for at, (left, suite) in enumerate(LEFT_OUT.items()):
        without = [word for name in left.split(", ") for word in ("--without", name)]
        # on dev: all of it is unlike what was trained on
        only = os.path.join(bench.asked.work, f"only{at}")
        cut(f"{bench.asked.data}/dev", only, left.split(", "))
        rows = bench.evaluate(bench.train(f"without{at}", *without), only)
        floors(rows, suite, f"trained without {left}")


def cut(data, out, sets):
    """Only these data sets of a folder."""
    os.makedirs(out, exist_ok=True)
    with gzip.open(f"{data}/queries.jsonl.gz", "rt") as file:
        lines = [line for line in file if json.loads(line)["dataset"] in sets]
    keep = {json.loads(line)["qid"] for line in lines}
    with open(f"{out}/queries.jsonl", "w") as file:
        file.writelines(lines)
    with gzip.open(f"{data}/outcomes.csv.gz", "rt") as file, open(f"{out}/outcomes.csv", "w") as to:
        to.write(next(file))
        to.writelines(line for line in file if line.split(",", 1)[0] in keep)


if __name__ == "__main__":
    main()
