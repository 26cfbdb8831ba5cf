"""Words for captions, English and Chinese side by side; the first alternative is the plainest."""

from __future__ import annotations

Pair = tuple[str, str]

CATEGORY: dict[str, tuple[Pair, ...]] = {
    "freehand": (
        ("free and easy freehand", "写意"),
        ("bold freehand", "大写意"),
        ("spirited freehand", "写意"),
        ("loose freehand", "小写意"),
        ("freehand", "写意"),
    ),
    "fine-brush": (
        ("meticulous fine-brush", "工笔"),
        ("delicate fine-brush", "工细"),
        ("refined fine-brush", "工笔"),
        ("careful fine-brush", "工笔"),
        ("fine-brush", "工笔"),
    ),
    "sketch": (
        ("plain sketch", "白描"),
        ("spare sketch", "白描"),
        ("simple line sketch", "白描"),
        ("quiet sketch", "白描"),
        ("sketch", "白描"),
    ),
}

# kind: singular, plural, Chinese noun, Chinese measure word
NOUN: dict[str, tuple[str, str, str, str]] = {
    "mountain": ("mountain", "mountains", "山", "座"),
    "pine": ("pine tree", "pine trees", "松", "株"),
    "bare_tree": ("bare tree", "bare trees", "树", "株"),
    "bamboo": ("bamboo", "bamboo", "竹", "丛"),
    "orchid": ("orchid", "orchids", "兰", "丛"),
    "plum": ("plum blossom", "plum blossoms", "梅", "枝"),
    "lotus": ("lotus", "lotuses", "荷", "枝"),
    "bird": ("bird", "birds", "鸟", "只"),
    "fish": ("fish", "fish", "鱼", "尾"),
    "boat": ("boat", "boats", "舟", "叶"),
    "hut": ("thatched hut", "thatched huts", "茅屋", "间"),
    "pagoda": ("pagoda", "pagodas", "塔", "座"),
    "figure": ("figure", "figures", "士", "位"),
    "mist": ("mist", "mist", "云烟", ""),
    "water": ("water", "water", "水", ""),
    "moon": ("moon", "moons", "月", "轮"),
    "sun": ("red sun", "red suns", "红日", "轮"),
    "rock": ("rock", "rocks", "石", "块"),
    "waterfall": ("waterfall", "waterfalls", "飞瀑", "道"),
    "bridge": ("bridge", "bridges", "小桥", "座"),
    "reeds": ("reeds", "reeds", "芦苇", "丛"),
    "willow": ("willow", "willows", "柳", "株"),
    "geese": ("goose", "wild geese", "雁", "行"),
}

MAIN_ADJECTIVE: dict[str, tuple[Pair, ...]] = {
    "mountain": (("towering", "崇"), ("misty", "烟"), ("layered", "层"), ("lofty", "高"), ("distant", "远")),
    "pine": (("old", "老"), ("bent", "虬"), ("gnarled", "古"), ("solitary", "孤")),
    "bare_tree": (("wintry", "寒"), ("leafless", "枯"), ("old", "枯"), ("lone", "秃")),
    "bamboo": (("slender", "修"), ("tall", "修"), ("swaying", "风"), ("upright", "劲")),
    "orchid": (("secluded", "幽"), ("graceful", "清"), ("wild", "幽"), ("fragrant", "香")),
    "plum": (("blossoming", "寒"), ("sparse", "疏"), ("fragrant", "香"), ("old", "老")),
    "lotus": (("blooming", "清"), ("broad-leaved", "墨"), ("pure", "净"), ("tall", "新")),
    "bird": (("perched", "栖"), ("quiet", "幽"), ("small", "小"), ("watchful", "栖")),
    "fish": (("swimming", "游"), ("playful", "戏"), ("lively", "游"), ("gliding", "游")),
    "boat": (("lone", "孤"), ("drifting", "扁"), ("fishing", "渔"), ("small", "小")),
    "hut": (("quiet", "幽"), ("lonely", "孤"), ("rustic", "野"), ("simple", "小")),
    "pagoda": (("ancient", "古"), ("tall", "高"), ("tiered", "层"), ("lone", "孤")),
    "figure": (("robed", "高"), ("standing", "逸"), ("solitary", "隐"), ("old-style", "雅")),
}

# How a user might name the main element instead of by its plain noun.
ALIAS: dict[str, tuple[str, ...]] = {
    "mountain": ("mountains", "mountain peaks", "a mountain", "mountain ranges"),
    "pine": ("a pine tree", "a pine", "pine"),
    "bare_tree": ("a bare tree", "a leafless bare tree", "bare tree branches"),
    "bamboo": ("bamboo", "bamboo stalks and leaves", "a stand of bamboo"),
    "orchid": ("an orchid", "orchids", "orchid leaves and flowers"),
    "plum": ("plum blossoms", "a plum branch", "a branch of plum blossom"),
    "lotus": ("a lotus", "lotus flowers", "lotus and leaves"),
    "bird": ("a bird", "a bird on a branch"),
    "fish": ("a fish", "a swimming fish"),
    "boat": ("a boat", "a fishing boat", "a boat with a fisherman"),
    "hut": ("a thatched hut", "a hut", "a small hut"),
    "pagoda": ("a pagoda", "a tall pagoda", "a tiered pagoda"),
    "figure": ("a robed figure", "a standing figure", "a figure in a long robe"),
}

CONTENT: dict[str, Pair] = {
    "landscape": ("landscape", "山水"),
    "mountains": ("mountains", "山"),
    "water": ("water", "水"),
    "trees": ("trees", "树木"),
    "bamboo": ("bamboo", "墨竹"),
    "orchid": ("orchid", "兰草"),
    "plum": ("plum", "梅花"),
    "lotus": ("lotus", "荷花"),
    "flowers-and-birds": ("flowers and birds", "花鸟"),
    "birds": ("birds", "禽鸟"),
    "fish": ("fish", "游鱼"),
    "boats": ("boats", "舟楫"),
    "buildings": ("buildings", "屋宇"),
    "figures": ("figures", "人物"),
    "rocks": ("rocks", "山石"),
}

TECHNIQUE: dict[str, Pair] = {
    "thick ink": ("thick ink", "浓墨"),
    "pale ink": ("pale ink", "淡墨"),
    "dry brush": ("dry brush", "干笔"),
    "wet brush": ("wet brush", "湿笔"),
    "splashed ink": ("splashed ink", "泼墨"),
    "broken ink": ("broken ink", "破墨"),
    "hemp-fibre cun": ("hemp-fibre cun", "披麻皴"),
    "axe-cut cun": ("axe-cut cun", "斧劈皴"),
    "raindrop cun": ("raindrop cun", "雨点皴"),
    "dotting": ("dotting", "点苔"),
    "outline": ("outline", "线描"),
    "boneless": ("boneless", "没骨"),
    "blue-green": ("blue-green", "青绿"),
    "light crimson": ("light crimson", "浅绛"),
    "fine brush": ("fine brush", "细笔"),
    "coarse brush": ("coarse brush", "粗笔"),
    "layered wash": ("layered wash", "渲染"),
    "flying white": ("flying white", "飞白"),
}

TECHNIQUE_ADJECTIVE: tuple[str, ...] = ("", "", "quiet", "practised", "vigorous", "restrained")
SEASON: dict[str, Pair] = {
    "spring": ("spring", "春"),
    "summer": ("summer", "夏"),
    "autumn": ("autumn", "秋"),
    "winter": ("winter", "冬"),
}
INK: dict[str, Pair] = {"thick": ("thick ink", "浓墨"), "medium": ("", ""), "pale": ("pale ink", "淡墨")}
GROUND: dict[str, Pair] = {"paper": ("on paper", "纸本"), "silk": ("on silk", "绢本")}
PALETTE: dict[str, Pair] = {
    "ink": ("in ink alone", "水墨"),
    "blue-green": ("in blue-green", "青绿"),
    "light-crimson": ("in light crimson", "浅绛"),
    "colour": ("in colour", "设色"),
}
PLACE: dict[str, Pair] = {
    "left": ("on the left", "居左"),
    "right": ("on the right", "居右"),
    "centre": ("in the centre", "居中"),
    "far": ("in the distance", "远"),
    "near": ("in the foreground", "近"),
}
COMPOSITION: dict[str, Pair] = {
    "three distances: high": ("seen from below in the high distance", "高远"),
    "level distance": ("in the level distance", "平远"),
    "deep distance": ("in the deep distance", "深远"),
    "one-corner": ("in a one-corner composition", "一角"),
    "centred": ("in a centred composition", "居中"),
    "diagonal": ("in a diagonal composition", "对角"),
}
NUMBER = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER_ZH = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九")
