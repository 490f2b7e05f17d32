"""What is asked, and how tollgate is set up for it.

The simulator reads from the model's name how it is to answer, so each kind of answer is a model of
its own: a plain name in front of each, and a route `auto` over six models on ten backends with keys,
limits, a budget, prices, quality floors, ledger and metrics, as benches/fleet.yaml has them."""

import json

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


def tollgate(simulator):
    """The configuration of tollgate."""
    providers = sorted({backend[0] for _, _, backends in MODELS for backend in backends})
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
    lines += [
        "limits: { rpm: 100000000, max_concurrent: 100000 }",
        "keys:",
        f"  - id: compare\n    key: {KEY}",
        "    limits: { rpm: 100000000, tpm: 100000000000, max_concurrent: 100000 }",
        '    budget: { usd: "1000000", per: month }',
        "store: { ledger: 'sqlite:compare.db' }",
    ]
    return "\n".join(lines) + "\n"
