"""What runs is what stands in the files: compiled where that is possible, and never an older form of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chatproject import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """One module in a folder of its own, with a library beside it that is newer."""
    source = tmp_path / "conversations" / "path.py"
    source.parent.mkdir()
    source.write_text("")
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "MODULES", ["conversations/path.py"])
    library = source.with_suffix(compiled.SUFFIX)
    library.write_bytes(b"")
    os.utime(source, (1000, 1000))
    return source


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: the modules run interpreted")
def test_with_a_compiler_the_tests_run_what_is_compiled():
    assert compiled.compiled() == compiled.MODULES
    names = [each.removesuffix(".py").replace("/", ".") for each in compiled.MODULES]
    code = "import django; django.setup(); import importlib, sys\n" + "".join(
        f"print(importlib.import_module({name!r}).__file__)\n" for name in names
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "chatproject.settings"}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert [line for line in run.stdout.split() if not line.endswith(compiled.SUFFIX)] == []


def test_every_module_of_the_list_exists():
    assert [each for each in compiled.MODULES if not (ROOT / each).is_file()] == []


def test_an_older_form_is_refused_with_what_to_do(module):
    compiled.check()
    os.utime(module)
    with pytest.raises(SystemExit, match=r"conversations/path.py has changed .* `make compile`"):
        compiled.check()


def test_clean_leaves_only_the_source(module):
    (module.parent / f"gone_from_the_list{compiled.SUFFIX}").write_bytes(b"")
    compiled.clean()
    assert list(module.parent.iterdir()) == [module]
    assert compiled.compiled() == []


def test_without_a_compiler_it_says_so_and_runs_interpreted(module, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    os.utime(module)
    compiled.build()
    assert "no C compiler" in capsys.readouterr().err
    assert compiled.compiled() == []
    assert "interpreted" in compiled.describe()
