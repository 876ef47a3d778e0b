"""A real browser, Debian's chromium driven by Playwright; tests that need one are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="NOT TESTED IN A BROWSER: install chromium (make browser)")


@contextmanager
def opened(path: Path, width: int = 1400, *, javascript: bool = True, colours: str = "light") -> Iterator[Page]:
    """Open an HTML file without a network; its console must stay empty, and no request may fail."""
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=javascript, color_scheme=colours, offline=True
        )
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url[:200]))
        page.goto(path.resolve().as_uri())
        yield page
        browser.close()
    assert not faults
