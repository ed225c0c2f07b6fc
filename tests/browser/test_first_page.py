"""What the first page costs: bytes over the wire, time until one can write, how much moves, and who is asked."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .conftest import Browsers

pytestmark = pytest.mark.timeout(180)
MOST_BYTES = 100 * 1024
MOST_MS = 1000
MOST_SHIFT = 0.1
PAINTED = 'data-key="m'
# Runs before the page's own modules: when can one write on a live connection, and how far have things moved?
WATCH = """
window.moved = 0;
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.moved += shift.value;
}).observe({ type: "layout-shift", buffered: true });
const look = () => {
  const field = document.querySelector("#say");
  const live = document.querySelector("#state[data-state=live]");
  if (live && field?.checkVisibility() && !field.disabled) document.documentElement.dataset.usable = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
CONNECT = """(address) => new Promise((resolve) => {
  const heard = [];
  const socket = new WebSocket(address);
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", device_id: "foreign", open: {} }));
  socket.onmessage = ({ data }) => heard.push(...[JSON.parse(data)].flat());
  socket.onclose = ({ code }) => resolve([code, heard.map(({ type }) => type)]);
})"""


@pytest.fixture(scope="module")
def visited(cluster, chromium, people):
    """A conversation with a past, in a browser that comes for the first time; and all that it asks for."""
    browsers = Browsers(cluster, chromium, *next(people))
    writer = browsers()
    path = writer.begin()
    for count, line in enumerate(("What stands here has been said before, " * 5, "and this, too"), start=1):
        writer.say(line)
        writer.wait_for_lines(2 * count)
    # A past is what the archive has. What is newer comes over the socket, and brings the renderer of answers along.
    address = cluster.address + path
    cluster.program.wait_for(lambda: writer.page.request.get(address).text().count(PAINTED) == 4, 20, "the archive")
    window = browsers.window(browsers.signed_in())
    window.asked = []
    window.page.context.on("requestfinished", lambda request: window.asked.append(request))
    window.page.add_init_script(WATCH)
    window.visit(path)
    window.wait_for_lines(4)
    window.page.wait_for_load_state("networkidle")
    yield window
    browsers.close()


@pytest.fixture
def foreign_page(visited):
    """The address of a server that is not ours, in the form that the test asks for."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = visited.page.context.new_page()  # with the cookies of whoever is signed in
    yield lambda host: page.goto(f"http://{host}:{server.server_port}/") and page
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()


def bytes_of(request):
    sizes = request.sizes()  # as they came over the wire
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def test_the_first_page_is_small_and_asks_nobody_else(visited, cluster):
    sizes = [(bytes_of(request), request.url) for request in visited.asked]
    total = sum(size for size, _ in sizes)
    print(f"first page: {total / 1024:.1f} KiB in {len(sizes)} requests")
    assert 0 < total <= MOST_BYTES, sorted(sizes)
    assert {urlsplit(url).netloc for _, url in sizes} == {urlsplit(cluster.address).netloc}


def test_one_can_write_within_a_second_and_nothing_jumps(visited):
    times, page = [], visited.page
    for _ in range(3):
        page.reload()
        expect(page.locator("html[data-usable]")).to_have_count(1)
        times.append(float(page.locator("html").get_attribute("data-usable")))
    print(f"writable after {[round(time) for time in times]} ms, moved {page.evaluate('moved'):.4f}")
    assert min(times) <= MOST_MS
    assert page.evaluate("moved") < MOST_SHIFT
    page.evaluate("document.querySelector('.pane').style.paddingTop = '300px'")  # a jump is noticed
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 100)))")
    assert page.evaluate("moved") > MOST_SHIFT


# The same site under another port brings the cookie along, another site does not; neither hears more than no.
@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", 4403), ("localhost", 4401)])
def test_a_foreign_page_cannot_connect_with_the_users_login(visited, foreign_page, cluster, host, code):
    told = foreign_page(host).evaluate(CONNECT, cluster.address.replace("http", "ws") + "/ws/")
    assert told == [code, ["bye"]]
    expect(visited.page.locator("#state")).to_have_attribute("data-state", "live")
