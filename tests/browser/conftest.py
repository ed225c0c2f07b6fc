"""A cluster of two nodes behind nginx, a real Chromium, and windows that must not complain."""

import os
import shutil
from uuid import uuid4

import pytest
from playwright.sync_api import sync_playwright

from chatproject.demo.processes import Cluster, Installation
from chatproject.services.process import free_port

from .window import Window

PASSWORD = "correct-horse-battery"
ENV = {
    "RATE_LIMIT_MESSAGES": "off",
    "RATE_LIMIT_COMMANDS": "off",
    "SCRIPTED_DELAY_MS": "40",
    "LEASE_SECONDS": "3",
    "LOG_LEVEL": "WARNING",
}
MAKE_USER = "from conversations.models import User; User.objects.create_user({name!r}, password={password!r})"


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


@pytest.fixture
def user(cluster):
    """A new user for each test, so that none sees another's conversations."""
    name = f"ada-{uuid4().hex[:8]}"
    program = MAKE_USER.format(name=name, password=PASSWORD)
    cluster.installation.run("shell", "--no-imports", "-c", program)
    return name


@pytest.fixture
def browsers(cluster, chromium, user):
    """Make windows: each of a browser of its own, or a further one of a browser that is given."""
    contexts, windows = [], []

    def open_window(context=None, **options):
        is_new = context is None
        if is_new:
            context = chromium.new_context(locale="en-US", **options)
            contexts.append(context)
        window = Window(context.new_page(), cluster.address)
        windows.append(window)
        if is_new:
            window.sign_in(user, PASSWORD)
        return window

    yield open_window
    for context in contexts:
        context.close()
    assert [complaint for window in windows for complaint in window.complaints] == []


@pytest.fixture
def both(browsers):
    """Two browsers of one user in the same new conversation."""
    first, second = browsers(), browsers()
    second.visit(first.begin())
    return first, second
