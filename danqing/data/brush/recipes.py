"""What goes with what: for each main element its subjects, sizes, companions and ways of painting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one main element may be composed; sizes are fractions of the picture."""

    subjects: tuple[tuple[str, str], ...]  # (theme, subtheme)
    contents: tuple[str, ...]
    size: tuple[float, float]  # width, height of the main box
    base: float  # y of the main box's lower edge
    compositions: tuple[str, ...]
    companions: tuple[str, ...]  # secondary kinds, each drawn at most once
    seasons: tuple[str, ...] = ("spring", "summer", "autumn", "winter")
    counts: tuple[int, ...] = (1,)
    cun: bool = False  # texture strokes make sense: there is stone to texture
    palettes: tuple[str, ...] = ("ink",)


_TREE = ("centred", "one-corner", "diagonal", "level distance")
_SPRAY = ("centred", "one-corner", "diagonal")

RECIPES: dict[str, Recipe] = {
    "mountain": Recipe(
        subjects=(("landscape", "seasonal"), ("landscape", "famous_relic")),
        contents=("landscape", "mountains", "mountains", "rocks"),
        size=(0.96, 0.74),
        base=0.9,
        compositions=("three distances: high", "level distance", "deep distance", "one-corner", "diagonal"),
        companions=("boat", "mist", "waterfall", "pine", "hut", "moon", "sun", "geese", "water", "pagoda"),
        cun=True,
        palettes=("ink", "ink", "ink", "blue-green", "light-crimson"),
    ),
    "pine": Recipe(
        subjects=(("landscape", "seasonal"), ("landscape", "famous_relic")),
        contents=("trees", "trees", "landscape"),
        size=(0.78, 0.82),
        base=0.95,
        compositions=_TREE,
        companions=("rock", "moon", "mist", "mountain", "figure", "sun"),
        cun=True,
        palettes=("ink", "ink", "light-crimson", "blue-green"),
    ),
    "bare_tree": Recipe(
        subjects=(("landscape", "seasonal"),),
        contents=("trees", "trees", "landscape"),
        size=(0.72, 0.82),
        base=0.95,
        compositions=_TREE,
        companions=("rock", "moon", "geese", "mountain", "mist", "water"),
        seasons=("autumn", "winter"),
        cun=True,
        palettes=("ink", "ink", "light-crimson"),
    ),
    "bamboo": Recipe(
        subjects=(("flower", "branch"), ("flower", "seasonal_flower")),
        contents=("bamboo",),
        size=(0.62, 0.92),
        base=0.97,
        compositions=_SPRAY,
        companions=("rock", "moon", "mist"),
        palettes=("ink", "ink", "ink", "colour"),
    ),
    "orchid": Recipe(
        subjects=(("flower", "seasonal_flower"), ("flower", "branch")),
        contents=("orchid",),
        size=(0.84, 0.66),
        base=0.9,
        compositions=_SPRAY,
        companions=("rock",),
        seasons=("spring", "summer", "autumn"),
        palettes=("ink", "ink", "colour"),
    ),
    "plum": Recipe(
        subjects=(("flower", "branch"), ("flower", "seasonal_flower")),
        contents=("plum",),
        size=(0.86, 0.84),
        base=0.93,
        compositions=_SPRAY,
        companions=("moon", "rock"),
        seasons=("winter", "winter", "spring"),
        palettes=("ink", "colour", "colour"),
    ),
    "lotus": Recipe(
        subjects=(("flower", "seasonal_flower"), ("flower", "vegetable_fruit")),
        contents=("lotus",),
        size=(0.84, 0.8),
        base=0.95,
        compositions=_SPRAY,
        companions=("water", "reeds"),
        seasons=("summer", "summer", "autumn"),
        palettes=("ink", "colour", "colour"),
    ),
    "bird": Recipe(
        subjects=(("bird_animal", "literati"), ("bird_animal", "divine_beast")),
        contents=("birds", "flowers-and-birds"),
        size=(0.66, 0.6),
        base=0.8,
        compositions=_SPRAY,
        companions=("moon", "sun", "rock"),
        counts=(1, 1, 1, 2),
        palettes=("ink", "ink", "colour", "colour"),
    ),
    "fish": Recipe(
        subjects=(("bird_animal", "insect_fish"), ("bird_animal", "literati")),
        contents=("fish",),
        size=(0.78, 0.72),
        base=0.86,
        compositions=_SPRAY,
        companions=("reeds", "water"),
        seasons=("spring", "summer", "autumn"),
        counts=(1, 2, 3, 4, 5),
        palettes=("ink", "colour", "colour"),
    ),
    "boat": Recipe(
        subjects=(("landscape", "seasonal"), ("landscape", "famous_relic")),
        contents=("boats", "boats", "water"),
        size=(0.64, 0.42),
        base=0.8,
        compositions=("level distance", "one-corner", "centred", "deep distance"),
        companions=("mountain", "reeds", "moon", "geese", "mist", "willow", "sun"),
        counts=(1, 1, 1, 2),
        palettes=("ink", "ink", "light-crimson"),
    ),
    "hut": Recipe(
        subjects=(("landscape", "architecture"), ("landscape", "seasonal")),
        contents=("buildings", "buildings", "landscape"),
        size=(0.62, 0.44),
        base=0.84,
        compositions=("level distance", "one-corner", "centred", "deep distance"),
        companions=("mountain", "willow", "rock", "bridge", "mist", "moon", "bamboo"),
        cun=True,
        palettes=("ink", "ink", "light-crimson"),
    ),
    "pagoda": Recipe(
        subjects=(("landscape", "architecture"), ("landscape", "famous_relic")),
        contents=("buildings", "buildings", "landscape"),
        size=(0.4, 0.82),
        base=0.93,
        compositions=("level distance", "one-corner", "centred", "three distances: high"),
        companions=("mountain", "mist", "moon", "geese", "rock", "sun"),
        cun=True,
        palettes=("ink", "ink", "light-crimson", "blue-green"),
    ),
    "figure": Recipe(
        subjects=(("figure", "historical"), ("figure", "myth"), ("figure", "folk")),
        contents=("figures",),
        size=(0.4, 0.72),
        base=0.92,
        compositions=("centred", "one-corner", "diagonal"),
        companions=("moon", "rock", "willow", "bamboo", "mist", "sun"),
        counts=(1, 1, 1, 2),
        palettes=("ink", "ink", "light-crimson", "colour"),
    ),
}

# Ways of handling the brush that suit each category; cun is added where a recipe has stone.
BY_CATEGORY: dict[str, tuple[str, ...]] = {
    "freehand": (
        "thick ink",
        "pale ink",
        "dry brush",
        "wet brush",
        "splashed ink",
        "broken ink",
        "coarse brush",
        "flying white",
        "layered wash",
        "boneless",
        "dotting",
    ),
    "fine-brush": ("fine brush", "layered wash", "outline", "boneless", "fine brush"),
    "sketch": ("outline", "outline", "fine brush", "pale ink", "dry brush"),
}
MOST = {"bird": 2, "fish": 5, "boat": 2, "figure": 3}  # of one main element; 1 where not listed
CUNS = ("hemp-fibre cun", "axe-cut cun", "raindrop cun")
