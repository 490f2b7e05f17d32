"""What is asked, and how tollgate is set up for it.

The simulator reads from the model's name how it is to answer, so each kind of answer is a model of
its own: a plain name in front of each, and a route `auto` over six models on ten backends with keys,
limits, a budget, prices, quality floors, ledger and metrics, as benches/fleet.yaml has them."""

import hashlib
import json
import sqlite3

# models that nobody asks for, and a million keys that nobody has
OTHERS = 10_000
KEYS = 1_000_000

KEY = "tg-compare-0123456789abcdef0123456789abcdef"

# what the simulator is told, by kind of answer
KINDS = {
    "whole": "sim+out=170",
    "paced": "sim+out=100+gap=20ms",
    "burst": "sim+out=200",
    "open": "sim+out=100+gap=60s",
}

# model, quality, and for each backend its provider with dollars for a million tokens in and out
MODELS = [
    ("qwen3-32b", "0.72", [("pool", "0.05", "0.20"), ("deepinfra", "0.10", "0.28")]),
    ("glm-5.2", "0.86", [("nebius", "0.60", "2.20"), ("together", "0.55", "2.10"),
                         ("baseten", "0.60", "2.20")]),
    ("deepseek-v4.1-flash", "0.80", [("together", "0.25", "0.90"), ("deepinfra", "0.22", "0.80")]),
    ("deepseek-flash", "0.82", [("deepseek", "0.14", "0.28")]),
    ("gpt-5.4-mini", "0.85", [("openai", "0.25", "2.00")]),
    ("gpt-5.4", "0.93", [("openai", "2.50", "15.00")]),
]

PROSE = (
    "the committee met on Tuesday, and discussed a budget of 2026 for the northern office; its "
    '"delayed" equipment (12 of 40 pieces) is expected in spring. '
)


def body(model, kind):
    """A request of about 2 KB."""
    request = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant. Answer in full sentences."},
            {"role": "user", "content": (PROSE * 12)[:1750]},
        ],
        "temperature": 0.2,
        "max_tokens": 512,
        "user": "user-4711",
    }
    if kind != "whole":
        # so that everybody asks the backend for the same, and passes on the same
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(request, separators=(",", ":"))


def tollgate(simulator, large=False):
    """The configuration of tollgate; `large`: among 10,000 models on ten backends each, and 1,000
    routes, that nobody asks for, with the key in the store."""
    providers = sorted({backend[0] for _, _, backends in MODELS for backend in backends})
    if large:
        providers += [f"other-{number}" for number in range(10 - len(providers))]
    lines = ["providers:"]
    for provider in providers:
        lines += [
            f"  {provider}:",
            f"    base_url: http://127.0.0.1:{simulator}/p/{provider}/v1",
            "    api_key: simulated",
            "    limits: { rpm: 100000000, max_concurrent: 100000 }",
        ]
    lines.append("models:")
    for kind, script in KINDS.items():
        for name, quality, backends in MODELS:
            lines += [f"  - name: {name}-{kind}", "    backends:"]
            for provider, given, taken in backends:
                # the same name at one provider must be the same model
                lines.append(
                    f"      - {{ provider: {provider}, model: {name}-{script}, "
                    f'price: {{ input: "{given}", output: "{taken}" }} }}'
                )
            lines += [
                "    context: 131072",
                "    max_output: 8192",
                "    caps: [streaming, tools]",
                f"    quality: {{ default: {quality} }}",
            ]
    if large:
        lines += [other_model(number, providers) for number in range(OTHERS)]
    lines.append("routes:")
    for kind in KINDS:
        names = ", ".join(f"{name}-{kind}" for name, _, _ in MODELS)
        lines += [
            f"  - name: auto-{kind}",
            f"    candidates: [{names}]",
            "    min_quality: 0.7",
            f"    baseline: gpt-5.4-{kind}",
            "    limits: { rpm: 100000000, tpm: 100000000000, max_concurrent: 100000 }",
        ]
    if large:
        lines += [other_route(number) for number in range(OTHERS // 10)]
    lines.append("limits: { rpm: 100000000, max_concurrent: 100000 }")
    lines += [
        "keys:",
        f"  - id: compare\n    key: {KEY[::-1] if large else KEY}",
        "    limits: { rpm: 100000000, tpm: 100000000000, max_concurrent: 100000 }",
        '    budget: { usd: "1000000", per: month }',
    ]
    lines.append("store: { ledger: 'sqlite:compare.db' }")
    return "\n".join(lines) + "\n"


def other_model(number, providers):
    price = f'{{ input: "0.{10 + number % 80}", output: "0.{20 + number % 70}" }}'
    backends = (f"{{ provider: {name}, model: other-{number}, price: {price} }}" for name in providers)
    return (
        f"  - {{ name: other-{number}, context: 131072, max_output: 8192, caps: [streaming, tools], "
        f"quality: {{ default: 0.8 }}, backends: [{', '.join(backends)}] }}"
    )


def other_route(number):
    names = ", ".join(f"other-{(number * 7 + step) % OTHERS}" for step in range(6))
    return f"  - {{ name: route-{number}, candidates: [{names}], min_quality: 0.7 }}"


def fill_store(path):
    """Puts a million keys into a store that tollgate has made."""
    with sqlite3.connect(path) as store:
        insert = "INSERT INTO keys (id, digest, created_ms, revision) VALUES (?, ?, 1, ?)"
        digests = (hashlib.sha256(f"other-{n}".encode()).digest() for n in range(KEYS))
        store.executemany(insert, ((f"key-{n}", d, n + 1) for n, d in enumerate(digests)))
    store.close()
