"""The issue's story as a person sees it: the phone page in a headless Chromium."""

import contextlib
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

# A page on a busy machine; what must come is waited for.
expect.set_options(timeout=20_000)
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.outside,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@contextlib.asynccontextmanager
async def opened(system: System) -> AsyncIterator[Page]:
    """A fresh browser on the phone page; errors on its console fail the test."""
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


@pytest_asyncio.fixture(loop_scope="session")
async def page(system: System) -> AsyncIterator[Page]:
    """The page of the running system."""
    async with opened(system) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session", params=["stand-in", "no model"])
async def either_page(
    request: pytest.FixtureRequest, system: System, system_without_model: System
) -> AsyncIterator[Page]:
    """The page of the system with the stand-in for Claude, and of the one without any model."""
    async with opened(system if request.param == "stand-in" else system_without_model) as page:
        yield page


async def begin(page: Page, name: str, phone: str) -> None:
    if await page.locator("#first-name").is_hidden():
        await page.click("#new-contact")
    await page.fill("#first-name", name)
    await page.fill("#phone", phone)
    await page.click("#create")
    # Until then the page shows, and would text as, whoever it showed before.
    await expect(page.locator("#person-name")).to_have_text(name)


async def text(page: Page, words: str) -> None:
    await page.fill("#message", words)
    await page.click("#send")


async def test_seller_story_and_its_correction_are_seen_with_every_verdict(page: Page) -> None:
    await begin(page, "Nora", "(206) 555-0177")
    await text(page, "I need to sell my house ASAP")
    bubbles = page.get_by_test_id("bubble")
    await expect(bubbles).to_have_count(2)
    await expect(page.get_by_test_id("owner")).to_contain_text("seller")
    await expect(page.get_by_test_id("handoff")).to_have_count(1)
    await expect(page.get_by_test_id("verdict")).to_have_count(8)
    await expect(bubbles.nth(1)).to_contain_text("help you sell")
    await picture(page, "handoff")

    await text(page, "sorry, I meant I want to buy")
    await expect(bubbles).to_have_count(4)
    await expect(page.get_by_test_id("owner")).to_contain_text("lead")
    await expect(page.get_by_test_id("handoff")).to_have_count(2)
    await expect(page.locator("[data-rule=cycle][data-outcome=OVERRIDDEN]")).to_have_count(1)
    await expect(bubbles.nth(3)).not_to_contain_text(re.compile("buy or sell|sell or buy", re.IGNORECASE))
    # By Claude, a tier or the student: which of them knew these words already is up to whom they were said to before.
    by_a_model = ", ".join(f"[data-cache-tier={tier}]" for tier in ("UPSTREAM", "STUDENT", "L1", "L2", "L3"))
    await expect(page.get_by_test_id("turn").locator(f":scope:is({by_a_model})").first).to_be_visible()
    await picture(page, "correction")
    await page.set_viewport_size({"width": 390, "height": 844})
    await picture(page, "phone")


async def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


async def test_buyer_gets_three_real_matches_an_answer_from_the_record_and_a_plain_word_on_tours(
    either_page: Page,
) -> None:
    page = either_page
    bubbles = page.get_by_test_id("bubble")
    await begin(page, "Bo", "(206) 555-0181")
    await text(page, "I want to buy a house in Ballard, 3 bedrooms, up to 650k")
    await expect(bubbles).to_have_count(2)
    proposals = bubbles.nth(1)
    await expect(proposals).to_contain_text(re.compile(r"1\) KC-98\d{3}-\d+.*2\) KC-.*3\) KC-", re.DOTALL))
    await expect(proposals).to_contain_text("Sample data as of May 2015")
    await text(page, "does the second one have a view?")
    await expect(bubbles).to_have_count(4)
    await expect(bubbles.nth(3)).to_contain_text(re.compile("the record", re.IGNORECASE))
    await text(page, "can I see it?")
    await expect(bubbles).to_have_count(6)
    await expect(bubbles.nth(5)).to_contain_text("written buyer agreement")
    await expect(bubbles.nth(5)).to_contain_text("I have booked nothing")
    await expect(page.get_by_test_id("owner")).to_contain_text("buyer")
    await picture(page, "buyer-story")


async def test_seller_gets_an_estimate_as_of_its_date_and_the_wish_to_buy_is_kept(either_page: Page) -> None:
    page = either_page
    bubbles = page.get_by_test_id("bubble")
    await begin(page, "Sal", "(206) 555-0182")
    await text(page, "thinking about selling my place in Ballard and buying something bigger")
    await expect(bubbles).to_have_count(2)
    await expect(bubbles.nth(1)).not_to_contain_text(re.compile("which neighborhood", re.IGNORECASE))
    await text(page, "about 1800 sqft, 3 bed 2 bath, good condition")
    await expect(bubbles).to_have_count(4)
    await expect(bubbles.nth(3)).to_contain_text(re.compile(r"\$\d{3},\d{3}"))
    await expect(bubbles.nth(3)).to_contain_text("May 2015")
    await expect(bubbles.nth(3)).to_contain_text("not an appraisal")
    await expect(page.get_by_test_id("owner")).to_contain_text("seller")
    facts = page.get_by_test_id("fact")
    await expect(facts.filter(has_text="buying plan")).to_have_count(1)
    await expect(facts.filter(has_text="bathrooms").locator(".value")).to_have_text("2")
    await expect(facts.filter(has_text="area sqft")).to_have_count(0)
    await expect(facts.filter(has_text="1800 sqft").locator(".value")).to_have_text("1,800 sq ft")
    await picture(page, "seller-story")


async def test_markup_in_a_text_stays_text(page: Page) -> None:
    await begin(page, "Omar", "(206) 555-0178")
    await text(page, "<img src=x onerror=alert(1)> hello")
    await expect(page.get_by_test_id("bubble").first).to_contain_text("<img src=x")
    assert await page.locator("[data-testid=bubble] img").count() == 0


async def test_takeover_is_shown_as_a_decision_of_people_and_not_of_rules(page: Page) -> None:
    await begin(page, "Tess", "(206) 555-0133")
    await text(page, "I want to sell my house")
    await expect(page.get_by_test_id("bubble")).to_have_count(2)
    await page.locator("#agent-message").fill("Hi, this is Dana.")
    await page.locator("#agent-send").click()
    card = page.get_by_test_id("handoff").filter(has_text="seller → human")
    await expect(card).to_contain_text("A person of the brokerage decided")
    await expect(card).not_to_contain_text("confidence")
    await expect(card.locator("table")).to_have_count(0)
    await picture(page, "takeover")
