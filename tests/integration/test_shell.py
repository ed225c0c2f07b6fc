import json
import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from conversations import shell
from conversations.models import User

pytestmark = pytest.mark.django_db


def test_the_worker_keeps_the_offline_page_and_all_that_it_loads():
    program = Client().get("/worker.js").content.decode()
    kept = json.loads(re.search(r"const SHELL = (.*);", program).group(1))
    page = Client().get("/offline/").content.decode()
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css|svg))"', page))
    assert kept[0] == "/offline/"
    assert set(kept[1:]) == loaded
    assert "import " not in (shell._static_file("tether/page/offline.js").read_text())


def test_the_worker_has_another_version_as_soon_as_what_it_keeps_is_another(monkeypatch, tmp_path):
    before = shell._version()
    other = tmp_path / "tether.css"
    other.write_text("body { color: red }")
    find = finders.find
    monkeypatch.setattr(finders, "find", lambda name: str(other) if name == "tether/tether.css" else find(name))
    shell._version.cache_clear()
    assert shell._version() != before
    shell._version.cache_clear()


def test_the_offline_page_is_the_same_for_everybody():
    signed_in = Client()
    signed_in.force_login(User.objects.create_user("ada"))
    pages = [client.get("/offline/").content for client in (Client(), signed_in)]
    assert pages[0] == pages[1]
    assert b"csrf" not in pages[0]


def test_the_manifest_names_icons_that_exist():
    manifest = json.loads(Client().get("/manifest.webmanifest").content)
    assert {icon["sizes"] for icon in manifest["icons"]} == {"any", "192x192", "512x512"}
    assert all(finders.find(icon["src"].removeprefix("/static/")) for icon in manifest["icons"])


def test_the_page_names_its_modules_in_its_head():
    browser = Client()
    browser.force_login(User.objects.create_user("ada"))
    page = browser.get("/").content.decode()
    named = set(re.findall(r'rel="modulepreload" href="/static/(tether/[^"]+)"', page))
    folder = shell._static_file("tether/client.js").parent
    modules = {f"tether/{path.relative_to(folder)}" for path in folder.rglob("*.js")}
    assert named < modules  # only some are asked for by the first one
    assert named >= {"tether/client.js", "tether/protocol.js", "tether/page/dom.js"}
    assert named.isdisjoint({"tether/page/main.js", "tether/page/offline.js", "tether/worker.js"})
