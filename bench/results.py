"""Raw results: one JSON file a measure, from which tables and plots are made."""

from pathlib import Path
from typing import Any

import orjson

from .processes import BENCH_DIR, ROOT

FULL_DIR = BENCH_DIR / "results"
# Quick runs show that the harness works; their figures are no results, so they stay out of the repository.
QUICK_DIR = ROOT / "var" / "bench" / "results"


def directory(quick: bool) -> Path:
    return QUICK_DIR if quick else FULL_DIR


def write(measure: str, facts: dict[str, Any], result: dict[str, Any], *, seed: int, quick: bool) -> Path:
    """Write ``results/<measure>.json`` with the facts it was measured on; an older one is replaced."""
    path = directory(quick) / f"{measure}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"measure": measure, "quick": quick, "seed": seed, **facts, **result}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path


def read(quick: bool) -> dict[str, dict[str, Any]]:
    """Return all results of the directory by the name of their measure."""
    found = (orjson.loads(path.read_bytes()) for path in sorted(directory(quick).glob("*.json")))
    return {result["measure"]: result for result in found}
