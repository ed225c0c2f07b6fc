"""A cluster of two nodes behind nginx, a real Chromium, and windows that must not complain."""

import json
import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from chatproject.demo.processes import Cluster, Installation
from chatproject.services.process import free_port

from .window import PATIENCE_MS, Window

# Wherever a test looks, it looks as long as this: the machine has other things to do, too.
expect.set_options(timeout=PATIENCE_MS)
PASSWORD = "correct-horse-battery"
ENV = {
    "RATE_LIMIT_MESSAGES": "off",
    "RATE_LIMIT_COMMANDS": "off",
    "SCRIPTED_DELAY_MS": "40",
    "LEASE_SECONDS": "3",
    "CHAT_MODELS": "local",  # a second one to choose; nobody asks it
    "LOG_LEVEL": "WARNING",
    "SIGNUP_OPEN": "true",
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("browser"), **ENV)
    running = Cluster(installation, nodes=2, port=free_port())
    running.installation = installation
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def chromium():
    # Playwright's own one where the machine has none.
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def people(cluster):
    program = Path(__file__).with_name("make_people.py").read_text()
    told = cluster.installation.run("shell", "--no-imports", "-c", program)
    return iter(json.loads(told.splitlines()[-1]))


@pytest.fixture(scope="session")
def operator(cluster):
    """The session key of an operator who may do everything."""
    program = Path(__file__).with_name("make_operator.py").read_text()
    return cluster.installation.run("shell", "--no-imports", "-c", program).split()[-1]


class Browsers:
    """The browsers of one user, who is nobody else's: each call opens a window in a browser of its own."""

    def __init__(self, cluster, chromium, username, sessions):
        self.cluster, self.chromium = cluster, chromium
        self.username, self.sessions = username, list(sessions)
        self.contexts, self.windows = [], []

    def __call__(self, path="/"):
        return self.window(self.signed_in()).visit(path)

    def signed_in(self, **options):
        """Return a browser in which the user is signed in, no window open yet."""
        context = self.context(**options)
        cookie = {"name": "sessionid", "value": self.sessions.pop(), "url": self.cluster.address}
        context.add_cookies([cookie])
        return context

    def context(self, **options):
        self.contexts.append(self.chromium.new_context(**{"locale": "en-US"} | options))
        return self.contexts[-1]

    def window(self, context):
        """Return a further window of a browser, nothing loaded yet."""
        self.windows.append(Window(context.new_page(), self.cluster.address))
        return self.windows[-1]

    def close(self):
        for context in self.contexts:
            context.close()
        assert [complaint for window in self.windows for complaint in window.complaints] == []


@pytest.fixture
def browsers(cluster, chromium, people):
    opened = Browsers(cluster, chromium, *next(people))
    yield opened
    opened.close()


@pytest.fixture
def both(browsers):
    """Two browsers of one user in the same new conversation."""
    first = browsers()
    return first, browsers(first.begin())
