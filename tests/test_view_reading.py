"""Pages for all readers: in sight, in contrast, by keyboard, read aloud; and what is odd.

In headless Chromium, as tests/test_view_browser.py.
"""

import pytest

from tests.browsing import Seen, launched, written


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


def test_the_button_changes_the_theme_at_once(chromium, tmp_path):
    path = written(tmp_path, "bb2")
    for scheme in ("light", "dark"):
        seen = Seen(chromium, path, color_scheme=scheme)
        background = "getComputedStyle(document.body).backgroundColor"
        before = seen.page.evaluate(background)
        seen.page.click("#theme")
        assert seen.page.evaluate(background) != before
        seen.page.keyboard.press("t")
        assert seen.page.evaluate(background) == before
        seen.close()


def test_weights_that_are_asked_for_are_in_sight(chromium, tmp_path):
    """Wherever the page is scrolled to; closed, they give the focus back."""
    seen = Seen(chromium, written(tmp_path, "palindrome-2tape"))
    seen.page.fill("#scrub", "10")
    for part in ("#strip .token.next", ".layer >> nth=3 >> .neuron.lit", "#recalled button"):
        seen.page.locator(part).first.click()
        box = seen.page.locator("#details").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900
    seen.keep("palindrome-2tape-details")
    seen.page.keyboard.press("Escape")
    assert seen.page.evaluate("document.activeElement.closest('#recalled') !== null")
    seen.close()


def test_a_tape_far_from_cell_0(chromium, tmp_path):
    """Browsers lay nothing out beyond some 33 million pixels."""
    start = ["--input", "1011", "--origin", "-2000000", "--head-at", "-2000000"]
    seen = Seen(chromium, written(tmp_path, "binary-increment", *start))
    for made in (0, 3):
        seen.page.evaluate(f"app.seek({made})")
        here = seen.page.locator(".cell.here").bounding_box()
        head = seen.page.locator(".tape .head").bounding_box()
        assert here["x"] == pytest.approx(head["x"], abs=1.5)
        assert seen.text(".cell.here i") == str(made - 2_000_000)
    assert seen.tape() == "1011"
    seen.close()


def test_examples_and_typed_words(chromium, tmp_path):
    """An example that was left can be taken again, and is run as it is: also from elsewhere."""
    seen = Seen(chromium, written(tmp_path, "binary-increment"))
    elsewhere = seen.page.locator("#examples option", has_text="from -2").get_attribute("value")
    for _ in range(2):
        seen.page.select_option("#examples", elsewhere)
        assert "halted" in seen.text("#count")
        assert seen.page.evaluate("app.run.start.tapes[0].origin") == -2
        seen.page.click("text=Run the model")
        assert seen.page.evaluate("app.run.start.tapes[0].origin") == -2
        seen.page.fill("#words input", "11")
        seen.page.click("text=Run the model")
        assert seen.page.evaluate("app.run.start.tapes[0].origin") == 0
        assert seen.page.input_value("#examples") == "typed"
    seen.close()


def test_a_new_run_shows_nothing_of_the_one_before(chromium, tmp_path):
    """From the first moment, while most of it is not yet computed."""
    seen = Seen(chromium, written(tmp_path, "binary-increment"))
    begin = "app.begin(startOf(app.payload, ['1'.repeat(1500)]))"
    assert seen.page.evaluate(f"({begin}, !app.computed && app.history.run === app.run)")
    seen.wait_for("app.computed")
    seen.page.click("#last")
    assert seen.text("#now") == "The run is over: halted after 3,002 steps, in state done."
    assert seen.page.evaluate("app.history.rows * app.history.stride") >= 3003
    seen.close()


def test_a_page_that_was_out_of_sight_goes_on_where_it_was(chromium, tmp_path):
    """Browsers draw no frames of hidden tabs: an hour later the next one is the next step."""
    seen = Seen(chromium, written(tmp_path, "bb4"))
    made = seen.page.evaluate("""() => {
      const frames = window.requestAnimationFrame;
      let next;
      window.requestAnimationFrame = (frame) => (next = frame) && 1;
      app.play();
      next(performance.now() + 3_600_000);
      window.requestAnimationFrame = frames;
      app.pause();
      return app.playback.made;
    }""")
    assert made == 1
    seen.close()


def test_the_keyboard_keeps_its_place(chromium, tmp_path):
    """Neurons are one stop of the Tab key; what is drawn anew keeps the focus."""
    seen = Seen(chromium, written(tmp_path, "bb4"))
    stops = seen.page.locator(".neuron[tabindex='0']")
    assert stops.count() == 3
    press = seen.page.keyboard.press
    stops.last.focus()
    before = seen.page.evaluate("document.activeElement.getAttribute('aria-label')")
    press("ArrowRight")
    assert seen.page.evaluate("document.activeElement.getAttribute('aria-label')") != before
    assert seen.page.evaluate("app.playback.made") == 0
    assert stops.count() == 3
    for place in ("#recalled button >> nth=2", "#strip .token.current"):
        seen.page.locator(place).focus()
        press("ArrowRight")
        assert seen.page.evaluate("document.activeElement !== document.body")
    assert seen.page.evaluate("app.playback.made") == 2
    seen.page.locator("#scrub").focus()
    press("ArrowRight")
    assert seen.page.get_attribute("#scrub", "aria-valuetext") == seen.text("#count")
    seen.close()


def test_what_a_screen_reader_is_told(chromium, tmp_path):
    """Not every step while the machine runs; no control is hidden inside a picture."""
    seen = Seen(chromium, written(tmp_path, "bb4"))
    live = "byId('now').getAttribute('aria-live')"
    assert seen.page.evaluate(live) == "polite"
    seen.page.click("#play")
    assert seen.page.evaluate(live) == "off"
    seen.page.click("#play")
    assert seen.page.evaluate(live) == "polite"
    assert seen.page.get_attribute("#count", "aria-live") == "off"
    assert seen.page.locator("[role=img] [tabindex], [role=img] button").count() == 0
    seen.page.fill("#scrub", "60")
    assert seen.page.get_attribute("#graph", "aria-label") == "The state graph. Now: A; next: B"
    assert "head at -6, on 0" in seen.page.get_attribute(".tape[role=img]", "aria-label")
    unnamed = "[...document.querySelectorAll('button')].filter(b => !b.textContent.trim()"
    assert seen.page.evaluate(unnamed + " && !b.getAttribute('aria-label')).length") == 0
    seen.close()


def test_what_attention_recalls(chromium, tmp_path):
    """The step that wrote the cell under the head is told, marked, and brought out."""
    seen = Seen(chromium, written(tmp_path, "palindrome-2tape", "--input", "1001001"))
    seen.page.fill("#scrub", "10")
    line = "#recalled li >> nth=4"  # head 2.0, tape0.read
    assert "6 steps ago" in seen.text(line)
    assert "the last step" in seen.text("#recalled li >> nth=5")
    steps = seen.page.evaluate("app.run.steps.map(s => s.before.heads[0])")
    heads = seen.page.evaluate("app.playback.configuration.heads")
    latest = max(i for i, address in enumerate(steps[:10]) if address == heads[0])
    assert 10 - latest == 6
    ring = seen.page.locator(".recall").first.bounding_box()
    canvas = seen.page.locator("#history canvas").first.bounding_box()
    row = canvas["height"] / 25  # the 24 steps, and before them the start
    assert ring["y"] - canvas["y"] == pytest.approx((latest + 0.5) * row, abs=2)
    assert ring["height"] == pytest.approx(6 * row, abs=2)
    seen.page.hover(line)
    assert "0R,0R>copy" in seen.page.locator("#strip .token.recalled").text_content()
    assert seen.page.locator("#strip .of-head:not(.faint)").count() == 1
    seen.keep("palindrome-2tape-recall")
    seen.page.hover("h1")
    assert seen.page.locator(".faint, .recalled").count() == 0
    seen.close()


def test_a_cell_that_was_given_is_recalled_from_the_first_row(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "binary-increment", "--input", "1011"))
    seen.page.fill("#scrub", "2")
    assert "steps ago" not in seen.text("#recalled")
    ring = seen.page.locator(".recall").bounding_box()
    canvas = seen.page.locator("#history canvas").bounding_box()
    row = canvas["height"] / 9
    assert ring["y"] - canvas["y"] == pytest.approx(row / 2, abs=2)
    assert ring["height"] == pytest.approx(2 * row, abs=2)
    seen.page.fill("#scrub", "4")  # reads the blank cell after the word, which nobody wrote
    assert seen.page.locator(".recall").is_hidden()
    seen.close()


CONTRASTS = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const part = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) =>
    0.2126 * part(r / 255) + 0.7152 * part(g / 255) + 0.0722 * part(b / 255);
  const behind = (at) => {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    return colour[3] === 255 ? colour : behind(at.parentElement);
  };
  const found = [];
  for (const at of document.body.querySelectorAll("*:not(svg *)")) {
    if (![...at.childNodes].some((it) => it.nodeType === 3 && it.data.trim())) continue;
    if (!at.getClientRects().length) continue;
    const [a, b] = [light(rgba(getComputedStyle(at).color)), light(behind(at))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), at.outerHTML.slice(0, 80)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(chromium, tmp_path, scheme):
    """All text stands out from what is behind it by 4.5 to 1, as WCAG 2 AA asks."""
    seen = Seen(chromium, written(tmp_path, "palindrome-2tape"), color_scheme=scheme)
    seen.page.fill("#scrub", "10")
    found = seen.page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [it for it in found if it[0] < 4.5] == []
    seen.close()
