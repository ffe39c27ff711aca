"""The page as people use it, in a real browser: one service and one browser for all tests."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from edgewise.serving.app import ServeSettings, create_app
from edgewise.serving.keys import new_key
from edgewise.serving.model import Served, Taste
from edgewise.serving.schemas import Reason

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VIEWS = ("recommend", "compare", "similar", "map", "operations")
USER = "u0007"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@dataclass(eq=False)
class Visit:
    """A page of the browser, and all that went wrong in it."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _see(self, request: Any) -> None:
        if not request.url.startswith(self.base):
            self.wrong.append(f"asked {request.url}")

    def open(self, address: str) -> Page:
        """A view, when all of it is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/#/{address}")
        self.settle()
        return self.page

    def settle(self) -> None:
        self.page.wait_for_selector("main:not([aria-busy]) .view")
        self.page.wait_for_function(
            "() => !document.querySelector('.waiting, .coming, [aria-busy]')"
        )
        self.page.evaluate("Promise.all(document.getAnimations().map(each => each.finished))")

    def titles(self, place: str = ".listing") -> list[str]:
        return self.page.locator(f"{place} .card h3 a.title").all_inner_texts()


class Server:
    """A service at a free port, in a thread."""

    def __init__(self, **settings: Any) -> None:
        import uvicorn

        app = create_app(ServeSettings(**settings))
        told = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(told)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        for _ in range(3000):
            if self._server.started:
                port = self._server.servers[0].sockets[0].getsockname()[1]
                return f"http://127.0.0.1:{port}"
            time.sleep(0.02)
        raise AssertionError("the service does not start")

    def __exit__(self, *failure: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tool:
        found = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def parts() -> Iterator[None]:
    """Scores have two parts, as those of methods that take a minute to fit; one speaks against."""
    told = Served.reasons
    more = Reason(name="trend", share=-0.2, text="it is taken less these days")

    def reasons(served: Served, taste: Taste, items: Any) -> list[list[Reason]]:
        found = told(served, taste, items)
        return [[row[0].model_copy(update={"share": 0.8}), more] for row in found]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Served, "reasons", reasons)
        yield


@pytest.fixture(scope="module")
def base(
    parts: None, ease_run: Path, knn_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    store = tmp_path_factory.mktemp("page") / "store.db"
    runs = (str(ease_run), str(knn_run))
    with Server(runs=runs, store=str(store), deadline_ms=60_000) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, base: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A new page; ``indirect`` parameters are those of the browser's context."""
    told = {"viewport": {"width": 1280, "height": 900}, **getattr(request, "param", {})}
    context = browser.new_context(**told)
    context.set_default_timeout(60_000)
    found = Visit(context.new_page(), base)
    yield found
    context.close()
    assert found.wrong == []


def ask(base: str, route: str, **body: Any) -> Any:
    return httpx.post(f"{base}{route}", json=body).json()


def listed(base: str, **body: Any) -> list[str]:
    return [item["title"] for item in ask(base, "/v1/recommend", **body)["items"]]


# Recommend


def test_feedback_is_written_down_and_changes_the_next_list(visit: Visit, base: str) -> None:
    page = visit.open(f"recommend?user={USER}")
    before = visit.titles()
    assert before == listed(base, user_id=USER, k=12)
    had = page.locator(".having .card").count()

    page.get_by_role("button", name=f"Like: {before[1]}").click()
    page.wait_for_function("() => document.querySelector('.changed:not([hidden])')")
    visit.settle()
    after = visit.titles()
    assert after == listed(base, user_id=USER, k=12)
    assert before[1] not in after
    assert page.locator(".having .card").count() == had + 1
    assert page.locator(".having .card a").first.inner_text() == before[1]

    # What is new or moved is marked, and nothing else is.
    marks = {
        card.locator("h3 a").inner_text(): card.locator(".mark > span.hidden, .mark.fresh")
        for card in page.locator(".listing .card").all()
    }
    for place, title in enumerate(after):
        told = marks[title].all_inner_texts()
        if title not in before:
            assert told == ["new"]
        else:
            moved = before.index(title) - place
            assert told == ([f"{'up' if moved > 0 else 'down'} {abs(moved)}"] if moved else [])
    gone = [title for title in before if title not in after]
    assert gone[0] in page.locator(".changed .faint").inner_text()
    announced = page.locator("#announce")
    page.wait_for_function("() => document.querySelector('#announce').textContent")
    assert f"You liked {before[1]}" in announced.inner_text()

    page.get_by_role("button", name=f"Dismiss: {after[0]}").click()
    page.wait_for_function(
        "() => document.querySelector('.changed').textContent.includes('dismissed')"
    )
    visit.settle()
    assert after[0] not in visit.titles()
    assert page.locator(".having .card").count() == had + 1  # it says nothing of taste


def test_reasons_unfold_and_point_at_the_history(visit: Visit) -> None:
    page = visit.open("recommend?user=u0011")
    card = page.locator(".listing .card").first
    card.locator("summary").click()
    told = card.locator(".parts li").all_inner_texts()
    assert "80 %" in told[0] and "graph" in told[0]
    assert "20 %" in told[1] and "speaks against" in told[1]
    card.hover()
    assert page.locator(".having .card.speaks").count() >= 1


def test_filters_ask_for_one_brand(visit: Visit, base: str) -> None:
    page = visit.open(f"recommend?user={USER}")
    brand = page.get_by_label("Brand")
    value = brand.locator("option").nth(1).get_attribute("value")
    brand.select_option(value)
    visit.settle()
    assert visit.titles() == listed(base, user_id=USER, k=12, filters={"brand": [value]})


def test_a_history_is_put_together_by_titles_and_pasted(visit: Visit, base: str) -> None:
    items = httpx.get(f"{base}/page-data/items", params={"q": "aero"}).json()["items"]
    ids = [item["item_id"] for item in items[:3]]
    page = visit.open("recommend")
    page.get_by_role("button", name="A history", exact=True).click()
    page.wait_for_selector("text=Empty so far")
    field = page.get_by_role("combobox", name="Add an item")
    field.fill("aero")
    page.locator(".options li").first.click()
    page.wait_for_function("() => document.querySelectorAll('.having .card').length === 1")
    visit.settle()
    assert visit.titles() == listed(base, history=ids[:1], k=12)
    page.get_by_role("combobox", name="Add an item").focus()
    page.evaluate(
        """text => { const data = new DataTransfer(); data.setData("text", text);
        document.activeElement.dispatchEvent(new ClipboardEvent("paste",
          {clipboardData: data, bubbles: true, cancelable: true})) }""",
        " ".join(ids),
    )
    page.wait_for_function("() => document.querySelectorAll('.having .card').length === 3")
    visit.settle()
    assert visit.titles() == listed(base, history=ids, k=12)
    # Nobody's log is written for such a history, but it goes on all the same.
    top = visit.titles()[0]
    page.get_by_role("button", name=f"Dismiss: {top}").click()
    page.wait_for_function(
        "() => document.querySelector('.changed').textContent.includes('dismissed')"
    )
    visit.settle()
    assert top not in visit.titles()
    page.reload()
    visit.settle()
    assert top not in visit.titles()  # the address holds all of it


def test_by_keyboard_alone(visit: Visit, base: str) -> None:
    page = visit.open("recommend?user=u0003")
    press = page.keyboard.press

    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        raise AssertionError(f"Tab never comes to {selector}")

    press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reach("[role=combobox]")
    page.keyboard.type("u0009")
    page.wait_for_selector("[role=option]")
    press("ArrowDown")
    assert page.locator("[role=option][aria-selected=true]").inner_text().startswith("u0009")
    press("Enter")
    page.wait_for_selector("h1:has-text('u0009')")
    visit.settle()
    before = visit.titles()
    reach(".deed.dismiss")
    press("Enter")
    page.wait_for_selector(".changed:not([hidden])")
    visit.settle()
    assert before[0] not in visit.titles()
    # The keyboard goes on where it was, though the card is gone.
    page.wait_for_function("() => document.activeElement.matches('.deed.dismiss')")
    assert "focus-visible" in page.evaluate(
        "document.activeElement.matches(':focus-visible') ? 'focus-visible' : ''"
    )


# Other views


def test_two_models_side_by_side(visit: Visit, base: str) -> None:
    page = visit.open("compare?user=u0005")
    page.wait_for_selector(".listing .card")
    versions = [each["version"] for each in httpx.get(f"{base}/v1/models").json()["models"]]
    lists = [
        [
            item["title"]
            for item in ask(
                base, "/page-data/recommend", user_id="u0005", model_version=version, k=10
            )["items"]
        ]
        for version in versions
    ]
    shown = [visit.titles(f"section:nth-of-type({n}) .listing") for n in (1, 2)]
    assert shown == lists
    common = len(set(lists[0]) & set(lists[1]))
    assert f"{common} of 10 items in common" in page.locator(".verdict").inner_text()
    assert page.locator(".card.common").count() == 2 * common


def test_walking_from_item_to_item(visit: Visit, base: str) -> None:
    page = visit.open("similar")
    page.wait_for_selector(".grid .card a")
    title = page.locator(".grid .card a").first.inner_text()
    page.locator(".grid .card a").first.click()
    page.wait_for_selector(f".subject-card:has-text('{title}')")
    assert page.locator(".trail a").count() == 1
    page.go_back()
    page.wait_for_function(
        "title => !document.querySelector('.subject-card')?.textContent.includes(title)", arg=title
    )


def test_the_map_is_wandered_by_mouse_and_keyboard(visit: Visit) -> None:
    page = visit.open("map?user=u0005")
    page.wait_for_selector(".whose .key.dot")
    canvas = page.locator("canvas")
    before = canvas.screenshot()
    canvas.focus()
    for key in ("+", "+", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_timeout(250)
    assert canvas.screenshot() != before
    page.keyboard.press("Enter")
    page.wait_for_selector(".chosen .title")
    chosen = page.locator(".chosen .title").inner_text()
    page.locator("aside .chosen .plain button").first.click()
    page.wait_for_function(
        "title => document.querySelector('.chosen .title').textContent !== title", arg=chosen
    )
    # The chosen item lies in the middle now: a pointer there hovers it.
    title = page.locator(".chosen .title").inner_text()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".tip:not([hidden])")
    assert page.locator(".tip").inner_text() == title


def test_operations_count_and_activate(visit: Visit, base: str) -> None:
    page = visit.open("operations")
    page.wait_for_selector(".models .card")
    old = httpx.get(f"{base}/v1/models").json()["active"]
    assert page.locator(".models .active h3").inner_text().startswith(old)
    assert "/v1/recommend" in page.locator("tbody").inner_text()
    page.get_by_role("button", name="Activate").click()
    page.wait_for_function(
        "old => { const now = document.querySelector('.models .active h3');"
        " return now && !now.textContent.startsWith(old) }",
        arg=old,
    )
    now = httpx.get(f"{base}/v1/models").json()["active"]
    assert now != old
    page.wait_for_function(
        "now => document.querySelector('#facts').textContent.includes(now)", arg=now
    )
    httpx.post(f"{base}/v1/models/{old}:activate")


def test_keys_are_asked_for_and_kept_nowhere(
    browser: Browser, ease_run: Path, knn_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    reader, chief = new_key(file, "reader", ["read"]), new_key(file, "chief", ["admin"])
    runs = (str(ease_run), str(knn_run))
    with Server(runs=runs, store=str(tmp_path / "s.db"), keys=str(file)) as base:
        page = browser.new_page()
        page.goto(f"{base}/#/operations")
        page.get_by_label("API key").fill("a wrong one")
        page.get_by_role("button", name="Use this key").click()
        page.wait_for_selector(".notice.bad")
        page.get_by_role("button", name="Try again").click()
        page.get_by_label("API key").fill(reader)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Activate").click()
        page.wait_for_selector("dialog[open]")
        assert "administration" in page.locator("dialog").inner_text()
        page.get_by_label("API key").fill(chief)
        page.keyboard.press("Enter")
        page.wait_for_selector(".models .active h3:has-text('item-knn')")
        kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        for key in (reader, chief):
            assert key not in kept + page.content() + page.url
        page.close()


# For everybody

UNNAMED = """() => [...document.querySelectorAll("input, select, button, a, canvas, img, dialog")]
  .filter(each => each.checkVisibility()).filter(each => {
    if (each.tagName === "IMG") return !each.hasAttribute("alt");
    const by = each.getAttribute("aria-labelledby");
    const name = each.getAttribute("aria-label") || (by && document.getElementById(by).textContent)
      || [...each.labels ?? []].map(label => label.textContent).join("")
      || (/^(INPUT|SELECT|CANVAS)$/.test(each.tagName) ? "" : each.textContent);
    return !name.trim();
  }).map(each => each.outerHTML)"""

PALE = """() => {
  const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const read = (colour, under = [255, 255, 255]) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = `rgb(${under.join(" ")})`; pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = rgb => rgb.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = each => {
    const above = each.parentElement ? ground(each.parentElement) : [255, 255, 255];
    return read(getComputedStyle(each).backgroundColor, above);
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !each.checkVisibility()) continue;
    if (each.closest(".hidden, noscript, :disabled")) continue;
    const style = getComputedStyle(each);
    const under = ground(each), [one, other] = [light(read(style.color, under)), light(under)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const wanted = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    if (ratio < wanted) found.add(`${ratio.toFixed(2)}: ${each.outerHTML.slice(0, 120)}`);
  }
  return [...found];
}"""

SCHEMES = [pytest.param({"color_scheme": scheme}, id=scheme) for scheme in ("light", "dark")]


@pytest.mark.parametrize("visit", SCHEMES, indirect=True)
def test_texts_stand_out_and_fields_have_names(visit: Visit) -> None:
    for view in VIEWS:
        page = visit.open(f"{view}?user=u0013" if view != "similar" else view)
        if view == "recommend":
            page.locator("summary").first.click()
            page.locator(".deed.like").first.click()
            page.wait_for_selector(".changed:not([hidden])")
            visit.settle()
        assert page.evaluate(UNNAMED) == [], view
        assert page.evaluate(PALE) == [], view
        assert page.locator("h1").count() == 1
        levels = [
            int(tag[1])
            for tag in page.evaluate(
                "[...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName)"
            )
        ]
        assert all(after - before <= 1 for before, after in pairwise(levels)), view
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(ids) == len(set(ids))
        assert page.locator("nav a[aria-current=page]").count() == 1


PHONE = [pytest.param({"viewport": {"width": 390, "height": 844}, "has_touch": True}, id="390 px")]


@pytest.mark.parametrize("visit", PHONE, indirect=True)
def test_a_phone_scrolls_down_only(visit: Visit) -> None:
    for view in VIEWS:
        page = visit.open(f"{view}?user=u0017" if view != "similar" else view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        small = page.evaluate(
            "[...document.querySelectorAll('button, select, input')]"
            ".filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 24)"
            ".map(each => each.outerHTML)"
        )
        assert small == [], view


def test_a_service_that_stops_is_told_of(visit: Visit) -> None:
    page = visit.open(f"recommend?user={USER}")
    page.route("**/v1/recommend", lambda route: route.abort())
    page.get_by_label("Category").select_option(index=1)
    page.wait_for_selector(".notice.bad")
    assert "does not answer" in page.locator(".notice.bad").inner_text()
    page.unroute("**/v1/recommend")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".listing .card h3")
    visit.wrong.clear()  # the browser itself tells of the failed request
