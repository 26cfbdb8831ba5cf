"""The vocabulary of the line: what a painting may be, show and be painted with, in English and Chinese.

Everything is frozen data (`Term`s by key) after the paper's section 3.1: four themes of three sub-themes, three
categories, fifteen contents, eighteen techniques, each with the adjectives of the caption grammar. Keys are what the
corpus stores. `to_english` turns a Chinese prompt into phrases of this vocabulary. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from danqing.lexicon import has_chinese, to_english, to_simplified

__all__ = [
    "CATEGORIES", "COMPOSITIONS", "CONTENTS", "ELEMENTS", "EPOCHS", "GROUNDS", "INKS", "MAINS", "PALETTES", "PLACES",
    "REGIONS", "SCHOOLS", "SEASONS", "SUBTHEMES", "SUBTHEMES_OF", "TECHNIQUES", "THEMES", "Term", "has_chinese",
    "to_english", "to_simplified",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One word of the vocabulary."""

    key: str
    en: str
    zh: str
    adjectives: tuple[str, ...] = ()
    """English, most typical first."""
    adjectives_zh: tuple[str, ...] = ()
    plural: str = ""
    """English plural, where the term is a thing that can be counted."""
    measure: str = ""
    """Chinese measure word."""
    parent: str = ""
    """The theme of a sub-theme or content; the content of an element."""

    def adjective(self, number: int = 0) -> tuple[str, str]:
        """The English and Chinese adjective `number` (wraps round); empty strings where there are none."""
        en = self.adjectives[number % len(self.adjectives)] if self.adjectives else ""
        zh = self.adjectives_zh[number % len(self.adjectives_zh)] if self.adjectives_zh else ""
        return en, zh


def _terms(*rows: tuple[str, str, str, str, str] | tuple[str, str, str, str, str, str]) -> Mapping[str, Term]:
    """Rows of key, English, Chinese, "adjective, …", "形容词、…"[, parent]."""
    table = {}
    for key, en, zh, adjectives, adjectives_zh, *parent in rows:
        table[key] = Term(
            key=key, en=en, zh=zh,
            adjectives=tuple(adjectives.split(", ")) if adjectives else (),
            adjectives_zh=tuple(adjectives_zh.split("、")) if adjectives_zh else (),
            parent=parent[0] if parent else "",
        )  # fmt: skip
    return MappingProxyType(table)


THEMES = _terms(
    ("landscape", "landscape", "山水", "majestic, distant", "雄浑、悠远"),
    ("figure", "figure painting", "人物", "vivid, dignified", "传神、端庄"),
    ("flower", "flowers and plants", "花卉", "fresh, graceful", "清新、秀雅"),
    ("bird_animal", "birds and animals", "翎毛走兽", "lively, spirited", "生动、灵动"),
)

SUBTHEMES = _terms(
    ("seasonal", "seasonal landscape", "四季山水", "", "", "landscape"),
    ("architecture", "architecture", "界画楼阁", "", "", "landscape"),
    ("famous_relic", "after a famous work", "临摹名迹", "", "", "landscape"),
    ("historical", "historical allusion", "历史典故", "", "", "figure"),
    ("myth", "myth and legend", "神话传说", "", "", "figure"),
    ("folk", "folk custom", "民俗风情", "", "", "figure"),
    ("branch", "branching ornament", "折枝花卉", "", "", "flower"),
    ("vegetable_fruit", "vegetables and fruit", "蔬果", "", "", "flower"),
    ("seasonal_flower", "seasonal flowers", "四季花卉", "", "", "flower"),
    ("divine_beast", "auspicious divine beast", "祥瑞神兽", "", "", "bird_animal"),
    ("insect_fish", "insects and fish", "草虫鱼藻", "", "", "bird_animal"),
    ("literati", "literati symbol", "文人雅趣", "", "", "bird_animal"),
)

SUBTHEMES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {theme: tuple(t.key for t in SUBTHEMES.values() if t.parent == theme) for theme in THEMES}
)

CATEGORIES = _terms(
    ("freehand", "freehand", "写意", "free and easy, unrestrained", "洒脱、奔放"),
    ("fine-brush", "fine-brush", "工笔", "delicate, meticulous", "细腻、工致"),
    ("sketch", "sketch", "白描小品", "simple, spare", "简练、清简"),
)

CONTENTS = _terms(
    ("landscape", "landscape", "山水", "majestic, distant", "雄伟、悠远", "landscape"),
    ("mountains", "mountains", "山峦", "towering, distant", "高峻、苍茫", "landscape"),
    ("water", "water", "江水", "calm, wide", "平静、浩渺", "landscape"),
    ("trees", "trees", "林木", "old, tall", "苍老、挺拔", "landscape"),
    ("bamboo", "bamboo", "竹", "upright, slender", "挺拔、清瘦", "flower"),
    ("orchid", "orchid", "兰", "elegant, quiet", "幽雅、清逸", "flower"),
    ("plum", "plum blossom", "梅", "proud, fragrant", "傲雪、清香", "flower"),
    ("lotus", "lotus", "荷", "pure, graceful", "高洁、亭亭", "flower"),
    ("flowers-and-birds", "flowers and birds", "花鸟", "lively, gorgeous", "生动、艳丽", "bird_animal"),
    ("birds", "birds", "禽鸟", "lively, alert", "活泼、机灵", "bird_animal"),
    ("fish", "fish", "鱼藻", "carefree, lively", "悠游、活泼", "bird_animal"),
    ("boats", "boats", "舟船", "lone, drifting", "孤寂、飘荡", "landscape"),
    ("buildings", "buildings", "楼阁", "quiet, stately", "幽静、庄严", "landscape"),
    ("figures", "figures", "人物", "vivid, calm", "传神、安然", "figure"),
    ("rocks", "rocks", "石", "rugged, strange", "嶙峋、奇崛", "landscape"),
)

TECHNIQUES = _terms(
    ("thick ink", "thick ink", "浓墨", "deep, weighty", "厚重、浓郁"),
    ("pale ink", "pale ink", "淡墨", "soft, light", "轻柔、清淡"),
    ("dry brush", "dry brush", "干笔", "parched, rough", "枯涩、苍劲"),
    ("wet brush", "wet brush", "湿笔", "moist, flowing", "润泽、淋漓"),
    ("splashed ink", "splashed ink", "泼墨", "bold, flowing", "豪放、淋漓"),
    ("broken ink", "broken ink", "破墨", "shifting, rich", "变化、丰润"),
    ("hemp-fibre cun", "hemp-fibre cun", "披麻皴", "long, gentle", "绵长、柔和"),
    ("axe-cut cun", "axe-cut cun", "斧劈皴", "hard, angular", "刚劲、峭利"),
    ("raindrop cun", "raindrop cun", "雨点皴", "dense, solid", "密集、浑厚"),
    ("dotting", "dotting", "点苔", "scattered, lively", "错落、活泼"),
    ("outline", "outline", "线描", "clean, even", "流畅、匀净"),
    ("boneless", "boneless", "没骨", "tender, moist", "娇柔、温润"),
    ("blue-green", "blue-green", "青绿", "bright, splendid", "明丽、富丽"),
    ("light crimson", "light crimson", "浅绛", "warm, mild", "淡雅、温和"),
    ("fine brush", "fine brush", "细笔", "exquisite, careful", "精致、细密"),
    ("coarse brush", "coarse brush", "粗笔", "vigorous, bold", "遒劲、奔放"),
    ("layered wash", "layered wash", "渲染", "even, deep", "层次分明、匀润"),
    ("flying white", "flying white", "飞白", "swift, sparse", "迅疾、空灵"),
)

EPOCHS = _terms(
    ("pre-qing", "before the Qing dynasty", "清以前", "ancient", "高古"),
    ("qing", "Qing dynasty", "清代", "", ""),
    ("modern", "modern", "近现代", "", ""),
)

SCHOOLS = _terms(
    ("jingpai", "Beijing school", "京派", "", ""),
    ("haipai", "Shanghai school", "海派", "", ""),
    ("lingnan", "Lingnan school", "岭南画派", "", ""),
    ("other", "other school", "其他", "", ""),
)

REGIONS = _terms(
    ("jiangnan", "Jiangnan", "江南", "", ""),
    ("central", "the Central Plains", "中原", "", ""),
    ("south", "the South", "岭南", "", ""),
)

SEASONS = _terms(
    ("spring", "spring", "春", "mild", "和煦"),
    ("summer", "summer", "夏", "lush", "葱郁"),
    ("autumn", "autumn", "秋", "clear", "高爽"),
    ("winter", "winter", "冬", "cold", "寒寂"),
)

PALETTES = _terms(
    ("ink", "ink", "水墨", "", ""),
    ("blue-green", "blue-green", "青绿", "", ""),
    ("light-crimson", "light crimson", "浅绛", "", ""),
    ("colour", "colour", "设色", "", ""),
)

GROUNDS = _terms(("paper", "paper", "纸本", "", ""), ("silk", "silk", "绢本", "", ""))
INKS = _terms(
    ("thick", "thick ink", "浓墨", "", ""), ("medium", "ink", "墨", "", ""), ("pale", "pale ink", "淡墨", "", ""),
)  # fmt: skip
PLACES = _terms(
    ("left", "on the left", "左侧", "", ""),
    ("right", "on the right", "右侧", "", ""),
    ("centre", "in the centre", "中央", "", ""),
    ("near", "in the foreground", "近处", "", ""),
    ("far", "in the distance", "远处", "", ""),
)
COMPOSITIONS = _terms(
    ("three distances: high", "high distance", "高远", "", ""),
    ("level distance", "level distance", "平远", "", ""),
    ("deep distance", "deep distance", "深远", "", ""),
    ("one-corner", "one-corner composition", "一角", "", ""),
    ("centred", "centred composition", "居中", "", ""),
    ("diagonal", "diagonal composition", "对角", "", ""),
)


def _elements(*rows: tuple[str, str, str, str, str, str, str, str]) -> Mapping[str, Term]:
    """Rows of key, English, plural, Chinese, measure word, adjectives, Chinese adjectives, content."""
    return MappingProxyType(
        {
            key: Term(
                key=key, en=en, plural=plural, zh=zh, measure=measure, parent=content,
                adjectives=tuple(adjectives.split(", ")) if adjectives else (),
                adjectives_zh=tuple(adjectives_zh.split("、")) if adjectives_zh else (),
            )
            for key, en, plural, zh, measure, adjectives, adjectives_zh, content in rows
        }
    )  # fmt: skip


ELEMENTS = _elements(
    ("mountain", "mountain", "mountains", "山", "座", "distant, towering, misty", "遥远、高耸、云雾中", "mountains"),
    ("pine", "pine tree", "pine trees", "松", "棵", "old, tall", "苍劲、高大", "trees"),
    ("bare_tree", "bare tree", "bare trees", "枯树", "棵", "wintry, withered", "萧瑟、枯瘦", "trees"),
    ("bamboo", "bamboo", "bamboo", "竹", "竿", "slender, upright", "修长、挺拔", "bamboo"),
    ("orchid", "orchid", "orchids", "兰花", "丛", "elegant, quiet", "幽雅、清逸", "orchid"),
    ("plum", "plum blossom", "plum blossoms", "梅花", "枝", "fragrant, wintry", "清香、傲雪", "plum"),
    ("lotus", "lotus", "lotuses", "荷花", "朵", "graceful, pure", "亭亭、高洁", "lotus"),
    ("bird", "bird", "birds", "鸟", "只", "perched, lively", "栖息、活泼", "birds"),
    ("fish", "fish", "fish", "鱼", "尾", "swimming, carefree", "游弋、悠然", "fish"),
    ("boat", "boat", "boats", "舟", "叶", "lone, small", "孤独、轻小", "boats"),
    ("hut", "thatched hut", "thatched huts", "茅屋", "间", "quiet, rustic", "幽静、朴野", "buildings"),
    ("pagoda", "pagoda", "pagodas", "宝塔", "座", "tall, old", "高耸、古老", "buildings"),
    ("figure", "figure", "figures", "人物", "位", "robed, standing", "宽袍、伫立", "figures"),
    ("mist", "mist", "", "云雾", "片", "drifting, thin", "缭绕、轻薄", "landscape"),
    ("water", "water", "", "水", "片", "calm, wide", "平静、浩渺", "water"),
    ("moon", "moon", "moons", "明月", "轮", "full, bright", "圆满、皎洁", "landscape"),
    ("sun", "red sun", "red suns", "红日", "轮", "rising", "初升", "landscape"),
    ("rock", "rock", "rocks", "石", "块", "rugged, strange", "嶙峋、奇崛", "rocks"),
    ("waterfall", "waterfall", "waterfalls", "瀑布", "道", "falling, high", "飞泻、高悬", "water"),
    ("bridge", "bridge", "bridges", "桥", "座", "small, wooden", "小巧、木构", "buildings"),
    ("reeds", "reeds", "reeds", "芦苇", "丛", "sparse", "疏落", "water"),
    ("willow", "willow", "willows", "柳", "株", "weeping", "低垂", "trees"),
    ("geese", "wild goose", "wild geese", "雁", "只", "flying", "飞翔", "birds"),
    ("seal", "seal", "seals", "印章", "方", "red", "朱红", "landscape"),
    ("inscription", "inscription", "inscriptions", "题款", "行", "", "", "landscape"),
    ("snow", "snow", "", "雪", "场", "deep, fresh", "厚积、初降", "landscape"),
    ("rain", "rain", "", "雨", "场", "slanting", "斜织", "landscape"),
    ("river", "river", "rivers", "江", "条", "winding, wide", "蜿蜒、宽阔", "water"),
    ("tree", "tree", "trees", "树", "棵", "old, leafy", "苍老、繁茂", "trees"),
    ("flower", "flower", "flowers", "花", "朵", "bright, tender", "鲜艳、娇柔", "flowers-and-birds"),
    ("peony", "peony", "peonies", "牡丹", "朵", "gorgeous", "富丽", "flowers-and-birds"),
    ("chrysanthemum", "chrysanthemum", "chrysanthemums", "菊花", "朵", "autumnal", "傲霜", "flowers-and-birds"),
    ("narcissus", "narcissus", "narcissus", "水仙", "丛", "fragrant", "清香", "flowers-and-birds"),
    ("fruit", "fruit", "fruits", "果", "枚", "ripe", "饱满", "flowers-and-birds"),
    ("insect", "insect", "insects", "草虫", "只", "tiny", "细小", "flowers-and-birds"),
    ("butterfly", "butterfly", "butterflies", "蝶", "只", "fluttering", "翩跹", "flowers-and-birds"),
    ("crane", "crane", "cranes", "鹤", "只", "white", "洁白", "birds"),
    ("duck", "duck", "ducks", "鸭", "只", "swimming", "戏水", "birds"),
    ("horse", "horse", "horses", "马", "匹", "spirited", "神骏", "figures"),
    ("ox", "ox", "oxen", "牛", "头", "patient", "温驯", "figures"),
    ("dragon", "dragon", "dragons", "龙", "条", "coiling", "盘旋", "figures"),
    ("tiger", "tiger", "tigers", "虎", "只", "fierce", "威猛", "figures"),
    ("deity", "deity", "deities", "神佛", "尊", "solemn", "庄严", "figures"),
    ("pavilion", "pavilion", "pavilions", "亭", "座", "open", "空敞", "buildings"),
    ("temple", "temple", "temples", "寺", "座", "hidden", "隐现", "buildings"),
    ("path", "path", "paths", "径", "条", "winding", "蜿蜒", "landscape"),
    ("cliff", "cliff", "cliffs", "崖", "面", "sheer", "陡峭", "mountains"),
    ("valley", "valley", "valleys", "谷", "条", "deep", "幽深", "mountains"),
)

MAINS: tuple[str, ...] = tuple(ELEMENTS)[:13]
"""The elements that can be the subject of a brush picture."""
