"""A tab of a browser with the dashboard, and everything in it that must not happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from person import LONG
from scene import Scene

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""

_CONTRASTS = """
() => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([red, green, blue]) => [red, green, blue]
    .map((each) => each / 255).map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const [red, green, blue, alpha = 1] = parts(getComputedStyle(each).backgroundColor);
      if (alpha > 0) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    const style = getComputedStyle(element);
    const colour = style.fill !== "rgb(0, 0, 0)" && element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [light(parts(colour)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) low.push(`${node.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return low;
}
"""
"""The texts whose contrast to what they stand on is lower than WCAG 2 asks of normal text."""


def expect(what: Any) -> Any:
    """What Playwright expects of this: it looks until it is so. Imported here, since Playwright may be missing."""
    from playwright.sync_api import expect

    # Nothing takes nearly as long; a machine that has much else to do must not fail a test.
    expect.set_options(timeout=1000 * LONG)
    return expect(what)


@dataclass
class Tab:
    """One tab. What it complains of is in `complaints`; those that a test brings about it takes out."""

    page: Page
    scene: Scene
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def log_in(self, token: str | None = None) -> None:
        """Type a token, the right one if none is given."""
        self.page.get_by_label("Token or key").fill(self.scene.token if token is None else token)
        self.page.get_by_role("button", name="Log in").click()

    def is_live(self) -> None:
        """Wait until it follows the town."""
        expect(self.page.locator("#connection")).to_have_text("Live")

    def agent(self, name: str) -> Locator:
        """The card of an agent."""
        return self.page.locator(f".agent[data-agent='{name}']")

    def letters(self, text: str = "") -> Locator:
        """What lies in the inbox, and has this text."""
        return self.page.locator("#messages > li").filter(has_text=text)

    def column(self, state: str) -> Locator:
        """The column of the tasks in this state."""
        return self.page.locator(".column").filter(has=self.page.get_by_role("heading", name=state, exact=True))

    def low_contrasts(self) -> list[str]:
        """Texts that are hard to read."""
        found: list[str] = self.page.evaluate(_CONTRASTS)
        return found

    def expected(self, text: str) -> None:
        """The test has brought such a complaint about."""
        self.complaints = [each for each in self.complaints if text not in each]


@contextmanager
def tab(browser: Any, scene: Scene, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[Tab]:
    """A new tab at the dashboard. Afterwards nothing may have gone wrong in it."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_init_script(_LISTEN)
    found = Tab(context.new_page(), scene)
    page = found.page
    page.on("console", lambda said: found.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("dialog", lambda dialog: found.complaints.append(f"a dialog: {dialog.message}"))
    page.on("request", lambda request: found.foreign.append(request.url))
    try:
        page.goto(scene.url)
        yield found
        assert page.evaluate("violations") == []
        assert found.complaints == []
        assert [url for url in found.foreign if not url.startswith(scene.url)] == []
    finally:
        context.close()
