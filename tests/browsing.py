"""Somebody looks at the page: what they do, what they see, and what their browser says about it."""

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

expect.set_options(timeout=20_000)
LOADING = "Failed to load resource"
"""How Chromium logs an answer of 400 or more; such answers are what some tests are about."""


@contextmanager
def chromium():
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the pages are tested in Chromium, which is not here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def from_disk(browser, place, **options):
    """A page opened from a file: the page, what went wrong in it, and the schemes it asked for.

    What a page logs or a dialog it opens counts as wrong. The two lists grow while it is open.
    """
    page = browser.new_page(**options)
    page.set_default_timeout(20_000)
    wrong, asked = [], []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.goto(place.as_uri())
    return page, wrong, asked


def wait_for(page, expression, *, arg=None, seconds=20):
    """Ask a page until an expression of JavaScript is true there.

    `Page.wait_for_function` asks from inside the page, which a policy against `eval` forbids unless
    it is true at once.
    """
    for _ in range(20 * seconds):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def _is_form(request):
    return "multipart" in request.headers.get("content-type", "")


class Visit:
    """A browser window with the page in it.

    Args:
        browser: Playwright's.
        address: of the service.
        refused: whether answers of 400 or more are expected.
        options: of the browser context, as color_scheme and viewport.
    """

    def __init__(self, browser, address, *, refused=False, view="", **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked, self.strangers, self.errors = [], [], []
        self.open_requests = 0
        self.origin, self.refused = urlsplit(address).netloc, refused
        self.page.on("request", self._request)
        self.page.on("requestfinished", self._answered)
        self.page.on("requestfailed", self._answered)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        self.page.goto(f"{address}/{view}")

    def _answered(self, request):
        self.open_requests -= 1

    def _request(self, request):
        self.open_requests += 1
        parts = urlsplit(request.url)
        self.asked.append(parts.path + (" file" if _is_form(request) else ""))
        if parts.scheme not in ("data", "blob") and parts.netloc != self.origin:
            self.strangers.append(request.url)

    def _console(self, message):
        expected = self.refused and message.text.startswith(LOADING)
        if message.type in ("error", "warning") and not expected:
            self.errors.append(message.text)

    def close(self):
        """Close the window."""
        self.context.close()

    def ready(self):
        """Wait until the page knows its server."""
        expect(self.page.locator("#model")).to_contain_text("tiny")
        return self

    def label(self, *labels):
        """Type labels, each with Enter."""
        for label in labels:
            self.page.locator("#label").press_sequentially(label)
            self.page.keyboard.press("Enter")
        return self

    def open(self, file):
        """Choose a file: a path, or name and bytes."""
        if isinstance(file, tuple):
            name, content = file
            file = {"name": name, "mimeType": "video/mp4", "buffer": content}
        self.page.set_input_files("#file", file)
        return self

    def scores(self, first=None):
        """Labels and scores in their order on the page, once `first` leads and all is settled."""
        rows = self.page.locator("#scores:not(.stale) li")
        if first is not None:
            expect(rows.first.locator(".name")).to_have_text(first)
        else:
            expect(rows.first).to_be_visible()
        pairs = rows.evaluate_all(
            """rows => rows.map(
              (row) => [".name", ".value"].map((part) => row.querySelector(part).textContent))"""
        )
        return dict(pairs)

    def settled(self):
        """Wait until nothing has been on its way for a second: nothing will be drawn anew."""
        quiet = 0
        for _ in range(600):
            self.page.wait_for_timeout(100)
            quiet = 0 if self.open_requests else quiet + 1
            if quiet == 10:
                return self
        raise AssertionError(f"{self.open_requests} requests are still open: {self.asked}")

    def segments(self):
        """The segments of the timeline, once it is drawn."""
        expect(self.page.locator("#timeline:not(.stale) .segment").first).to_be_visible()
        return self.page.locator(".segment")

    def seconds(self):
        """Where the player is."""
        return self.page.evaluate("document.getElementById('film').currentTime")

    def plays_at(self, low, high=1e9):
        """Wait until the player is between two times."""
        inside = "([low, high]) => { const at = film.currentTime; return low < at && at < high; }"
        film = inside.replace("film", "document.getElementById('film')")
        wait_for(self.page, film, arg=[low, high])
        return self

    def table(self):
        """The table of segments: start, end, label, score."""
        return self.page.locator("#segments tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )

    def count(self, path):
        """How many requests of this path were made; `/timeline file` is one that sends the file."""
        return self.asked.count(path)

    def until(self, path, count):
        """Wait for so many requests of a path."""
        for _ in range(200):
            if self.count(path) >= count:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(self.asked)
