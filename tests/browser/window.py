"""One window of a user, in words of the page: what it says, shows and does."""

import re

from playwright.sync_api import Page, expect

# What Chromium itself writes when a server or a network is gone, which the tests bring about.
NETWORK = re.compile(r"WebSocket connection to|net::ERR_|Failed to load resource|Error during WebSocket handshake")
PATIENCE_MS = 20_000
# What the page's policy forbids is a complaint, wherever in the page it was tried.
POLICY = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


class Window:
    def __init__(self, page: Page, address: str):
        self.page, self.address = page, address
        self.complaints = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.add_init_script(POLICY)

    def _heard(self, message):
        if message.type in ("error", "warning") and not NETWORK.search(message.text):
            self.complaints.append(message.text)

    def sign_in(self, username, password):
        self.page.goto(self.address + "/login/")
        self.page.fill("[name=login]", username)
        self.page.fill("[name=password]", password)
        self.page.click("form.stack button.primary")

    def sign_out(self):
        self.page.click("#sign-out button")
        self.page.wait_for_url("**/login/")

    def wait_for_state(self, state):
        expect(self.page.locator("#state")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)

    def wait_until_signed_out(self):
        """Until nothing of the user's is left to be read, and one thing to press."""
        expect(self.page.locator("main.card h1")).to_have_text("You are signed out", timeout=PATIENCE_MS)
        expect(self.page.locator("#lines, #items, #say, #start, .user, .sheet")).to_have_count(0)
        expect(self.page.get_by_role("link")).to_have_text(["Sign in"])

    def begin(self):
        """Be in a conversation in which nothing was said or written yet, and return its path."""
        expect(self.page.locator("#loading")).to_be_hidden(timeout=PATIENCE_MS)
        self.page.locator("[data-new]:visible").first.click()
        expect(self.page.locator("#title")).to_have_text(re.compile("^(New conversation|新会话)$"), timeout=PATIENCE_MS)
        expect(self.page.locator("#nothing-said")).to_be_visible(timeout=PATIENCE_MS)
        expect(self.page.locator("#say")).to_have_value("")
        return self.page.url.removeprefix(self.address)

    def leave(self):
        """Be at the list, in no conversation."""
        self.page.locator("[data-home-link]:visible").first.click()
        expect(self.page.locator("#welcome")).to_be_visible()

    def visit(self, path):
        self.page.goto(self.address + path)
        self.wait_for_state("live")
        return self

    def say(self, text):
        self.page.fill("#say", text)
        self.page.press("#say", "Enter")

    def choose(self, action):
        self.page.click("#menu-button")
        self.page.click(f"[data-action={action}]")

    def confirm(self, text=None):
        if text is not None:
            self.page.fill("#ask-value:visible, #ask-long:visible", text)
        self.page.click("#ask-ok")

    def lines(self):
        """What was said, in order, as (role, text)."""
        read = "all => all.map(line => [line.dataset.role, line.querySelector('.text').textContent])"
        return [tuple(line) for line in self.page.locator("#lines .message").evaluate_all(read)]

    def wait_for_lines(self, count, seconds=20):
        expect(self.page.locator("#lines .message")).to_have_count(count, timeout=seconds * 1000)
        return self.lines()

    def writing(self):
        return self.page.locator("#writing .fresh")

    def wait_for_writing(self, text):
        expect(self.writing()).to_contain_text(text, timeout=PATIENCE_MS)

    def scroll_to(self, top):
        """Scroll there and return, before anything else can happen, where the first message then stands."""
        first = "thread.querySelector('.message').getBoundingClientRect().top"
        move = f"(thread, top) => {{ thread.scrollTop = top; return {first} }}"
        return self.page.locator("#thread").evaluate(move, top)

    def top_of(self, text):
        """How far below the top of the window this message stands, in pixels."""
        return self.page.locator("#lines .message", has_text=text).bounding_box()["y"]

    def detail(self, name):
        return self.page.locator(f"[data-detail={name}]").text_content()

    def item(self, text):
        """The conversation in the list that has this text."""
        return self.page.locator("#items .item", has_text=text)

    def item_verb(self, item, verb):
        item.hover()
        item.locator(".more").click()
        self.page.click(f"#item-menu [data-verb={verb}]")

    def titles(self):
        return self.page.locator("#items .title").all_text_contents()
