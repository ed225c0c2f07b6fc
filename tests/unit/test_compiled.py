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
    """One module in a folder of its own, with a library beside it that was made from it."""
    source = tmp_path / "conversations" / "path.py"
    source.parent.mkdir()
    source.write_text("now = 1")
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "MODULES", ["conversations/path.py"])
    monkeypatch.setattr(compiled, "_compile", pretend_to_compile)
    compiled.build()
    return source


def pretend_to_compile():
    for name in compiled.MODULES:
        (compiled.ROOT / name).with_suffix(compiled.SUFFIX).write_bytes(b"")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: the modules run interpreted")
def test_with_a_compiler_the_tests_run_what_is_compiled():
    assert compiled.compiled() == sorted(compiled.MODULES)
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
    module.write_text("now = 2")
    with pytest.raises(SystemExit, match=r"conversations/path.py has changed .* `make compile`"):
        compiled.check()


def test_a_file_that_changed_is_noticed_whatever_its_time_says(module):
    os.utime(module)
    compiled.check()
    module.write_text("now = 2")
    os.utime(module, (1000, 1000))  # as a deployment may leave it
    assert compiled.stale() == ["conversations/path.py"]


def test_a_module_that_left_the_list_does_not_run_compiled_any_more(module, monkeypatch):
    monkeypatch.setattr(compiled, "MODULES", [])
    assert compiled.stale() == ["conversations/path.py"]
    compiled.build()
    assert list(module.parent.iterdir()) == [module]


def test_a_build_that_was_cut_off_is_made_again(module):
    compiled._record().unlink()
    assert compiled.stale() == ["conversations/path.py"]
    compiled.build()
    assert compiled.stale() == []


def test_clean_leaves_only_the_source(module):
    (module.parent / f"gone_from_the_list{compiled.SUFFIX}").write_bytes(b"")
    compiled.clean()
    assert list(module.parent.iterdir()) == [module]
    assert compiled.compiled() == []


def test_without_a_compiler_it_says_so_and_runs_interpreted(module, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    module.write_text("now = 2")
    compiled.build()
    assert "no C compiler" in capsys.readouterr().err
    assert compiled.compiled() == []
    assert "interpreted" in compiled.describe()
