"""The page for everybody: keyboard, screen reader, contrast, a phone."""

import json
import re

import pytest
from playwright.sync_api import expect

LABELS = ["jumping jacks", "walking", "waving one hand"]
USABLE = {"button", "link", "textbox", "searchbox", "slider", "spinbutton", "checkbox", "combobox"}

CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const check = (element, colour, text) => {
    const [a, b] = [luminance(colour), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const { fontSize, fontWeight } = getComputedStyle(element);
    const size = parseFloat(fontSize);
    const large = size >= 24 || (size >= 18.66 && fontWeight >= 700);
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) opacity *= getComputedStyle(e).opacity;
    found.push({ text, ratio, enough: ratio >= (large ? 3 : 4.5) && opacity === 1 });
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (element.tagName === "NOSCRIPT") continue;
    if (text && element.checkVisibility({ visibilityProperty: true })) {
      check(element, getComputedStyle(element).color, text);
    }
  }
  for (const field of document.querySelectorAll("input:not([type=file]):not([type=checkbox])")) {
    const { color } = getComputedStyle(field, "::placeholder");
    if (field.checkVisibility()) check(field, color, field.id);
  }
  return found;
}"""


@pytest.fixture
def shown(visit, film):
    """Opens the page with an answer on it."""

    def start(**options):
        seen = visit(**options).ready().label(*LABELS).open(film)
        seen.scores("jumping jacks")
        seen.segments()
        expect(seen.page.locator("#frames img").first).to_be_visible()
        return seen.settled()

    return start


def nodes(page):
    """What a screen reader is told of each element, as Chromium computes it."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    found = []
    for node in session.send("Accessibility.getFullAXTree")["nodes"]:
        if not node.get("ignored"):
            role, name = (node.get(key, {}).get("value", "") for key in ("role", "name"))
            found.append((role, name))
    session.detach()
    return found


def test_all_text_has_enough_contrast_by_day_and_by_night(shown):
    seen = shown()
    seen.page.get_by_text("Settings").click()
    seen.page.get_by_text("The same as a table").click()
    seen.page.evaluate(
        """async () => {
          const { showTrouble, byId } = await import("./page/dom.js");
          const trouble = { what: "Oh.", hint: "Do this.", code: "no" };
          showTrouble(byId("trouble"), trouble, { Again() {} });
          byId("warning").hidden = false;
          byId("warning").textContent = "Careful.";
          byId("status").textContent = "Wait.";
          byId("waiting").hidden = false;
        }"""
    )
    papers = set()
    for scheme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=scheme)
        papers.add(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found = seen.page.evaluate(CONTRASTS)
        texts = {one["text"] for one in found}

        assert len(found) > 60
        assert {"Oh.", "Careful.", "Wait.", "jumping jacks", "label"} <= texts
        assert [one for one in found if not one["enough"]] == []
    assert len(papers) == 2


def test_everything_usable_has_a_name(shown):
    seen = shown()
    seen.page.get_by_text("Settings").click()
    seen.page.get_by_text("The same as a table").click()
    found = nodes(seen.page)

    assert [role for role, name in found if role in USABLE and not name.strip()] == []
    names = {name for role, name in found if role in USABLE}
    assert {"Add a label", "Remove walking", "Playhead", "Window of the timeline, seconds"} <= names
    assert any(re.match(r"walking, 0:0\d.\d to 0:08.0, \d+", name) for name in names)


@pytest.mark.slow
def test_what_changes_is_said(shown):
    seen = shown()
    expect(seen.page.locator("#spoken")).to_have_text(re.compile(r"^jumping jacks \d+\.\d%, "))
    seen.page.get_by_role("button", name="Remove jumping jacks").click()
    expect(seen.page.locator("#spoken")).to_have_text(
        re.compile(r"^(walking|waving one hand) \d+\.\d%, ")
    )

    assert seen.page.locator("#spoken").get_attribute("aria-live") == "polite"


def test_the_keyboard_reaches_everything_and_shows_where_it_is(shown):
    seen = shown()
    seen.page.get_by_text("Settings").click()
    seen.page.evaluate("document.querySelector('.skip').focus()")
    reached, hidden = [], []
    for _ in range(150):
        seen.page.keyboard.press("Tab")
        element = seen.page.evaluate(
            """() => {
              const e = document.activeElement;
              if (e === document.body) return null;
              const shown = [e, e.parentElement, e.nextElementSibling].filter(Boolean)
                .some((o) => getComputedStyle(o).outlineStyle !== "none");
              const first = reachedBefore.has(e);
              reachedBefore.add(e);
              return [e.id || e.ariaLabel || e.textContent.trim(), shown, first];
            }""".replace("reachedBefore", "(window.reached ??= new Set())")
        )
        if element is not None and reached and element[0] == reached[-1]:
            continue  # the player's own buttons
        if element is None or element[2]:
            break
        reached.append(element[0])
        if not element[1] and element[0] != "film":  # the player draws its own mark
            hidden.append(element[0])

    wanted = {"label", "film", "another", "clear", "reject", "window", "stride", "several"}
    wanted |= {"Playhead", "Remove walking", "Scores as JSON", "Copy: Python", "to-search"}
    assert wanted <= set(reached)
    assert sum("walking, 0:" in name or "jumping jacks, 0:" in name for name in reached) == 1
    assert hidden == []


@pytest.mark.slow
def test_all_of_it_without_a_mouse(visit, film):
    seen = visit().ready()
    seen.page.locator("#label").focus()
    seen.page.keyboard.type("jumping jacks,walking,")
    seen.page.keyboard.type("typo")
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Backspace")
    seen.open(film).scores("jumping jacks")
    segments = seen.segments()
    segments.first.focus()
    seen.page.keyboard.press("ArrowDown")
    name = seen.page.evaluate("document.activeElement.ariaLabel")
    assert name.startswith("walking, ")
    seen.page.keyboard.press("Enter")
    assert seen.seconds() == pytest.approx(float(re.search(r":([\d.]+) to", name)[1]), abs=0.06)

    head = seen.page.get_by_role("slider", name="Playhead")
    head.focus()
    seen.page.keyboard.press("Home")
    expect(head).to_have_attribute("aria-valuenow", "0.0")
    seen.page.keyboard.press("ArrowRight")
    expect(head).to_have_attribute("aria-valuetext", "0:00.5")


@pytest.mark.parametrize("view", ["", "film", "#search"])
def test_a_phone_scrolls_only_downwards(visit, shown, view):
    if view != "film":
        seen = visit(view=view, viewport={"width": 320, "height": 800}).ready()
    else:
        seen = shown(viewport={"width": 320, "height": 800}, has_touch=True)
        seen.label("a label that is a good deal longer than all the others are, and then some more")

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    margin = 16  # nothing that can be pressed reaches into it
    wide = seen.page.locator("button:visible:not(#timeline *), .button:visible").evaluate_all(
        """(all, most) => all.filter(b => b.getBoundingClientRect().right > most)
          .map(b => b.textContent)""",
        320 - margin + 0.5,
    )
    assert wide == []
    small = seen.page.locator(
        "button:visible:not(.segment):not(.link):not(#frames *)"
    ).evaluate_all(
        "all => all.filter(b => b.getBoundingClientRect().height < 24).map(b => b.textContent)"
    )
    assert small == []


def test_on_a_phone_no_number_breaks_and_no_box_is_longer_than_the_screen(shown):
    seen = shown(viewport={"width": 320, "height": 640})
    seen.page.get_by_text("The same as a table").click()
    lines = seen.page.locator("#segments :is(th, td):not(:nth-child(3))").evaluate_all(
        """all => all.map((cell) => {
          const words = document.createRange();
          words.selectNodeContents((cell.querySelector("button") ?? cell).firstChild);
          return [cell.textContent, words.getClientRects().length];
        })"""
    )
    broken = [text for text, count in lines if count > 1]
    assert len(lines) == 3 * (1 + len(seen.table()))
    assert broken == []
    labels = json.dumps([f"somebody does number {number}" for number in range(200)])
    seen.page.evaluate("labels => sessionStorage.setItem('labels', labels)", labels)
    seen.page.reload()
    seen.ready()
    heights = seen.page.locator("pre:visible").evaluate_all("all => all.map(b => b.clientHeight)")
    assert max(heights) < 640


@pytest.mark.slow
def test_no_motion_for_who_wants_none(shown):
    seen = shown(reduced_motion="reduce")
    seen.label("running")
    expect(seen.page.locator("#scores li")).to_have_count(4)

    assert seen.page.evaluate("document.getAnimations().length") == 0
