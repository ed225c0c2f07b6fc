"""``python -m bench [MEASURE …] [--quick] [--seed N]``: measure, write raw JSON, make tables and plots."""

import argparse
import importlib
import sys
import time

from . import machine, node, report, results

MEASURES = ["fanout", "ack", "resume", "turns", "memory", "failover", "cancel"]
MEASURES += ["faults", "peers", "kills", "streams", "start", "profile"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}, report; default: all but profile"
    )
    parser.add_argument("--quick", action="store_true", help="small figures, kept in var/bench and not as results")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    wanted = options.measures or [each for each in MEASURES if each != "profile"]  # of another build than the others
    if unknown := set(wanted) - {*MEASURES, "report"}:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    node.install()
    failed = [name for name in wanted if name != "report" and not _measure(name, options.seed, options.quick)]
    print(f"tables: {report.write(quick=options.quick)}")
    return 1 if failed else 0


def _measure(name: str, seed: int, quick: bool) -> bool:
    """One that fails does not keep the others from being measured."""
    print(f"{name} …", flush=True)
    begin = time.monotonic()
    facts = machine.facts()
    try:
        result = importlib.import_module(f".{name}", __package__).measure(seed=seed, quick=quick)
    except (RuntimeError, TimeoutError, OSError) as error:
        print(f"{name} failed after {time.monotonic() - begin:.0f} s: {error}", file=sys.stderr, flush=True)
        return False
    print(f"{name}: {results.write(name, facts, result, seed=seed, quick=quick)}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
