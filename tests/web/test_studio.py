"""The studio in a real browser, in front of a real gateway that paints in this process."""

from __future__ import annotations

import base64
import io
import json
import re
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="the studio's tests drive a browser: pip install 'danqing[dev]'")
from playwright.sync_api import expect

pytestmark = pytest.mark.slow
SLOW = 60_000  # milliseconds for a picture, on a busy machine
KEY = "0123456789abcdef0123"


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return {"name": "scene.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def scene():
    return np.random.default_rng(0).integers(0, 256, (140, 180, 3), dtype=np.uint8)


def downloaded(page, place):
    with page.expect_download() as download:
        page.locator(place).get_by_role("button", name=re.compile("下载|Download")).first.click()
    return download.value.path().read_bytes()


def painted(page, prompt, seed="7"):
    page.fill("#prompt", prompt)
    page.fill("#seed", seed)
    page.click("#order .strong")
    expect(page.locator("#painted figcaption")).to_be_visible(timeout=SLOW)


def canned(**more):
    """The last line of a preview, where the picture itself does not matter."""
    picture = {"png": base64.b64encode(png(scene())["buffer"]).decode(), "seed": 5, "model": "danqing-0123", "note": ""}
    return json.dumps({"picture": picture | more}) + "\n"


def answering(page, path, status, body):
    page.route(f"**{path}", lambda route: route.fulfill(status=status, body=body, content_type="application/json"))


def test_chinese_words_unfold_into_a_picture_that_can_be_kept_and_downloaded(studio, album):
    page = studio("zh")
    expect(page.locator("h1").first).to_have_text("以言作画")
    expect(page.get_by_role("button", name="梅花")).to_be_visible()
    page.screenshot(path=album / "start.png")
    page.evaluate("""() => {
        window.laid = new Set();
        new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((n) => laid.add(n))))
          .observe(document.getElementById("paper"), {childList: true}); }""")
    with page.expect_response("**/preview") as answer:
        page.fill("#prompt", "孤舟，远山，写意")
        page.fill("#seed", "7")
        page.get_by_role("button", name="落笔").click()
        expect(page.locator("#painted .status")).to_contain_text("共 8 笔", timeout=SLOW)
        page.screenshot(path=album / "painting.png")
        expect(page.locator("#painted figcaption")).to_be_visible(timeout=SLOW)
    assert page.evaluate("() => window.laid.size") >= 4  # three steps at the least, and the picture
    last = json.loads(answer.value.text().splitlines()[-1])["picture"]
    sent = base64.b64decode(last["png"])
    assert downloaded(page, "#painted") == sent
    origin = page.locator("#painted .origin")
    origin.locator("summary").click()
    expect(origin).to_contain_text(last["model"])
    expect(origin.get_by_role("heading")).to_have_count(2)  # what the file says of itself, and the nearest works
    expect(origin.locator("ol > li")).to_have_count(len(last["nearest"]))
    expect(origin).to_contain_text(last["nearest"][0]["title"])
    page.wait_for_timeout(1500)
    page.screenshot(path=album / "painted.png")

    page.reload()
    page.get_by_role("link", name="画册").click()
    card = page.locator("#pictures li")
    expect(card).to_contain_text("种子 7")
    assert downloaded(page, "#pictures") == sent
    card.get_by_role("button", name="取回").click()
    expect(page.locator("#prompt")).to_have_value("孤舟，远山，写意")
    expect(page.locator("#seed")).to_have_value("7")
    page.get_by_role("link", name="画册").click()
    page.get_by_role("button", name="全部删除").click()
    page.get_by_role("button", name="留着").click()
    expect(card).to_have_count(1)
    page.get_by_role("button", name="全部删除").click()
    page.locator("#sure").get_by_role("button", name="全部删除").click()
    expect(card).to_have_count(0)
    expect(page.get_by_text("还没有画")).to_be_visible()


def test_a_brush_and_a_box_mark_what_is_replaced_or_restored_and_the_rest_stays(studio, album):
    page, picture = studio("en"), scene()
    page.get_by_role("link", name="Edit").click()
    page.set_input_files("#upload", png(picture))
    canvas = page.locator("#mask")
    expect(page.get_by_text("180 × 140")).to_be_visible()
    place = canvas.bounding_box()
    page.mouse.move(place["x"] + place["width"] * 0.4, place["y"] + place["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.6, place["y"] + place["height"] * 0.5, steps=4)
    page.mouse.up()
    expect(page.locator("#stage .status")).to_have_text("Marks: 1")
    page.fill("#instruction", "a pagoda")
    page.screenshot(path=album / "editing.png")
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#compare")).to_be_visible(timeout=SLOW)
    made = np.asarray(Image.open(io.BytesIO(downloaded(page, "#stage"))))
    differs = (made != picture).any(2)
    assert made.shape == picture.shape and differs[56:70, 72:108].mean() > 0.5
    assert not differs[:30].any() and not differs[110:].any()

    cut = page.get_by_role("slider", name="Before and after")
    cut.focus()
    page.keyboard.press("End")
    assert page.locator("#stage .paper").evaluate("(e) => e.style.getPropertyValue('--cut')") == "100%"
    page.screenshot(path=album / "edited.png")

    page.get_by_role("button", name="Back to the marks").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_label("Restore").check()
    page.get_by_text("Mark a box by numbers").press("Enter")
    page.get_by_label("Bottom %").fill("50")
    page.get_by_role("button", name="Mark the box").press("Enter")
    page.fill("#instruction", "")
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#compare")).to_be_visible(timeout=SLOW)
    inside = np.zeros(picture.shape[:2], bool)
    inside[35:70, 45:135] = True
    differs = (np.asarray(Image.open(io.BytesIO(downloaded(page, "#stage")))) != picture).any(2)
    assert not differs[~inside].any() and differs[inside].mean() > 0.5


def test_a_scene_goes_on_and_a_manner_changes(studio):
    page = studio("en", view="edit")
    page.set_input_files("#upload", png(scene()))
    page.fill("#instruction", "pine trees")
    page.get_by_label("Extend").check()
    page.get_by_label("Left", exact=True).check()
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#compare")).to_be_visible(timeout=SLOW)
    made = np.asarray(Image.open(io.BytesIO(downloaded(page, "#stage"))))
    assert made.shape == (140, 250, 3) and np.array_equal(made[:, 70:], scene())
    page.get_by_role("button", name="Go on from this").click()
    page.get_by_label("New manner").check()
    page.get_by_role("slider", name="How much is new").fill("10")
    page.get_by_role("button", name="Repaint").click()
    expect(page.locator("#compare")).to_be_visible(timeout=SLOW)
    revised = np.asarray(Image.open(io.BytesIO(downloaded(page, "#stage"))))
    assert 0.05 < (revised != made).any(2)[:, 55:195].mean() <= 0.11  # a tenth of the square in the middle


def test_what_the_painter_cannot_read_is_said_in_the_language_of_the_page(studio, album):
    page = studio("zh")
    page.fill("#prompt", "饕餮")
    page.click("#order .strong")
    notice = page.locator("#order").get_by_role("alert")
    expect(notice).to_contain_text("画师读不懂", timeout=SLOW)
    expect(page.locator("#prompt")).to_be_focused()
    expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    assert "画师读不懂" in page.locator("#" + page.locator("#prompt").get_attribute("aria-describedby")).inner_text()
    page.screenshot(path=album / "refusal.png")
    page.get_by_role("button", name="English").click()
    page.click("#order .strong")
    expect(notice).to_contain_text("No word of the prompt", timeout=SLOW)


REFUSALS = [
    (403, {"code": "refused", "message": "no", "rule": "r", "reason_zh": "此处不画神像"}, ["此处不画神像"], False),
    (403, {"code": "needs_approval", "message": "", "reason_zh": "须问", "approval": "a-17"}, ["须问", "a-17"], False),
    (429, {"code": "busy", "message": "16 requests are being painted"}, ["画笔都在用"], True),
    (503, {"code": "not_ready", "message": "the painter cannot be reached"}, ["画师还没准备好"], True),
    (200, {"problem": {"code": "too_slow", "message": "no picture within the time"}}, ["画得太久"], True),
    (502, {}, ["没有成功"], False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "words", "again"), REFUSALS, ids=lambda value: str(value)[:30])
def test_every_no_is_explained(studio, status, body, words, again):
    """What only a guard, an overloaded or a broken server says, said in their stead in the form they share."""
    page = studio("zh")
    answering(page, "/preview", status, json.dumps(body) + "\n")
    page.fill("#prompt", "山")
    page.click("#order .strong")
    notice = page.locator("#order").get_by_role("alert")
    for word in words:
        expect(notice).to_contain_text(word)
    expect(notice.get_by_role("button", name="再试一次")).to_have_count(int(again))
    expect(page.locator("#paper .empty")).to_be_visible()


def test_a_lost_gateway_is_said_and_another_try_succeeds(studio):
    page = studio("en")
    page.route("**/preview", lambda route: route.abort())
    page.fill("#prompt", "bamboo")
    page.click("#order .strong")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/preview")
    answering(page, "/preview", 200, canned())
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#painted figcaption")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_brush_that_is_put_down_frees_the_painter_and_keeps_nothing(studio, gateway):
    page = studio("en")
    page.fill("#prompt", "bamboo")
    with gateway.atelier.backend._turn:  # it paints when we say so: otherwise it might be done before we stop it
        page.click("#order .strong")
        page.get_by_role("button", name="Put down the brush").click()
        expect(page.locator("#painted .status")).to_contain_text("Nothing was kept")
    end = time.monotonic() + 30
    while gateway.atelier.gate.inside and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert gateway.atelier.gate.inside == 0
    page.get_by_role("link", name="Album").click()
    expect(page.get_by_text("Nothing yet")).to_be_visible()


def test_where_a_picture_comes_from_is_shown_where_the_gateway_knows(studio):
    page = studio("en")
    source = "https://museum.test/1"
    works = [{"id": "1", "title": "<b>Fishermen</b>", "licence": "CC0", "source_url": source, "similarity": 0.81},
             {"id": "2", "title": "Plum", "source_url": "javascript:alert(1)"}]  # fmt: skip
    answering(page, "/preview", 200, canned(note="鬼 → 仙", nearest=works))
    answering(page, "/inspect", 200, json.dumps({"credential": {"valid": True}, "watermark": ["found"]}))
    painted(page, "plum")
    origin = page.locator("#painted .origin")
    origin.locator("summary").click()
    for words in ("鬼 → 仙", "<b>Fishermen</b>", "81 % alike · CC0", "What the file itself says", "yes", "found"):
        expect(origin).to_contain_text(words)
    links = origin.get_by_role("link")
    expect(links).to_have_count(1)
    expect(links).to_have_attribute("href", source)


def test_chips_add_and_remove_their_word_in_the_language_of_the_page(studio):
    page = studio("zh")
    page.fill("#prompt", "孤舟")
    plum = page.get_by_role("button", name="梅花", exact=True)
    plum.click()
    expect(page.locator("#prompt")).to_have_value("孤舟，梅花")
    expect(plum).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="plum blossom", exact=True).click()
    expect(page.locator("#prompt")).to_have_value("孤舟")
    page.get_by_label("Season").check()
    page.get_by_role("button", name="winter").click()
    expect(page.locator("#prompt")).to_have_value("孤舟，winter")
    page.get_by_role("button", name="Another one").click()
    assert int(page.locator("#seed").input_value()) >= 0


def test_the_language_is_the_browsers_until_another_is_chosen(studio):
    page = studio("en")
    assert page.locator("html").get_attribute("lang") == "en" and page.title().startswith("Say what to paint")
    page.get_by_role("button", name="中文").click()
    assert page.locator("html").get_attribute("lang") == "zh-Hans" and page.title().startswith("以言作画")
    page.reload()
    expect(page.get_by_role("button", name="落笔")).to_be_visible()
    tables = page.evaluate("async () => (await import('/studio/words.js')).TABLES")
    assert set(tables["en"]) <= set(tables["zh"]) and all(
        k.startswith("say_") for k in set(tables["zh"]) - set(tables["en"])
    )
    used = page.evaluate("() => [...document.querySelectorAll('[data-t]')].map((e) => e.dataset.t)")
    assert set(used) <= set(tables["en"])


def test_a_key_is_asked_for_once_and_forgotten_with_the_tab(studio, start, tmp_path):
    (tmp_path / "keys").write_text(f"museum {KEY}\n")
    page = studio("en", url=start(keys_file=str(tmp_path / "keys")).url)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("does not know this key")
    dialog.get_by_label("API key").fill(KEY)
    dialog.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("button", name="bamboo")).to_be_visible()
    stored = "() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
    assert page.evaluate(stored) == [[KEY], [], ""]


FOCUSED = """() => { const e = document.activeElement, r = getComputedStyle(e), s = e.nextElementSibling;
  const ring = (c) => c.outlineStyle !== "none" && parseFloat(c.outlineWidth) >= 2;
  return [e.id || e.textContent.trim() || e.value || e.tagName,
          e.tagName === "BODY" || ring(r) || (s && r.opacity === "0" && ring(getComputedStyle(s)))]; }"""


def test_everything_is_within_reach_of_the_keyboard(studio):
    page = studio("en")
    expect(page.get_by_role("button", name="bamboo")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the work")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("bamboo, ")
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#painted figcaption")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_focused()

    order = []
    for _ in range(100):
        page.keyboard.press("Tab")
        name, visible = page.evaluate(FOCUSED)
        assert visible, f"nobody sees that {name} has the focus"
        order.append(name)
        if name == "BODY" or name.startswith("Skip"):
            break
    else:
        raise AssertionError(f"no way out: {order[-5:]}")
    wanted = ["elements", "mountain", "valley", "Download", "Change it", "Where does this picture come from?"]
    assert [name for name in order if name in wanted] == wanted


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_phone_nothing_is_cut_off(studio, album, language):
    page = studio(language, width=360, height=780, has_touch=True, is_mobile=True)
    answering(page, "/preview", 200, canned())
    painted(page, "a lone boat under misty mountains, freehand")
    for view in ("paint", "edit", "album"):
        page.evaluate("(view) => { location.hash = view; }", view)
        expect(page.locator(f"#{view}")).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") == 360
        for control in page.locator(f"#{view} button:visible, nav a").all():
            assert control.bounding_box()["height"] >= 24  # WCAG 2.2, 2.5.8
        page.screenshot(path=album / f"phone-{view}-{language}.png", full_page=True)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_to_mend(studio, language):
    """The rules of axe-core (WCAG 2.2 AA and its best practices), contrast among them, in every view."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = studio(language, reduced_motion="reduce")
    answering(page, "/preview", 200, canned())

    def check(what):
        found = axe.run(page).response["violations"]
        assert not found, what + ": " + "; ".join(f"{v['id']} at {v['nodes'][0]['html'][:120]}" for v in found)

    expect(page.locator("#words")).to_be_visible()
    check("start")
    painted(page, "plum")
    page.locator(".origin summary").click()
    page.wait_for_timeout(200)
    check("painted")
    page.unroute("**/preview")
    answering(page, "/preview", 429, json.dumps({"code": "busy", "message": "busy", "request_id": "0" * 32}))
    page.click("#order .strong")
    expect(page.get_by_role("alert")).to_be_visible()
    check("refused")
    for view in ("album", "edit"):
        page.evaluate("(view) => { location.hash = view; }", view)
        expect(page.locator(f"#{view}")).to_be_visible()
        check(view)
    page.locator("#choices button").first.click()
    page.locator("#mask-tools summary").click()
    for mode in ("extend", "manner", "restore"):
        page.locator(f"[name=mode][value={mode}]").check()
        check(mode)
    page.evaluate("(view) => { location.hash = view; }", "album")
    page.click("#delete-all")
    check("question")
