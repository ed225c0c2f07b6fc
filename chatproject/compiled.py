"""The modules on the path of every message, compiled by mypyc: ``python -m chatproject.compiled build|clean``.

They stay plain Python and run the same without; compiled they cost a third less. Needs a C compiler and Python's
headers. Imports nothing of Django, so that it can be asked before anything else is imported.
"""

import json
import shutil
import sys
import sysconfig
import tempfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    "chatproject/text_frames.py",
    "conversations/announce.py",
    "conversations/batching.py",
    "conversations/events.py",
    "conversations/keys.py",
    "conversations/log.py",
    "conversations/messages.py",
    "conversations/store.py",
    "conversations/wire.py",
    "realtime/connection.py",
    "realtime/frames.py",
    "realtime/inbox.py",
    "realtime/limits.py",
    "realtime/outbox.py",
    "realtime/outgoing.py",
    "realtime/session.py",
    "realtime/shard.py",
]
GROUP = "tether"  # names the library that all of them share
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")


def _libraries() -> list[Path]:
    folders = (ROOT, *(ROOT / name for name in ("chatproject", "conversations", "realtime")))
    return [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]


def compiled() -> list[str]:
    """Return the modules that this Python would import compiled, also those that left the list since."""
    names = [str(path.relative_to(ROOT)).removesuffix(SUFFIX) + ".py" for path in _libraries() if path.parent != ROOT]
    return sorted(names)


def describe() -> str:
    number = len(compiled())
    return f"{number} modules compiled" if number else "interpreted, which is slower; `make compile` needs a C compiler"


def _record() -> Path:
    """Return where it is noted which sources the libraries were made from."""
    return ROOT / f"{GROUP}__mypyc{SUFFIX}.json"


def _digests() -> dict[str, str]:
    return {module: sha256((ROOT / module).read_bytes()).hexdigest() for module in MODULES}


def stale() -> list[str]:
    """Return the modules that changed since they were compiled.

    By content: a deployment may bring files that are older than the library that was made here.
    """
    there = compiled()
    if not there:
        return []
    try:
        made_from = json.loads(_record().read_text())
    except (OSError, ValueError):  # a build that was cut off
        return there
    now = _digests()
    return [module for module in there if module not in now or made_from.get(module) != now[module]]


def check() -> None:
    """Exit with one line if an older form of a module would run than the one in its file."""
    if changed := stale():
        sys.exit(f"{changed[0]} has changed since it was compiled: run `make compile`, or `make interpreted`")


def clean() -> None:
    """Remove what was compiled, also of modules that are no longer in the list."""
    _record().unlink(missing_ok=True)
    for path in _libraries():
        path.unlink()


def build() -> None:
    """Compile what changed, all modules together. Without a C compiler: say so, and leave them interpreted."""
    if compiled() == sorted(MODULES) and not stale():
        return
    clean()
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        print("no C compiler: Tether runs interpreted, which is slower", file=sys.stderr)
        return
    print("compiling the modules on the path of every message (half a minute) …", flush=True)
    made_from = _digests()
    try:
        _compile()
        _record().write_text(json.dumps(made_from))  # last: without it nothing that was made is believed
    except (Exception, SystemExit) as error:
        clean()
        print(f"they cannot be compiled here, so Tether runs interpreted, which is slower: {error}", file=sys.stderr)


def _compile() -> None:
    from mypyc.build import mypycify
    from setuptools import Distribution

    with tempfile.TemporaryDirectory() as folder:
        # Types are checked by `make lint`, perhaps just now, whose cache is of other options; here the frameworks'
        # own need not be read again.
        options = [
            "--config-file=",
            f"--cache-dir={folder}/types",
            "--follow-imports=skip",
            "--ignore-missing-imports",
            "--disable-error-code=no-any-return",
        ]
        extensions = mypycify([*options, *MODULES], opt_level="2", debug_level="0", group_name=GROUP, target_dir=folder)
        distribution = Distribution({"name": "tether", "packages": [], "ext_modules": extensions})
        command = distribution.get_command_obj("build_ext")
        command.ensure_finalized()
        command.inplace, command.build_temp, command.build_lib = False, folder, f"{folder}/lib"
        command.run()
        for path in Path(command.build_lib).rglob(f"*{SUFFIX}"):
            shutil.copy(path, ROOT / path.relative_to(command.build_lib))


if __name__ == "__main__":
    {"build": build, "clean": clean}[sys.argv[1]]()
