"""Fan-out: deliveries/s and latency of ours and of the peer, in turns, and the client's own ceiling."""

from typing import Any

from .clients import run_measured
from .processes import busy_seconds
from .servers import Mirror, Peer, Server, Tether

DEVICES = 3
SHAPES = [(1, 1), (100, 1), (20, 8)]  # users, window
ROUNDS, QUICK_ROUNDS = 5, 1
# A run beside busy strangers is no measurement: it is done again, this often.
MOST_STRANGERS_CORES, TRIES = 0.1, 3
CLIENT_SECONDS = 120


def order_for(server: Server, users: int, window: int, *, seed: int, run: str, quick: bool) -> dict[str, Any]:
    return {
        "kind": server.kind,
        "urls": server.urls,
        "users": server.users(users),
        "devices": DEVICES,
        "window": window,
        "warmup_seconds": 1 if quick else 3,
        "measure_seconds": 2 if quick else 8,
        "seed": seed,
        "run": run,
    }


def measure_shape(server: Server, users: int, window: int, *, seed: int, run: str, quick: bool) -> dict[str, Any]:
    """Run one shape; return the client's figures and the CPU used, in cores, by each server and by strangers.

    Strangers are whatever else runs on the machine.
    """

    def cpu() -> dict[str, float]:
        return {"all": busy_seconds()} | {child.name: child.cpu_seconds() for child in server.children}

    order = order_for(server, users, window, seed=seed, run=run, quick=quick)
    figures, before, after = run_measured("fanout", order, cpu, cpu, seconds=CLIENT_SECONDS)
    cores = {name: round((after[name] - before[name]) / figures["seconds"], 3) for name in after}
    everybody = cores.pop("all")
    strangers = max(0.0, round(everybody - sum(cores.values()) - figures["client_cores"], 3))
    shape = {"kind": server.kind, "users": users, "window": window}
    return {**shape, **figures, "server_cores": cores, "strangers_cores": strangers}


def measure(*, seed: int, quick: bool, kinds: tuple[type[Server], ...] = (Tether, Peer)) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    disturbed: list[dict[str, Any]] = []
    durability: dict[str, dict[str, str]] = {}
    for number in range(QUICK_ROUNDS if quick else ROUNDS):
        for kind in kinds + ((Mirror,) if number == 0 else ()):
            with kind() as server:
                durability[server.kind] = server.durability()
                for users, window in SHAPES:
                    for attempt in range(1, TRIES + 1):
                        # Client ids are kept for days, so each run has its own.
                        name = f"f{number}-{users}-{window}-{attempt}"
                        run = measure_shape(server, users, window, seed=seed + number, run=name, quick=quick)
                        _say(run)
                        is_quiet = run["strangers_cores"] <= MOST_STRANGERS_CORES
                        (runs if is_quiet or attempt == TRIES else disturbed).append({"round": number, **run})
                        if is_quiet:
                            break
    return {"devices": DEVICES, "durability": durability, "runs": runs, "disturbed": disturbed}


def _say(run: dict[str, Any]) -> None:
    shape = f"{run['kind']} {run['users']}x{DEVICES}x{run['window']}"
    rate, wait = run["deliveries_per_second"], run["delivery_ms"]["p50"]
    strangers = run["strangers_cores"]
    print(f"  {shape}: {rate}/s p50 {wait} ms, lost {run['lost']}, strangers {strangers} cores", flush=True)
