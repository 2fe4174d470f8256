from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from schemas.flags import Evidence, Kind, Severity, Share, Status, encode_flag
from streams.metrics import Metrics
from streams.recent import RecentFlags
from streams.server import Server, Views
from tests.conftest import lacking
from tests.integration.browser import Page, chromium
from tests.streams.flags import flag

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

EVIL = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\u202e\x07'


class Served:
    """The worker's own server with flags and metrics given by hand."""

    def __init__(self) -> None:
        self.metrics = Metrics(["likes", "follows", "searches"])
        self.recent = RecentFlags()
        self.answers = threading.Event()
        self.answers.set()
        views = Views(lambda: (True, "ok"), lambda: (True, "ok"), self.render, dict, self.recent)
        self.server = Server("127.0.0.1", 0, views)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def render(self) -> bytes:
        """Return the metrics, once it answers."""
        self.answers.wait(60)
        return self.metrics.render()

    def add(self, **more: Any) -> None:
        self.recent.add(encode_flag(flag(**more)))


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.answers.set()
    made.server.stop()


@pytest.fixture
def look(served: Served, tmp_path: Path) -> Callable[[Callable[[Page], Coroutine[Any, Any, None]]], None]:
    """Open the page, run what is given on it, and demand that it never complained or asked anybody else."""
    command = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if command is None:
        lacking("there is no chromium to look at the page with")

    def run(script: Callable[[Page], Coroutine[Any, Any, None]]) -> None:
        async def visit() -> None:
            async with chromium(command, tmp_path / "profile", served.url) as page:
                await page.until("document.querySelector('#state')?.dataset.state === 'live'")
                await script(page)
                assert page.complaints == []
                assert all(url.startswith((served.url, "data:")) for url in page.requested), page.requested

        asyncio.run(visit())

    return run


def test_flags_appear_as_they_happen_with_what_came_and_what_was_expected(served: Served, look: Any) -> None:
    groups = {"new_account": Share(0.71, 0.04)}
    served.add(evidence=Evidence(412, 9.7, 401, ["71% are new accounts"], ["a1"], groups=groups))

    async def script(page: Page) -> None:
        await page.until("document.querySelectorAll('.card').length === 1")
        text = await page.ask("document.querySelector('.card').textContent")
        for told in ("Bought followers", "u81", "412", "9.7", "71% are new accounts", "new account", "401 accounts"):
            assert told in text
        widths = await page.ask(
            "[...document.querySelectorAll('.amount rect.came, .amount rect.usual')].map(r => +r.getAttribute('width'))"
        )
        assert widths[0] == 300
        assert widths[1] == pytest.approx(300 * 9.7 / 412, rel=0.01)
        served.add(kind=Kind.LIKE_BOOST, subject="n7", emitted_at=1)
        await page.until("document.querySelectorAll('.card').length === 2")

    look(script)


def test_an_episode_stays_one_card_while_it_grows_and_ends(served: Served, look: Any) -> None:
    async def script(page: Page) -> None:
        first = flag(emitted_at=5)
        for step in range(1, 5):
            grown = msgspec.structs.replace(
                first,
                status=Status.UPDATED,
                detected_at=first.detected_at + step * 1_000,
                evidence=msgspec.structs.replace(first.evidence, observed=412 + 10 * step),
            )
            served.recent.add(encode_flag(grown))
        await page.until("document.querySelector('.growth svg') !== null")
        await page.ask("document.querySelector('details').open = true; document.querySelector('button.main').focus()")
        served.recent.add(encode_flag(msgspec.structs.replace(first, status=Status.CLOSED)))
        await page.until("document.querySelector('.status').textContent === 'over'")
        assert await page.ask("document.querySelectorAll('.card').length") == 1
        assert await page.ask("document.querySelector('details').open")
        await page.until("document.activeElement.matches('button.main')")  # the card is another, the place the same

    look(script)


def test_names_from_outside_are_text_and_nothing_else(served: Served, look: Any) -> None:
    evidence = Evidence(5, 1.0, 5, [EVIL], [EVIL], author_id=EVIL, note_id=EVIL)
    served.add(kind=Kind.KEYWORD_RANKING, subject=EVIL, evidence=evidence)

    async def script(page: Page) -> None:
        await page.until("document.querySelectorAll('.card').length === 1")
        assert await page.ask("window.hurt === undefined")
        assert await page.ask("document.querySelectorAll('main img, main script').length") == 0
        text = await page.ask("document.querySelector('.subject').textContent")
        assert "<script>" in text
        assert "\\u{202e}\\u{7}" in text

    look(script)


def test_kinds_and_subjects_can_be_chosen_by_keyboard(served: Served, look: Any) -> None:
    served.add()
    served.add(kind=Kind.LIKE_BOOST, subject="n7", severity=Severity.LOW)
    served.add(kind=Kind.LIKE_BOOST, subject="n8", status=Status.CLOSED)

    async def script(page: Page) -> None:
        shown = "document.querySelectorAll('.card').length"
        await page.until(f"{shown} === 3")
        await page.ask(
            "[...document.querySelectorAll('.kinds button')].find(b => /followers/.test(b.textContent)).focus()"
        )
        for kind in ("keyDown", "keyUp"):
            await page.call("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", text=" ")
        await page.until(f"{shown} === 2")
        assert await page.ask("document.activeElement.getAttribute('aria-pressed')") == "false"
        assert await page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert await page.ask(CONTRASTS) == []
        await page.ask("document.querySelector('#only-open').click()")
        await page.until(f"{shown} === 1")
        await page.ask("document.querySelector('#only-open').click(); document.querySelector('button.main').click()")
        await page.until(f"{shown} === 1")

    look(script)


def test_the_list_can_be_held_still(served: Served, look: Any) -> None:
    served.add()

    async def script(page: Page) -> None:
        shown = "document.querySelectorAll('.card').length"
        await page.until(f"{shown} === 1")
        await page.ask("document.querySelector('#pause').click()")
        served.add(subject="u82")
        await page.until("/^1 more/.test(document.querySelector('#held').textContent)")
        assert await page.ask(shown) == 1
        await page.ask("document.querySelector('#pause').click()")
        await page.until(f"{shown} === 2")

    look(script)


def test_the_pipeline_is_told_from_the_metrics(served: Served, look: Any) -> None:
    served.metrics.consumer_lag.labels("likes").set(1280)
    served.metrics.watermark_lag.labels("follows").set(123)
    served.metrics.events.labels("likes", "dead_letter").inc(37)
    served.metrics.detection_latency.observe(1.4)

    async def script(page: Page) -> None:
        await page.until("document.querySelector('#lag').textContent === '1,280'")
        assert await page.ask("document.querySelector('#refused').textContent") == "37"
        assert await page.ask("document.querySelector('#watermark').textContent") == "2 min 3 s"
        assert await page.ask("document.querySelector('#latency').textContent") == "1.5 s"
        assert await page.ask("document.querySelector('#saved').textContent") == "\u2013"
        served.metrics.last_checkpoint.set_to_current_time()
        served.metrics.history.set(2 * 86_400)
        await page.until("/^[0-9.]+ s ago$/.test(document.querySelector('#saved').textContent)")
        assert await page.ask("document.querySelector('#saved-note').textContent") == "baselines go back 2 d"

    look(script)


def test_a_number_that_is_ill_says_so_in_words_and_above_all(served: Served, look: Any) -> None:
    served.metrics.detection_latency.observe(1.4)

    async def script(page: Page) -> None:
        await page.until("document.querySelector('#state-text').textContent === 'live, all well'")
        for _ in range(3):
            served.metrics.detection_latency.observe(20)
        served.metrics.watermark_lag.labels("likes").set(1_000)
        await page.until("document.querySelector('#state-text').textContent === 'live, 2 things to look at'")
        ill = "[...document.querySelectorAll('.tile[data-ill] dt')].map(dt => dt.textContent)"
        assert await page.ask(ill) == ["Watermark lag too high", "To flag too high"]
        served.metrics.watermark_lag.labels("likes").set(123)
        await page.until("document.querySelector('#state-text').textContent === 'live, one thing to look at'")

    look(script)


def test_a_worker_that_is_stopped_is_told_of_and_what_is_shown_is_marked_as_old(served: Served, look: Any) -> None:
    served.add()

    async def script(page: Page) -> None:
        await page.until("document.querySelectorAll('.card').length === 1")
        served.answers.clear()
        await page.until("document.querySelector('#state').dataset.state === 'lost'")
        told = await page.ask("document.querySelector('#state-text').textContent")
        assert re.fullmatch(r"the worker does not answer, trying again; what is shown is of \d\d:\d\d:\d\d", told)
        assert await page.ask("document.querySelectorAll('#pipeline-part[data-stale], #flags[data-stale]').length") == 2
        for scheme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            assert await page.ask(CONTRASTS) == []
        served.answers.set()
        await page.until("document.querySelector('#state').dataset.state === 'live'")
        assert await page.ask("document.querySelectorAll('[data-stale]').length") == 0

    look(script)


def test_flags_that_do_not_reach_the_page_are_missed_in_words_and_asked_for_again(served: Served, look: Any) -> None:
    async def script(page: Page) -> None:
        await page.call("Network.setBlockedURLs", urls=["*/events"])
        await page.call("Page.reload")
        told = "document.querySelector('#state-text')?.textContent"
        await page.until(f"{told} === 'flags do not reach this page; trying again'")
        served.add()
        await page.call("Network.setBlockedURLs", urls=[])
        await page.until("document.querySelectorAll('.card').length === 1")
        await page.until(f"{told} === 'live, all well'")
        page.complaints[:] = [one for one in page.complaints if "ERR_BLOCKED" not in one]

    look(script)


WATCH_MOVES = """window.most = 0; new MutationObserver(() => {
  window.most = Math.max(window.most, document.getAnimations().length);
}).observe(document.querySelector("#flags"), { childList: true })"""


def test_nothing_moves_for_those_who_asked_for_that(served: Served, look: Any) -> None:
    async def script(page: Page) -> None:
        for wish, subject, moves in (("no-preference", "u1", True), ("reduce", "u2", False)):
            features = [{"name": "prefers-reduced-motion", "value": wish}]
            await page.call("Emulation.setEmulatedMedia", features=features)
            await page.ask(WATCH_MOVES)
            served.add(subject=subject)
            await page.until(f"document.querySelector('#flags').textContent.includes('{subject}')")
            assert (await page.ask("window.most") > 0) is moves

    look(script)


def test_a_screen_reader_finds_landmarks_headings_and_what_each_flag_is(served: Served, look: Any) -> None:
    served.add()
    served.add(kind=Kind.LIKE_BOOST, subject="n7", status=Status.RETRACTED)

    async def script(page: Page) -> None:
        await page.until("document.querySelectorAll('.card').length === 2")
        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        found = {
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node.get("ignored")
        }
        for expected in (
            ("banner", ""), ("main", ""), ("heading", "boostwatch"), ("heading", "Flags"), ("region", "The pipeline"),
            ("list", "Flags, the newest first"), ("group", "Show these kinds"), ("searchbox", "Subject"),
            ("checkbox", "open only"), ("button", "Hold still"), ("status", ""), ("article", "Bought followers"),
            ("article", "Bought likes"),
        ):  # fmt: skip
            assert expected in found
        assert all(name for role, name in found if role in {"button", "image", "link", "checkbox", "searchbox"})

    look(script)


CONTRASTS = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = rgb(getComputedStyle(node).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest(".unseen, .skip, svg")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color).slice(0, 3)), light(ground(node).slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.className || node.localName} ${ratio.toFixed(1)}`);
  }
  return [...new Set(poor)];
})()"""
"""What of the page's text has less contrast to its ground than WCAG's AA asks, 4.5."""


def keep(name: str, picture: str) -> None:
    """Keep a screenshot, to be looked at, where BOOSTWATCH_TEST_SHOTS names a folder."""
    if folder := os.environ.get("BOOSTWATCH_TEST_SHOTS"):
        (Path(folder) / name).write_bytes(base64.b64decode(picture))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_wall_and_can_be_read_on_both(served: Served, look: Any, scheme: str) -> None:
    groups = {"new_account": Share(0.71, 0.04), "foreign_device": Share(0.5, 0.02)}
    for place, severity in enumerate(Severity):
        evidence = Evidence(412, 9.7, 401, ["71% are new accounts", "x" * 120], ["a1", "b" * 128], groups=groups)
        served.add(subject=f"u{place}" + "y" * 100, severity=severity, evidence=evidence)
    served.add(subject="over", status=Status.CLOSED)

    async def script(page: Page) -> None:
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await page.until("document.querySelectorAll('.card').length === 5")
        for width, height in ((340, 700), (3840, 2160)):
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            await page.call("Emulation.setDeviceMetricsOverride", **size)
            await page.until(f"innerWidth === {width}")
            assert await page.ask("document.documentElement.scrollWidth") <= width
            assert await page.ask(CONTRASTS) == []
            shot = await page.call("Page.captureScreenshot", format="png")
            keep(f"{scheme}-{width}.png", shot["data"])

    look(script)
