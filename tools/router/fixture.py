#!/usr/bin/env python3
"""Writes tests/data/router/fixture.jsonl: texts, and what the Python side makes of them.

    fixture.py [--check]

The Rust side must come to the same numbers; with --check this side is asked again, and nothing is
written. Needs the standard library only.
"""

import json
import os
import sys

import artifact

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
FIXTURE = os.path.join(ROOT, "tests", "data", "router", "fixture.jsonl")
ARTIFACTS = {
    "shipped": os.path.join(ROOT, "src", "quality", "shipped.bin"),
    "evaluation": os.path.join(ROOT, "tests", "data", "router", "evaluation.bin"),
}
MODELS = ["gpt-4-1106-preview", "mixtral-8x7b", "gpt-4o-mini-2024-07-18", "llama-3.1-8b", "phi-3-mini", "xlam-7b", "nobody"]
FUNCTION = "def f(text):\n    out = []\n    for c in text:\n        if c.isalpha():\n            out.append(c.upper())\n    return ''.join(out)\nassert f('a1b2') == ??"
TEXTS = {
    "nothing": "",
    "a sign": "?",
    "prose": "Please write a short note to my landlord about the broken heating.",
    "word problem": "Mia has 14 boxes with 6 apples each. She sells half of all apples for $0.25 each and eats 2. How many dollars does she earn?",
    "choice": "Which of these planets has the most moons?\nA. Mercury\nB. Saturn\nC. Mars\nD. Venus\nAnswer:",
    "hard choice": "A body of 2 kg is lifted by 3 m in 4 s. What is the mean power, with g = 9.8 m/s^2?\nA. 1.5 W\nB. 14.7 W\nC. 29.4 W\nD. 58.8 W\nE. 7.35 W\nF. 117.6 W\nG. 19.6 W\nH. 88.2 W\nI. 9.8 W\nJ. 4.9 W",
    "code": "You are given a Python function and an assertion containing an input to the function. Complete the assertion with a literal.\n\n[PYTHON]\n" + FUNCTION + "\n[/PYTHON]",
    "tools": 'Book a table for two.\n\n[TOOLS] [{"name":"book_table","description":"Books a table.","parameters":{"type":"dict","properties":{"guests":{"type":"integer"}},"required":["guests"]}}]',
    "other scripts": "Größe des Körpers: 今天天气怎么样？ Ответьте, пожалуйста. \u00a0\u2028 naïve café",
    "odd signs": "\t\x0b\x0ca\u0000b\x7f%%%$$$!!! ?! ... \\n \"quoted\" 1,000.50\r\n\r\nEnd.",
    "capitals": "WHAT IS THE CAPITAL OF FRANCE? ANSWER IN ONE WORD.",
    "repeated": "again and " * 300,
    "long": "".join(f"Sentence {n} tells of item {n * 7 % 13}. " for n in range(600)),
    "long, cut in a word": "x" * 6140 + "middle" * 2000 + " the end of it all",
}


def answers():
    read = {name: artifact.Artifact(path) for name, path in ARTIFACTS.items()}
    for name, about in TEXTS.items():
        for which, one in read.items():
            models = one.predict(about.encode(), MODELS)
            yield {
                "id": f"{name}, {which}",
                "artifact": which,
                "prompt": about,
                "heads": [round(h, 9) for h in one.read(about.encode())],
                "models": [{k: round(v, 6) if isinstance(v, float) else v for k, v in m.items()} for m in models],
            }


def main():
    lines = [json.dumps(line, ensure_ascii=False) for line in answers()]
    if "--check" not in sys.argv[1:]:
        with open(FIXTURE, "w", encoding="utf-8", newline="\n") as file:
            file.write("".join(line + "\n" for line in lines))
        return
    with open(FIXTURE, encoding="utf-8", newline="\n") as file:
        written = file.read().split("\n")[:-1]
    wrong = [json.loads(new)["id"] for new, old in zip(lines, written) if new != old]
    if wrong or len(lines) != len(written):
        raise SystemExit(f"{FIXTURE}: differs at {', '.join(wrong) or 'its length'}")
    print(f"{len(lines)} readings of {len(TEXTS)} texts agree")


if __name__ == "__main__":
    main()
