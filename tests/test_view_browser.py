"""Pages in a real browser, headless Chromium: loaded, played, scrubbed, clicked, typed into.

Screenshots are kept in build/screenshots/, to be looked at.
"""

import pytest

from tests.browsing import Seen, launched, written


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


def play_to_the_end(seen):
    seen.page.select_option("#speed", "64")
    assert seen.page.evaluate("app.playback.next !== null")
    seen.page.click("#play")
    seen.wait_for("!app.playing && app.playback.next === null")


def test_bb4(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "bb4"))
    assert seen.text("#count") == "step 0 of 107 (halted)"
    assert seen.text("#now") == "State A reads 0: writes 1, moves right; enters B."
    play_to_the_end(seen)
    assert seen.text("#now") == "The run is over: halted after 107 steps, in state Z."
    assert seen.tape() == "1" * 13
    seen.keep("bb4-end")
    seen.page.fill("#scrub", "60")
    assert seen.text("#count") == "step 60 of 107 (halted)"
    assert seen.page.evaluate("app.playback.configuration.state") == "A"
    assert seen.page.locator("#graph .now").get_attribute("id") == "g-state-0"
    assert seen.page.locator("#graph .next").get_attribute("id") == "g-edge-0-1"
    seen.keep("bb4-step-60")
    seen.page.fill("#scrub", "0")
    assert seen.tape() == ""
    seen.close()


def test_weights_by_click(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "bb4"))
    seen.page.fill("#scrub", "60")
    lit = seen.page.locator(".layer").nth(3).locator(".neuron.lit")
    assert lit.count() == 1
    lit.click()
    assert seen.text("#details-title") == "Neuron 2.0"
    assert "if state=A and tape0.read=0 then next.state=B" in seen.text("#details")
    seen.keep("bb4-neuron")
    seen.page.click("#recalled button:has-text('tape0.read')")
    assert seen.text("#details-title") == "Head 2.0: tape0.read"
    assert "tape0.write=1\ttape0.read=1\t1" in seen.text("#details")
    seen.page.click(".chip:has-text('next.state=B')")
    assert "next.state=B" in seen.text("#details-title")
    assert "neuron 2.0" in seen.text("#details")
    seen.page.locator("#strip .token.next").click()
    assert "1R>B" in seen.text("#details-title")
    seen.page.keyboard.press("Escape")
    assert seen.page.locator("#details").is_hidden()
    seen.close()


def test_binary_increment_and_a_new_input(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "binary-increment", "--input", "1011"))
    assert seen.tape() == "1011"
    play_to_the_end(seen)
    assert seen.tape() == "1100"
    seen.keep("binary-increment-1011")
    seen.page.fill("#words input", "111")
    seen.page.click("text=Run the model")
    assert seen.tape() == "111"
    assert seen.text("#count").startswith("step 0 of ")
    play_to_the_end(seen)
    assert seen.tape() == "1000"
    assert "halted after 8 steps" in seen.text("#now")
    seen.keep("binary-increment-111")
    seen.page.fill("#words input", "12")
    seen.page.keyboard.press("Enter")
    assert seen.text("#problem") == "2 is no symbol of this machine; it has _ 0 1"
    seen.close()


def test_two_tapes_in_the_dark_on_a_phone(chromium, tmp_path):
    path = written(tmp_path, "palindrome-2tape")
    phone = {"width": 390, "height": 844}
    seen = Seen(chromium, path, viewport=phone, color_scheme="dark", has_touch=True)
    seen.page.tap("#last")
    assert "accepted" in seen.text("#now")
    for width in (320, 390, 768, 1100, 1400, 2200):
        seen.page.set_viewport_size({"width": width, "height": 844})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.page.set_viewport_size(phone)
    seen.keep("palindrome-2tape-phone-dark")
    dark = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    seen.page.tap("#theme")
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    seen.keep("palindrome-2tape-phone-light")
    seen.close()


def test_keys(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "bb4"))
    press = seen.page.keyboard.press
    made = "app.playback.made"
    for key, after in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 107)):
        press(key)
        assert seen.page.evaluate(made) == after
    press("Shift+ArrowLeft")
    assert seen.page.evaluate(made) == 106
    press("Home")
    assert seen.page.evaluate(made) == 0
    speed = seen.page.evaluate("app.speed")
    press("+")
    assert seen.page.evaluate("app.speed") == 2 * speed
    press("Space")
    assert seen.page.evaluate("app.playing")
    press("Space")
    assert not seen.page.evaluate("app.playing")
    press("?")
    assert seen.page.locator("#manual").is_visible()
    press("Escape")
    assert seen.page.locator("#manual").is_hidden()
    seen.page.locator("#strip .token").first.focus()
    press("Enter")
    assert "<bos>" in seen.text("#details-title")
    seen.close()


def test_reduced_motion(chromium, tmp_path):
    path = written(tmp_path, "bb4")
    for motion, still in (("reduce", True), ("no-preference", False)):
        seen = Seen(chromium, path, reduced_motion=motion)
        seen.page.keyboard.press("ArrowRight")
        strip = seen.page.locator(".cells").get_attribute("class")
        assert ("still" in strip) == still
        seen.close()


def test_tokens_that_are_cells(chromium, tmp_path):
    path = written(tmp_path, "bb3", "--construction", "scratchpad")
    seen = Seen(chromium, path)
    assert "of 21, token 0 (halted)" in seen.text("#count")
    seen.page.keyboard.press("Shift+ArrowRight")
    assert "step 1 of 21, token 3 (halted)" in seen.text("#count")
    seen.page.keyboard.press("Shift+ArrowLeft")
    assert "step 0 of 21, token 0" in seen.text("#count")
    seen.page.keyboard.press("End")
    assert seen.tape() == "11111"
    seen.keep("bb3-scratchpad")
    seen.close()


def test_positions_that_are_cells(chromium, tmp_path):
    """A looped model: a pass is a step, heads look both ways, the window grows."""
    path = written(tmp_path, "palindrome-2tape", "--construction", "looped", "--window", "8")
    seen = Seen(chromium, path)
    assert "step 0 of 24 (accepted)" in seen.text("#count")
    seen.page.fill("#scrub", "9")
    current = seen.page.locator("#strip .token.current text").first.text_content()
    assert current == "[0],0"  # tape 0's head is on 5, tape 1's on 6
    assert "tape1.right" in seen.text("#recalled")
    seen.keep("palindrome-2tape-looped")
    seen.page.keyboard.press("End")
    assert "accepted after 24 steps" in seen.text("#now")
    seen.close()


def test_a_run_without_end(chromium, tmp_path):
    """It is computed up to a limit, and further if asked; the page stays awake meanwhile."""
    seen = Seen(chromium, written(tmp_path, "counter"))
    assert "(so far)" in seen.text("#count")
    before = seen.page.evaluate("app.run.passes.length")
    assert before == 20_000
    seen.page.evaluate("app.limit += 500 - 20000")  # the button adds 20,000
    seen.page.click("#more")
    seen.wait_for("app.computed")
    assert seen.page.evaluate("app.run.passes.length") == before + 500
    seen.keep("counter")
    seen.close()


def test_a_step_by_a_click_on_the_diagram(chromium, tmp_path):
    seen = Seen(chromium, written(tmp_path, "bb4"))
    box = seen.page.locator("#history canvas").bounding_box()
    seen.page.mouse.click(box["x"] + 5, box["y"] + box["height"] / 2)
    assert 50 <= seen.page.evaluate("app.playback.done") <= 58
    seen.close()
