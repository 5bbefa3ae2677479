"""The page of `--report-html` in a real browser: it asks nobody for anything, runs nothing, and is complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.parts import Project

_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--enable-logging=stderr"]  # fmt: skip
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@dataclass
class Browser:
    """Debian's Chromium, and a server that serves one page and remembers who asked for what."""

    program: str
    profile: Path
    page: bytes = b""
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def show(self, page: str) -> tuple[str, list[str]]:
        """The document as the browser has it, and what its console says."""
        self.page, self.asked = page.encode(), []
        options = [*_FLAGS, f"--user-data-dir={self.profile}", "--dump-dom", f"{self.address}/page.html"]
        done = subprocess.run([self.program, *options], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("There is no chromium on this machine, so no browser has looked at the page: install chromium.")
    found = Browser(program, tmp_path / "profile")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(found.page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def spiteful(project: Project, address: str, base: str) -> Path:
    """The page of a plan of a project that would like to be asked for things."""
    run = f"RUN echo '<img src={address}/image><script src={address}/script></script></style></code>'"
    project.write(f"FROM {base}\n{run}\n")
    page = project.scratch / "page.html"
    project.plan("--report-html", str(page))
    return page


@pytest.mark.registry
@pytest.mark.slow
def test_a_browser_shows_it_and_asks_for_nothing(layout: Project, base_image: str, browser: Browser) -> None:
    page = spiteful(layout, browser.address, base_image).read_text()
    shown, console = browser.show(page)
    assert browser.asked == ["/page.html"] and console == []
    assert "<script" not in shown and "<img" not in shown and "&lt;script src=" in shown
    assert shown.rstrip().endswith("</html>") and "<h1>📋 <code>app</code> would be built.</h1>" in shown


@pytest.mark.registry
@pytest.mark.slow
def test_its_policy_holds_where_escaping_would_not(layout: Project, base_image: str, browser: Browser) -> None:
    page = spiteful(layout, browser.address, base_image).read_text()
    leak = page + f"<img src={browser.address}/image><script>console.error('ran')</script><p style='color:red'>"
    _, console = browser.show(leak)
    assert browser.asked == ["/page.html"]
    assert len(console) == 3 and not [line for line in console if '"ran"' in line]
    # The same without its policy: what this test looks at is there to be seen.
    _, console = browser.show(_POLICY.sub("", leak, count=1))
    assert "/image" in browser.asked and [line for line in console if '"ran"' in line]


@pytest.mark.engine
def test_a_build_and_its_failure_have_a_page(layout: Project, base_image: str, mark: str) -> None:
    page = layout.scratch / "page.html"
    layout.write(f"FROM {base_image}\nCOPY mark /\n", {"mark": mark})
    built = layout.build("--report-html", str(page))
    text = page.read_text()
    assert "<h1>✅ Built <code>app</code>.</h1>" in text and built.report["images"][0]["image"] in text
    layout.write(f"FROM {base_image}\nCOPY mark /\nRUN echo '<b>bold</b>'; exit 3\n")
    layout.build("--report-html", str(page), code=1)
    text = page.read_text()
    assert "<pre>\n&lt;b&gt;bold&lt;/b&gt;</pre>" in text and "ended with status 3" in text


def test_a_run_that_fails_at_once_leaves_its_error(layout: Project) -> None:
    page = layout.scratch / "page.html"
    layout.write("FROM scratch\nRNU <x>\n")
    layout.plan(env={"LINEAL_REPORT_HTML": str(page)}, code=3)
    assert "<h1>❌ <code>lineal plan</code> failed.</h1>" in page.read_text() and "RNU" in page.read_text()
    failed = layout.plan("--report-html", str(layout.scratch / "none/page.html"), code=3)
    assert failed.error.startswith("There is no directory for the page")
