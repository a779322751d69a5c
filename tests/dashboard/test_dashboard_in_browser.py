"""Every page in a real browser, as each role: nothing breaks, nothing is asked of another machine, a stranger's page gets no socket."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager

import httpx
import pytest
from demo_service import ROLES
from running_service import real_service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
PAGES = {
    "": "Home", "experiment": "Experiment", "interactions": "Interactions", "models": "Models", "plan": "Create and plan",
    "incrementality": "Incrementality", "rollouts": "Rollouts", "bandits": "Bandits", "catalog": "Catalog and decisions", "admin": "Admin",
}  # fmt: skip
FILLED = "n => document.querySelector('[data-testid=stMain]').innerText.length >= n"
QUIET = "!document.querySelector('[data-testid=stSpinner]') && !document.querySelector('[data-testid=stStatusWidget]')"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("dashboard"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A browser's page, with what it asked for and complained of."""

    def __init__(self, page, address: str) -> None:
        self.page, self.address = page, address
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}/dashboard/{path}")
        self.page.wait_for_selector("h1", timeout=60_000)

    def settle(self) -> str:
        """Wait until nothing is drawn any more; what the page says."""
        self.page.wait_for_timeout(150)
        self.page.wait_for_function(QUIET, timeout=60_000)
        assert self.page.locator("[data-testid=stException]").count() == 0, self.page.inner_text("body")
        return self.page.inner_text("[data-testid=stMain]")

    def field(self, label: str):
        return self.page.locator(f'input[aria-label="{label}"]')

    def sign_in(self, token: str) -> None:
        self.open("")
        self.field("API key or token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Home").wait_for(timeout=60_000)

    def go(self, title: str) -> str:
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
        self.page.locator("h1", has_text=re.compile(f"^{title}$")).wait_for(timeout=60_000)
        self.page.wait_for_function(FILLED, arg=len(title) + 20, timeout=60_000)
        return self.settle()

    def outside(self) -> list[str]:
        return [url for url in self.asked if not url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:"))]


@contextmanager
def visit(chromium, address, **options):
    context = chromium.new_context(**options)
    try:
        yield Visit(context.new_page(), address)
    finally:
        context.close()


@pytest.mark.parametrize("role", ROLES)
def test_every_page_is_drawn_for_each_role(chromium, demo, role):
    """Zero outside requests, no console error; what a role may not do is dead."""
    with visit(chromium, demo.address) as seen:
        seen.sign_in(demo.tokens[role])
        for title in PAGES.values():
            assert title in seen.go(title)
        seen.go("Incrementality")
        stop = seen.page.get_by_role("button", name="Duplicate", exact=True)
        assert stop.is_disabled() == (role in {"VIEWER", "ANALYST"})
        assert seen.outside() == []
        assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_link_into_a_page_works_on_a_phone_and_in_the_dark(chromium, demo, scheme):
    """Deep link; nothing is wider than the phone; the colours are the browser's choice."""
    number = demo.number_of("demo-back-in-stock")
    with visit(chromium, demo.address, color_scheme=scheme, viewport={"width": 390, "height": 800}) as seen:
        seen.open(f"incrementality?experiment_id={number}")
        seen.field("API key or token").fill(demo.tokens["VIEWER"])
        seen.page.get_by_role("button", name="Sign in").click()
        seen.page.get_by_role("heading", name="Push: back in stock").wait_for(timeout=60_000)
        found = demo.get(f"/experiments/{number}/results")
        told = f"{found['treatment']['conversions']:,} of {found['treatment']['n']:,}"
        seen.page.get_by_text(told, exact=True).wait_for(timeout=60_000)
        seen.settle()
        seen.page.locator("canvas, svg.marks").nth(1).wait_for(timeout=60_000)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = seen.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert (sum(int(part) for part in re.findall(r"\d+", ground)[:3]) < 150) == (scheme == "dark")
        assert seen.outside() == []
        assert seen.errors == []


def test_the_keyboard_reaches_the_pages_and_the_controls(chromium, demo):
    with visit(chromium, demo.address) as seen:
        seen.open("")
        seen.field("API key or token").focus()
        seen.page.keyboard.type(demo.tokens["ANALYST"])
        seen.page.keyboard.press("Enter")
        seen.page.get_by_role("heading", name="Home").wait_for(timeout=60_000)
        seen.settle()
        seen.page.evaluate("document.body.focus()")
        reached: list[str] = []
        for _ in range(40):
            seen.page.keyboard.press("Tab")
            reached.append(seen.page.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()"))
        assert {"Experiment", "Incrementality"} <= set(reached)


def test_controls_run_in_the_browser(chromium, demo):
    """The calculator, a tab, a slider of the lab: what a person touches draws the page anew."""
    with visit(chromium, demo.address) as seen:
        seen.sign_in(demo.tokens["ADMIN"])
        seen.go("Create and plan")
        field = seen.field("Baseline rate, %")
        field.fill("10")
        field.press("Enter")
        asked = {"baseline_rate": 0.1, "mde": 0.01, "alpha": 0.05, "power": 0.8, "treatment_rate": 0.8}
        total = demo.call("POST", "/experiments/power-analysis", asked)["total_sample_size"]
        seen.page.get_by_text(f"{total:,}", exact=True).wait_for(timeout=30_000)
        seen.go("Experiment")
        for tab in ("Over time", "Checks", "Spec", "Audit", "Verdict"):
            seen.page.get_by_role("tab", name=tab).click()
            seen.settle()
        seen.go("Rollouts")
        slider = seen.page.get_by_role("slider", name="Days of the plan")
        slider.focus()
        slider.press("ArrowRight")
        seen.page.get_by_text("15 days, seed 7").wait_for(timeout=60_000)
        assert seen.outside() == []
        assert seen.errors == []


def test_a_foreign_page_gets_neither_page_nor_socket(tmp_path):
    """Without authentication a page of another site could speak through the browser: Host and Origin tell."""
    with real_service(tmp_path, f"sqlite:///{tmp_path}/local.db", "--auth", "off") as (address, _, _):
        assert httpx.get(f"{address}/", follow_redirects=False).headers["location"] == "/dashboard/"
        page = httpx.get(f"{address}/dashboard/")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert httpx.get(f"{address}/dashboard/", headers={"Origin": "https://evil.example"}).status_code == 403
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        for foreign in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            refused = httpx.get(f"{address}/dashboard/_stcore/stream", headers={**upgrade, **foreign})
            assert refused.status_code == 403
