"""The issue's story as a person sees it: the phone page in a headless Chromium."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from tests.support.system import System

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = Path(__file__).parent.parent.parent / "build" / "pictures"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.outside,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def page(system: System) -> AsyncIterator[Page]:
    """A fresh browser on the phone page; console errors fail the test."""
    errors: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(system.phone_page + "/")
        yield page
        await browser.close()
    assert not errors


async def begin(page: Page, name: str, phone: str) -> None:
    if await page.locator("#first-name").is_hidden():
        await page.click("#new-contact")
    await page.fill("#first-name", name)
    await page.fill("#phone", phone)
    await page.click("#create")


async def text(page: Page, words: str) -> None:
    await page.fill("#message", words)
    await page.click("#send")


async def test_seller_story_and_its_correction_are_seen_with_every_verdict(page: Page) -> None:
    await begin(page, "Nora", "(206) 555-0177")
    await text(page, "I need to sell my house ASAP")
    bubbles = page.get_by_test_id("bubble")
    await expect(bubbles).to_have_count(2, timeout=20_000)
    await expect(page.get_by_test_id("owner")).to_contain_text("seller")
    await expect(page.get_by_test_id("handoff")).to_have_count(1)
    await expect(page.get_by_test_id("verdict")).to_have_count(8)
    await expect(bubbles.nth(1)).to_contain_text("help you sell")
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / "seller.png", full_page=True)

    await text(page, "sorry, I meant I want to buy")
    await expect(bubbles).to_have_count(4, timeout=20_000)
    await expect(page.get_by_test_id("owner")).to_contain_text("lead")
    await expect(page.get_by_test_id("handoff")).to_have_count(2)
    await expect(page.locator("[data-rule=cycle][data-outcome=OVERRIDDEN]")).to_have_count(1)
    await expect(bubbles.nth(3)).not_to_contain_text(re.compile("buy or sell|sell or buy", re.IGNORECASE))
    await expect(page.locator("[data-testid=turn][data-cache-tier=UPSTREAM]").first).to_be_visible()
    await page.screenshot(path=PICTURES / "correction.png", full_page=True)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.screenshot(path=PICTURES / "phone.png")


async def test_markup_in_a_text_stays_text(page: Page) -> None:
    await begin(page, "Omar", "(206) 555-0178")
    await text(page, "<img src=x onerror=alert(1)> hello")
    await expect(page.get_by_test_id("bubble").first).to_contain_text("<img src=x")
    assert await page.locator("[data-testid=bubble] img").count() == 0
