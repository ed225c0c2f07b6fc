"""Plays the three scenes on a cluster of its own and says whether they passed."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from chatproject.services.process import free_port

from .ledger import Report
from .processes import Cluster, Installation, socket_url
from .remote import DeviceFailed, RemoteDevice
from .report import Scene, since, table, verdict
from .scenes import Devices, Say, consistency, recovery, three_devices

NODES = 3
DEVICES = ("phone", "laptop", "tablet", "desktop", "watch")
LIMITS_OFF = {"RATE_LIMIT_MESSAGES": "off", "RATE_LIMIT_COMMANDS": "off"}
SCENES: list[Callable[[Devices, Cluster, Say], Awaitable[Scene]]] = [consistency, recovery, three_devices]


def run_demo(write: Say) -> bool:
    """Start everything in a folder of its own, play, print, stop everything; return whether all passed."""
    began = time.monotonic()

    def say(text: str) -> None:
        write(f"[{time.monotonic() - began:5.1f} s] {text}")

    with tempfile.TemporaryDirectory(prefix="tether-demo-", ignore_cleanup_errors=True) as folder:
        installation = Installation(Path(folder), **LIMITS_OFF)
        say(f"starting {NODES} nodes, Redis and nginx")
        cluster = Cluster(installation, nodes=NODES, port=free_port())
        try:
            cluster.wait_until_ready()
            for name, (pid, url) in sorted(cluster.nodes().items()):
                say(f"{name} pid {pid} {url}")
            token = installation.token("demo-traveller")
            scenes = asyncio.run(_play(cluster, token, say))
        finally:
            cluster.stop()
    write("\n" + table(scenes))
    for scene in scenes:
        for failure in scene.failures:
            write(f"{scene.name}: {failure}")
    passed = all(verdict(scene) == "PASS" for scene in scenes)
    write("\nPASS" if passed else "\nFAIL")
    return passed


async def _play(cluster: Cluster, token: str, say: Say) -> list[Scene]:
    devices = await _launch(cluster, token)
    say("five devices, each a process of its own: " + ", ".join(f"{d.device_id} pid {d.pid}" for d in devices))
    scenes: list[Scene] = []
    earlier: list[Report] = []
    try:
        nodes = await asyncio.gather(*(device.do("start", conversations=[]) for device in devices))
        say("connected to " + ", ".join(nodes))
        for play in SCENES:
            say((play.__doc__ or "").strip())
            scene = await _scene(play(devices, cluster, say))
            reports = [await device.report() for device in devices]
            scene.take([since(report, earlier) for report in reports])
            earlier = reports
            say(f"{scene.name}: {verdict(scene)}")
            scenes.append(scene)
    finally:
        await asyncio.gather(*(device.stop() for device in devices))
    return scenes


async def _scene(playing: Awaitable[Scene]) -> Scene:
    """A scene that breaks off has failed; the next one is still worth seeing."""
    try:
        return await playing
    except DeviceFailed as failed:
        return Scene("broken off", failures=[str(failed)])


async def _launch(cluster: Cluster, token: str) -> Devices:
    """A device on each node, that knows the others for when its own is gone; the rest come through nginx."""
    nodes, front = cluster.urls(), [socket_url(cluster.address)]
    ways = [nodes[at:] + nodes[:at] for at in range(NODES)] + [front] * (len(DEVICES) - NODES)
    return [
        await RemoteDevice.launch(urls=urls, token=token, device_id=name, seed=seed)
        for seed, (name, urls) in enumerate(zip(DEVICES, ways, strict=True))
    ]
