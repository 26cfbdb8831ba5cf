"""What a museum's catalogue says of a work, in the words of the taxonomy: title, tags, genre, medium, period → columns.

Only what the catalogue states is filled in; what it does not mention stays "" and is left to the measured pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from danqing.data.catalogue_words import CHINESE, ENGLISH, GENRES
from danqing.taxonomy import CONTENTS, ELEMENTS, to_simplified

_WORDS = {form: key for key, words in ENGLISH.items() for word in words.split() for form in (word, word + "s")}

_SIGNS = tuple(
    (sign, key)
    for key, signs in CHINESE.items()
    for part in signs.split()
    for sign in ([part] if " " in signs and len(part) > 1 else part)
)

_ANIMALS = frozenset({"dragon", "crane", "horse", "tiger", "bird", "geese", "duck", "ox", "fish"})
_STYLE_OF = re.compile(r"\b(in|after|from|with poems|copy of)\b[^;,]*\b(style|manner|masters?|album|poems)\b.*", re.I)
_MASTERS = "黄公望|北苑|倪瓒|宋元|古|弘仁|髡残|龚贤|董源|巨然|李成|范宽|郭熙|王蒙|吴镇"
_IMITATED = re.compile(rf"[仿临摹橅]({_MASTERS}|[^\s山水树石竹梅松江秋春夏冬雪]{{2}})")
_FORMATS = re.compile(r"(轴|卷|册页|册|扇页|扇面|扇|屏|纸本|绢本|绢本设色|图轴|图)$")
_PLACES = re.compile(r"荷兰|克利夫兰|江南|泰山|天台")  # names whose characters are things
_SEASONS = (
    ("spring", r"\bspring\b", "春"), ("summer", r"\bsummer\b", "夏"), ("autumn", r"\bautumn\w*\b", "秋"),
    ("winter", r"\b(winter|wintry|snow\w*)\b", "冬雪寒"),
)  # fmt: skip

_MANNERS = (("工笔", "fine-brush"), ("写意", "freehand"), ("白描", "sketch"))


def title_proper(title_zh: str) -> str:
    """What a Chinese catalogue title says of the picture: 清 石濤 歸棹圖 冊 紙本 → 归棹, without
    dynasty, painter and format."""
    words = [_FORMATS.sub("", _FORMATS.sub("", word)) for word in to_simplified(title_zh).split()]
    words = [word for word in words if word]
    if len(words) > 2:
        words = words[2:]
    elif len(words) == 2 and len(words[0]) <= 3:
        words = words[1:]
    return _PLACES.sub("", _IMITATED.sub("", " ".join(words)))


def elements(title: str, title_zh: str, tags: str) -> list[str]:
    """Element kinds that the catalogue names: those of the subject tags first, then of the titles; each once."""
    found: list[str] = []
    for text in (tags, _STYLE_OF.sub("", title)):
        words = re.findall(r"[a-z]+", text.lower())
        for word, after in zip(words, [*words[1:], ""], strict=False):
            kind = _WORDS.get(word)
            # "Dragon Pine" and "White Crane Mountain" show no animal.
            if kind and not (kind in _ANIMALS and text is not tags and after in _WORDS):
                found.append(kind)
    proper = title_proper(title_zh).replace("山水", "")
    found.extend(key for sign, key in sorted(_SIGNS, key=lambda s: proper.find(s[0])) if sign in proper)
    return list(dict.fromkeys(found))


def season(title: str, title_zh: str, tags: str) -> str:
    text, proper = f"{_STYLE_OF.sub('', title)} {tags}".lower(), title_proper(title_zh)
    if "four season" in text or "twelve months" in text:
        return ""
    for name, pattern, signs in _SEASONS:
        if re.search(pattern, text) or any(sign in proper for sign in signs):
            return name
    return ""


def epoch(period: str, date: str) -> str:
    """pre-qing, qing or modern, or "" where the catalogue leaves it open (Ming or Qing)."""
    text = to_simplified(period).lower()
    early = re.search(r"\b(tang|song|yuan|ming|han|jin|five dynasties|liao|sui|wei)\b|[唐宋元明]", text)
    late = re.search(r"\bqing\b|清", text)
    if re.search(r"republic|modern|民国|近现代|当代", text):
        return "modern"
    if early and not late:
        return "pre-qing"
    if late and not early:
        return "qing"
    years = [int(y) for y in re.findall(r"\b(\d{3,4})\b", date)]
    centuries = [int(c) * 100 - 50 for c in re.findall(r"(\d{1,2})(?:st|nd|rd|th)", date)]
    kinds = {"pre-qing" if y < 1644 else "qing" if y < 1912 else "modern" for y in (years or centuries)}
    return kinds.pop() if len(kinds) == 1 else ""


def theme(genre: str, kinds: list[str], tags: str, title: str, title_zh: str) -> str:
    """One of the four themes where genre, tags or titles settle it, else ""."""
    words = to_simplified(genre).lower()
    if "花鸟" in words or "flower-and-bird" in words:
        return _living(kinds)
    for name, signs in GENRES.items():
        if any(sign in words for sign in signs.split()):
            # Court and genre painting is about people, unless only a horse is named.
            only_animal = bool(kinds) and kinds[0] in _ANIMALS and "figure" not in kinds
            return "bird_animal" if name == "figure" and only_animal else name
    text = f"{title} {tags}".lower()
    if re.search(r"\bportrait", text) or "deity" in kinds or "像" in title_proper(title_zh):
        return "figure"
    if "landscape" in text or "山水" in to_simplified(title_zh):
        return "landscape"
    parents = {kind: CONTENTS[ELEMENTS[kind].parent].parent for kind in kinds}
    if not kinds:
        return ""
    if {"mountain", "river", "waterfall", "valley", "cliff"} & set(kinds):
        return "landscape"
    if {"horse", "tiger", "dragon"} & set(kinds) and "figure" not in kinds:
        return "bird_animal"
    for name in ("bird_animal", "figure", "flower", "landscape"):
        if name in parents.values():
            return _living(kinds) if name == "bird_animal" else name
    return ""


def _living(kinds: list[str]) -> str:
    """Flowers-and-birds covers two of our themes: something that moves makes it an animal picture."""
    moving = {"bird", "fish", "geese", "crane", "duck", "insect", "butterfly", "horse", "ox", "dragon", "tiger"}
    return "bird_animal" if moving & set(kinds) else "flower"


def subtheme(name: str, kinds: list[str], text: str) -> str:
    """The sub-theme that the catalogue's words point to; the plainest of the theme otherwise."""
    kind, low = set(kinds), text.lower()
    if name == "landscape":
        if re.search(r"style of|manner of|after|copy|仿|倣|临|摹", low):
            return "famous_relic"
        return "architecture" if kind & {"pavilion", "pagoda", "temple"} else "seasonal"
    if name == "figure":
        if "deity" in kind or re.search(r"immortal|luohan|hell|神|仙", low):
            return "myth"
        return "folk" if re.search(r"child|boy|peddler|play|婴戏|货郎|groom|infant", low) else "historical"
    if name == "flower":
        if "fruit" in kind:
            return "vegetable_fruit"
        return "branch" if kind & {"plum", "bamboo", "pine"} else "seasonal_flower"
    if name == "bird_animal":
        if kind & {"dragon", "tiger"}:
            return "divine_beast"
        return "insect_fish" if kind & {"fish", "insect", "butterfly"} else "literati"
    return ""


_MAINS = {
    "landscape": "mountain pine bare_tree boat waterfall pavilion temple river valley cliff tree hut rock water willow",
    "figure": "figure deity horse boat",
    "flower": "plum lotus orchid bamboo peony chrysanthemum narcissus pine fruit flower tree rock",
    "bird_animal": "bird fish crane geese duck horse ox tiger dragon butterfly insect lotus",
}


def main(name: str, kinds: list[str]) -> str:
    """The element that the picture is about: the theme's most telling one of those that the catalogue names."""
    return next((kind for kind in _MAINS.get(name, "").split() if kind in kinds), "")


def content(name: str, kinds: list[str]) -> str:
    """The content of the caption: that of the first telling element, else the theme's own."""
    if name == "landscape" and not kinds:
        return ""  # "landscape" is all the catalogue says: what stands in it is left to the eye
    if name == "landscape":
        telling = ("boat", "waterfall", "pavilion", "temple", "pagoda", "mountain", "tree", "pine")
        first = next((kind for kind in kinds if kind in telling), "mountain")
        return "landscape" if first == "mountain" else ELEMENTS[first].parent
    if name == "figure":
        return "figures"
    for kind in kinds:
        parent = ELEMENTS[kind].parent
        if CONTENTS[parent].parent == name:
            return parent
    return "flowers-and-birds" if name in ("flower", "bird_animal") else ""


def palette(medium: str) -> str:
    """ink, blue-green, light-crimson, colour, or "" where the medium is not stated."""
    text = to_simplified(medium).lower()
    if re.search(r"blue|mineral|青绿", text):
        return "blue-green"
    if re.search(r"(pale|light) colou?r|浅绛|淡", text):
        return "light-crimson"
    if re.search(r"colou?r|设色|重彩", text):
        return "colour"
    return "ink" if re.search(r"\bink\b|墨", text) else ""


def facts(row: Mapping[str, str]) -> dict[str, str]:
    """Corpus columns that follow from a catalogue row with title, title_zh, tags, genre, medium, period, date."""
    title, title_zh, tags = row.get("title", ""), row.get("title_zh", ""), row.get("tags", "")
    if re.search(r"[\u4e00-\u9fff]", title_zh) and re.match(r"[A-Za-z ,'’-]{6,}[\u4e00-\u9fff]", title_zh):
        # "Watching the Waterfall 高士觀瀑圖": an English title in front
        english, title_zh = re.match(r"([A-Za-z ,'’-]+)(.*)", title_zh).groups()  # type: ignore[union-attr]
        title = title or english.strip()
    kinds = elements(title, title_zh, tags)
    name = theme(row.get("genre", ""), kinds, tags, title, title_zh)
    manner = to_simplified(f"{title_zh} {row.get('medium', '')} {row.get('genre', '')}")
    return {
        "theme": name,
        "subtheme": subtheme(name, kinds, f"{title} {title_zh} {tags}"),
        "content": content(name, kinds),
        "category": next((key for sign, key in _MANNERS if sign in manner), ""),
        "season": season(title, title_zh, tags),
        "palette": palette(row.get("medium", "")),
        "epoch": epoch(row.get("period", ""), row.get("date", "")),
        "main": main(name, kinds),
    }
