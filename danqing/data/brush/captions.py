"""Captions that are true of a scene, in several manners from a full sentence to a typed-in prompt."""

from __future__ import annotations

from typing import Any

import numpy as np

from danqing.data.brush import phrases as ph
from danqing.data.brush.scene import Element, Scene

# Never worth a mention: every picture may carry them.
_SILENT = ("seal", "inscription")


def caption(scene: Scene) -> tuple[str, str]:
    """(English, Chinese): category and content and technique, each with an adjective, naming the main element."""
    rng = np.random.default_rng([scene.seed, 3])
    extras = [e for e in scene.elements[1:] if e.kind not in _SILENT]
    mentioned = [e for e in extras if rng.random() < 0.75][:2]
    manner = int(rng.integers(8))
    chinese = _chinese(rng, scene, mentioned)
    english = (_full, _full, _full, _depicting, _titled, _typed, _typed, _subject_first)[manner](rng, scene, mentioned)
    return english, chinese


def _pick(rng: np.random.Generator, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _main(rng: np.random.Generator, scene: Scene, adjective: bool = True) -> str:
    """The main element as a noun phrase, counted when there are several."""
    e = scene.elements[0]
    one, many, _, _ = ph.NOUN[e.kind]
    word = _pick(rng, ph.MAIN_ADJECTIVE[e.kind])[0] + " " if adjective else ""
    if e.kind in ("mountain", "plum") or (e.kind == "orchid" and rng.random() < 0.5):
        return word + many
    if e.kind == "bamboo":
        return word + one
    if e.count > 1:
        return f"{ph.NUMBER[min(e.count, 9)]} {word}{many}"
    return _article(word + one)


def _extra(rng: np.random.Generator, e: Element) -> str:
    """A secondary element as a noun phrase, sometimes placed."""
    one, many, _, _ = ph.NOUN[e.kind]
    if e.kind in ("mist", "water", "reeds", "bamboo"):
        out = {"mist": "drifting mist", "water": "rippling water"}.get(e.kind, one)
    elif e.kind == "geese":
        out = _pick(rng, ("wild geese", f"{ph.NUMBER[min(e.count, 9)]} wild geese", "a line of geese"))
    elif e.kind == "mountain":
        return _pick(rng, ("distant mountains", "far mountains", "mountains in the distance"))
    elif e.kind == "moon":
        out = _pick(rng, ("a full moon", "the moon", "a moon"))
    elif e.kind == "boat":
        out = _pick(rng, ("a lone boat", "a small boat"))
    else:
        out = many if e.count > 1 else _article(one)
    if e.place in ("left", "right") and rng.random() < 0.45:
        out += " " + ph.PLACE[e.place][0]
    return out


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _manner(rng: np.random.Generator, scene: Scene) -> list[str]:
    """The technique (with an adjective at times) and whatever else is worth saying."""
    adjective = _pick(rng, ph.TECHNIQUE_ADJECTIVE)
    technique = ph.TECHNIQUE[scene.technique][0]
    out = [f"{adjective} {technique}".strip()]
    ink = ph.INK[scene.ink][0]
    if ink and ink != technique and rng.random() < 0.5:
        out.append(ink)
    if scene.palette not in ("ink", scene.technique.replace(" ", "-")):
        out.append(ph.PALETTE[scene.palette][0])
    if rng.random() < 0.5:
        out.append(scene.season)
    if rng.random() < 0.25:
        out.append(ph.GROUND[scene.ground][0])
    if rng.random() < 0.15:
        out.append(ph.COMPOSITION[scene.composition][0])
    return out


def _placed(rng: np.random.Generator, scene: Scene, subject: str, chance: float) -> str:
    place = scene.elements[0].place
    return f"{subject} {ph.PLACE[place][0]}" if rng.random() < chance else subject


def _full(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    subject = _placed(rng, scene, _main(rng, scene), 0.25)
    out = f"{_article(_pick(rng, ph.CATEGORY[scene.category])[0])} painting of {subject}"
    if extras:
        out += _pick(rng, (" with ", " and ", " beside " if scene.main != "mountain" else " with "))
        out += _joined([_extra(rng, e) for e in extras])
    out += ", " + ", ".join(_manner(rng, scene)) + "."
    return out[0].upper() + out[1:]


def _depicting(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    content = ph.CONTENT[scene.content][0]
    out = f"{_article(_pick(rng, ph.CATEGORY[scene.category])[0])} painting of {content}: "
    out += _placed(rng, scene, _main(rng, scene), 0.4)
    if extras:
        out += ", with " + _joined([_extra(rng, e) for e in extras])
    out += "; " + ", ".join(_manner(rng, scene)) + "."
    return out[0].upper() + out[1:]


def _titled(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    subject = _main(rng, scene)
    things = [subject, *[_extra(rng, e) for e in extras]]
    season = f"{scene.season} scene, " if rng.random() < 0.5 else ""
    style = _pick(rng, ph.CATEGORY[scene.category])[0]
    out = f"{_joined(things)}, {season}{style} Chinese painting in {_manner(rng, scene)[0]}"
    return out[0].upper() + out[1:]


def _typed(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    subject = _pick(rng, ph.ALIAS[scene.main]) if scene.elements[0].count == 1 else _main(rng, scene, adjective=False)
    if rng.random() < 0.4:
        subject = _main(rng, scene)
    parts = [subject, *[_extra(rng, e) for e in extras[:1]]]
    if rng.random() < 0.6:
        parts.append(scene.category)
    if rng.random() < 0.4:
        parts.append(ph.TECHNIQUE[scene.technique][0])
    if scene.palette != "ink" and rng.random() < 0.6:
        parts.append(ph.PALETTE[scene.palette][0])
    if rng.random() < 0.25:
        parts.append(scene.season)
    return ", ".join(dict.fromkeys(parts))


def _subject_first(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    subject = _placed(rng, scene, _main(rng, scene), 0.5)
    out = f"{subject}, painted {_pick(rng, ('in', 'with'))} {_manner(rng, scene)[0]}"
    out += f" in {_article(_pick(rng, ph.CATEGORY[scene.category])[0])} manner"
    if extras:
        out += ", with " + _joined([_extra(rng, e) for e in extras])
    if rng.random() < 0.5:
        out += f", {scene.season}"
    return out[0].upper() + out[1:] + "."


def _chinese(rng: np.random.Generator, scene: Scene, extras: list[Element]) -> str:
    """As a mounter would label it: manner and content, what is shown, technique, season."""
    e = scene.elements[0]
    _, _, noun, measure = ph.NOUN[e.kind]
    category = _pick(rng, ph.CATEGORY[scene.category])[1]
    shown = f"{ph.NUMBER_ZH[min(e.count, 9)]}{measure}{noun}" if e.count > 1 else None
    shown = shown or _pick(rng, ph.MAIN_ADJECTIVE[e.kind])[1] + noun
    for x in extras:
        far = "远" if x.place == "far" else ""
        shown += far + ph.NOUN[x.kind][2]
    parts = [category + ph.CONTENT[scene.content][1], shown, ph.TECHNIQUE[scene.technique][1]]
    ink = ph.INK[scene.ink][1]
    if ink and ink != parts[-1] and rng.random() < 0.5:
        parts.append(ink)
    if rng.random() < 0.3:
        parts.append(ph.PALETTE[scene.palette][1] if scene.palette != "ink" else ph.GROUND[scene.ground][1])
    if rng.random() < 0.6:
        parts.append(ph.SEASON[scene.season][1])
    return ",".join(dict.fromkeys(parts)).replace(",", "\uff0c")
