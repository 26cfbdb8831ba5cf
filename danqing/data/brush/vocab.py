"""The words a scene may use: the closed lists that composing, painting and captioning share."""

from __future__ import annotations

MAINS: tuple[str, ...] = (
    "mountain",
    "pine",
    "bare_tree",
    "bamboo",
    "orchid",
    "plum",
    "lotus",
    "bird",
    "fish",
    "boat",
    "hut",
    "pagoda",
    "figure",
)

EXTRAS: tuple[str, ...] = (
    "mist",
    "water",
    "moon",
    "sun",
    "rock",
    "waterfall",
    "bridge",
    "reeds",
    "willow",
    "geese",
    "inscription",
    "seal",
)

KINDS: tuple[str, ...] = MAINS + EXTRAS

CATEGORIES = ("freehand", "fine-brush", "sketch")
SEASONS = ("spring", "summer", "autumn", "winter")
PALETTES = ("ink", "blue-green", "light-crimson", "colour")
GROUNDS = ("paper", "silk")
INKS = ("thick", "medium", "pale")
PLACES = ("left", "right", "centre")

TECHNIQUES: tuple[str, ...] = (
    "thick ink",
    "pale ink",
    "dry brush",
    "wet brush",
    "splashed ink",
    "broken ink",
    "hemp-fibre cun",
    "axe-cut cun",
    "raindrop cun",
    "dotting",
    "outline",
    "boneless",
    "blue-green",
    "light crimson",
    "fine brush",
    "coarse brush",
    "layered wash",
    "flying white",
)

CONTENTS: tuple[str, ...] = (
    "landscape",
    "mountains",
    "water",
    "trees",
    "bamboo",
    "orchid",
    "plum",
    "lotus",
    "flowers-and-birds",
    "birds",
    "fish",
    "boats",
    "buildings",
    "figures",
    "rocks",
)

COMPOSITIONS: tuple[str, ...] = (
    "three distances: high",
    "level distance",
    "deep distance",
    "one-corner",
    "centred",
    "diagonal",
)

SUBTHEMES: dict[str, tuple[str, ...]] = {
    "landscape": ("seasonal", "architecture", "famous_relic"),
    "figure": ("historical", "myth", "folk"),
    "flower": ("branch", "vegetable_fruit", "seasonal_flower"),
    "bird_animal": ("divine_beast", "insect_fish", "literati"),
}
