"""Deciding what to paint: a seed and some wishes become a scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from danqing.data.brush import layout, vocab
from danqing.data.brush.recipes import BY_CATEGORY, CUNS, MOST, RECIPES, Recipe
from danqing.data.brush.scene import Element, Scene

_LISTS: dict[str, tuple[str, ...]] = {
    "category": vocab.CATEGORIES,
    "technique": vocab.TECHNIQUES,
    "content": vocab.CONTENTS,
    "season": vocab.SEASONS,
    "palette": vocab.PALETTES,
    "ground": vocab.GROUNDS,
    "ink": vocab.INKS,
    "composition": vocab.COMPOSITIONS,
    "theme": tuple(vocab.SUBTHEMES),
    "subtheme": tuple(s for subs in vocab.SUBTHEMES.values() for s in subs),
    "place": vocab.PLACES,
}


def compose(seed: int, *, main: str | None = None, **wishes: Any) -> Scene:
    """Decide a scene. Wishes are honoured as given; everything else follows from the seed.

    Wishes: any one-word field of `Scene` (category, technique, season, palette, ground, ink, composition,
    theme, subtheme, content), `place` (left, right, centre) and `count` of the main element, and `extras`,
    an iterable of secondary element kinds that replaces the seed's own choice.
    """
    _check(main, wishes)
    rng = np.random.default_rng([seed, 17])
    if main is None:
        main = _pick(rng, _mains_for(wishes))
    recipe = RECIPES[main]
    theme, subtheme = _subject(rng, recipe, wishes)
    technique, category, palette = _manner(rng, recipe, wishes)
    ink = wishes.get("ink") or _ink_for(rng, technique)
    season = wishes.get("season") or _pick(rng, recipe.seasons)
    composition = wishes.get("composition") or _pick(rng, recipe.compositions)
    silk = 0.6 if category == "fine-brush" else 0.12
    ground = wishes.get("ground") or ("silk" if rng.random() < silk else "paper")
    # A scene is the truth: it must not promise more of a thing than the hand can paint.
    count = min(max(int(wishes.get("count") or _pick(rng, recipe.counts)), 1), MOST.get(main, 1))
    place = wishes.get("place") or _place_for(rng, composition)
    box = layout.main_box(rng, main, recipe, composition, place, count)
    element = Element(kind=main, box=box, count=count, place=place)
    kinds = wishes.get("extras")
    if kinds is None:
        kinds = _companions(rng, recipe, technique)
    elements = [element, *layout.extras(rng, element, [k for k in kinds if k != main])]
    content = wishes.get("content") or _pick(rng, recipe.contents)
    return Scene(
        seed=seed,
        theme=theme,
        subtheme=subtheme,
        category=category,
        content=content,
        technique=technique,
        main=main,
        elements=tuple(elements),
        season=season,
        palette=palette,
        ground=ground,
        ink=ink,
        composition=composition,
        white_space=layout.white_space(elements, category),
    )


def _check(main: str | None, wishes: dict[str, Any]) -> None:
    if main is not None and main not in RECIPES:
        raise ValueError(f"unknown main element {main!r}; one of {', '.join(vocab.MAINS)}")
    for name, value in wishes.items():
        if name in ("count", "extras"):
            continue
        if name not in _LISTS:
            raise TypeError(f"compose() has no wish {name!r}")
        if value is not None and value not in _LISTS[name]:
            raise ValueError(f"unknown {name} {value!r}; one of {', '.join(_LISTS[name])}")
    for kind in wishes.get("extras") or ():
        if kind not in vocab.KINDS:
            raise ValueError(f"unknown element {kind!r}; one of {', '.join(vocab.KINDS)}")


def _pick(rng: np.random.Generator, options: tuple[Any, ...]) -> Any:
    return options[int(rng.integers(len(options)))]


def _mains_for(wishes: dict[str, Any]) -> tuple[str, ...]:
    """The mains that can satisfy the wished theme, subtheme and content; all of them if none can."""

    def fits(recipe: Recipe) -> bool:
        themes = {t for t, _ in recipe.subjects} | {None}
        subs = {s for _, s in recipe.subjects} | {None}
        contents = set(recipe.contents) | {None}
        return wishes.get("theme") in themes and wishes.get("subtheme") in subs and wishes.get("content") in contents

    return tuple(m for m in vocab.MAINS if fits(RECIPES[m])) or vocab.MAINS


def _subject(rng: np.random.Generator, recipe: Recipe, wishes: dict[str, Any]) -> tuple[str, str]:
    theme, sub = wishes.get("theme"), wishes.get("subtheme")
    options = tuple(s for s in recipe.subjects if theme in (None, s[0]) and sub in (None, s[1])) or recipe.subjects
    chosen = _pick(rng, options)
    return theme or chosen[0], sub or chosen[1]


def _manner(rng: np.random.Generator, recipe: Recipe, wishes: dict[str, Any]) -> tuple[str, str, str]:
    """Technique, category and palette that go together."""
    category = wishes.get("category") or _pick(rng, ("freehand", "freehand", "fine-brush", "sketch"))
    technique, palette = wishes.get("technique"), wishes.get("palette")
    if technique is None and palette is None:
        palette = "ink" if category == "sketch" else _pick(rng, recipe.palettes)
    if technique is None:
        if palette in ("blue-green", "light-crimson"):
            technique = palette.replace("light-", "light ")
        else:
            pool = BY_CATEGORY[category]
            if recipe.cun:
                pool += CUNS * (2 if recipe.size[0] > 0.9 else 1)
            technique = _pick(rng, pool)
    if palette is None:
        palette = {"blue-green": "blue-green", "light crimson": "light-crimson"}.get(technique)
    if palette is None:
        plain = category == "sketch" or technique == "outline"
        palette = (
            "ink" if plain else _pick(rng, tuple(p for p in recipe.palettes if p in ("ink", "colour")) or ("ink",))
        )
    return technique, category, palette


def _ink_for(rng: np.random.Generator, technique: str) -> str:
    fixed = {"thick ink": "thick", "pale ink": "pale", "splashed ink": "thick", "coarse brush": "thick"}
    return fixed.get(technique) or _pick(rng, ("thick", "medium", "medium", "pale"))


def _place_for(rng: np.random.Generator, composition: str) -> str:
    if composition in ("one-corner", "diagonal"):
        return _pick(rng, ("left", "right"))
    if composition == "centred":
        return "centre"
    return _pick(rng, ("centre", "left", "right"))


def _companions(rng: np.random.Generator, recipe: Recipe, technique: str) -> list[str]:
    number = int(rng.choice([0, 1, 2, 3], p=[0.15, 0.4, 0.32, 0.13]))
    order = [recipe.companions[i] for i in rng.permutation(len(recipe.companions))]
    if "cun" in technique and "rock" in recipe.companions:
        order.sort(key=lambda kind: kind != "rock")  # the texture must have stone to be seen on
        number = max(number, 1)
    kinds = order[:number]
    if "moon" in kinds and "sun" in kinds:
        kinds.remove("sun")
    if rng.random() < 0.55:
        kinds.append("inscription")
    if rng.random() < 0.75:
        kinds.append("seal")
    return kinds
