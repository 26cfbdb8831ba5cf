"""The phrase book behind `danqing.lexicon`: data only. Keys are in simplified characters.

A noun's value is "singular|plural|usual form without a number": s = "a boat", p = "mountains", n = never counted
("mist"), N = no article unless counted ("bamboo").
"""

from __future__ import annotations


def _book(text: str) -> dict[str, str]:
    """Lines of `中文/中文 = English`."""
    book = {}
    for line in text.strip().splitlines():
        keys, _, value = line.partition(" = ")
        for key in keys.strip().split("/"):
            book[key] = value.strip()
    return book


NOUNS = _book("""
山水/山水画 = landscape|landscapes|N
山/青山/峰/群峰/山峰/山峦/群山/峦/岭/岳/山岭/山川/山林/山坡/山脚/山顶/山头/群岭/峻岭/下山/上山 = mountain|mountains|p
远山/遥山/远岫/远峰 = distant mountain|distant mountains|p
高山/高峰/崇山/奇峰/雄峰/险峰 = towering mountain|towering mountains|p
雪山 = snowy mountain|snowy mountains|p
层峦/叠嶂/重峦/峰峦 = layered mountain|layered mountains|p
云山 = misty mountain|misty mountains|p
春山/夏山/秋山/冬山/寒山 = mountain|mountains|p
崖/悬崖/峭壁/绝壁/断崖/岩/岩壁/山崖/石壁/壁立 = cliff|cliffs|s
谷/山谷/幽谷/峡/峡谷/深谷/山涧/山坳 = valley|valleys|s
山居 = mountain dwelling|mountain dwellings|s
丘/坡/山冈 = slope|slopes|s
水/流水/秋水/水面/湖水/江水/河水/碧水/波/波涛/浪/水波/涟漪/波浪/浪花/海浪/潮水/烟水 = water|water|n
江/河/江河/长江/大江/河流/溪水/江流 = river|rivers|s
江南 = Jiangnan|Jiangnan|n
湖/西湖/潭/池/池塘/塘/沼/湖泊/水潭/水池/鱼塘/湖面 = lake|lakes|s
溪/小溪/溪流/涧/泉/清泉 = stream|streams|s
海/大海 = sea|seas|n
岸/江岸/河岸/渚/汀/滩/沙洲/沙滩/堤岸/柳岸/江畔 = shore|shores|s
瀑布/飞瀑/瀑/飞泉/水帘/悬瀑 = waterfall|waterfalls|s
雾/薄雾/云雾/烟/烟云/烟雾/烟霭/雾气/岚/霭/烟雨/浓雾/云烟/水汽/轻烟/轻雾/雾霭 = mist|mist|n
云/白云/云海/浮云/彩云/祥云/乌云/云朵/云霞/彩霞/晚霞/朝霞/云彩/霞 = cloud|clouds|p
雨/细雨/春雨/下雨/雨丝/暴雨/雷雨/阵雨 = rain|rain|n
雪/雪景/积雪/大雪/残雪/飞雪/下雪/雪花/风雪/霜雪 = snow|snow|n
风 = wind|wind|n
月/明月/月亮/圆月/满月/月色/秋月/弯月/新月/残月/冰轮/月光/玉盘/玉兔 = moon|moons|s
日/太阳/红日/旭日/落日/夕阳/朝阳/残阳/斜阳/日出/日落/金乌/朝日/夕照/艳阳/烈日 = red sun|red suns|s
天/天空 = sky|skies|n
树/树木/大树/古树/老树/林/树林/林木/丛林/古木/树叶/梧桐/槐树/榕树/银杏/杉树/层林 = tree|trees|p
枯树/枯木/寒林/寒木/秃树/枯枝/枯藤/秃枝 = bare tree|bare trees|p
松/松树/青松/苍松/古松/老松/松林/长松/松柏/柏/松枝/松针/劲松 = pine tree|pine trees|s
柳/柳树/垂柳/杨柳/烟柳/柳枝/柳条 = willow|willows|s
枫/红叶/枫叶/枫林/枫树 = red maple|red maples|p
桃/桃花/桃树 = peach blossom|peach blossoms|p
杏/杏花 = apricot blossom|apricot blossoms|p
梨花 = pear blossom|pear blossoms|p
竹/竹子/修竹/翠竹/竹林/竹枝/丛竹/竹叶/竹笋/竹丛 = bamboo|bamboo|N
墨竹 = ink bamboo|ink bamboo|n
竹石 = bamboo and rock|bamboo and rocks|N
兰/兰花/兰草/幽兰/蕙/兰叶 = orchid|orchids|s
墨兰 = ink orchid|ink orchids|s
梅/梅花/红梅/白梅/寒梅/腊梅/蜡梅/梅枝/梅树/梅林/绿梅 = plum blossom|plum blossoms|p
墨梅 = ink plum blossom|ink plum blossoms|N
荷/荷花/莲/莲花/荷叶/红荷/残荷/荷塘/芙蓉/莲塘/菡萏/莲叶/莲蓬/睡莲/青莲/莲荷 = lotus|lotuses|s
墨荷 = ink lotus|ink lotuses|s
菊/菊花/秋菊/黄菊/菊丛 = chrysanthemum|chrysanthemums|p
牡丹/芍药 = peony|peonies|p
水仙 = narcissus|narcissus|n
海棠/玉兰/茶花/花/花卉/花草/鲜花/百花/花朵/折枝/杜鹃花/桂花/月季/玫瑰/山茶/紫藤/百合/丁香/牵牛花 = flower|flowers|p
花瓣/花枝/野花/繁花 = flower|flowers|p
花鸟/花鸟画 = flowers and birds|flowers and birds|n
草/野草/水草/草原/草地/芳草/青草/草丛 = grass|grass|n
芦苇/芦/苇/芦荻/蒲/芦花/苇丛/芦苇荡/蒲草 = reed|reeds|p
石/岩石/怪石/奇石/山石/石头/顽石/湖石/巨石/石块/奇岩/太湖石/磐石 = rock|rocks|s
果/水果/蔬果/瓜果/蔬菜/白菜/萝卜/葫芦/樱桃/苹果/橘子/佛手/南瓜/西瓜/枣子/果子 = fruit|fruits|n
葡萄/枇杷/荔枝/石榴 = fruit|fruits|n
鸟/小鸟/飞鸟/鸟儿/禽/翎毛/雀/麻雀/喜鹊/鹊/燕/燕子/莺/黄鹂/鹦鹉/八哥/鸦/寒鸦/黄莺/翠鸟/鸽子/白头翁/鹌鹑 = bird|birds|s
啄木鸟/鸟群/雏鸟/画眉/百灵/山雀/雉鸡/倦鸟 = bird|birds|s
鹰/雄鹰/苍鹰/猎鹰/鹰隼 = eagle|eagles|s
鹤/仙鹤/白鹤/白鹭/鹭/鹭鸶/丹顶鹤 = crane|cranes|s
鸭/野鸭/鸳鸯/鸭子 = duck|ducks|p
鸡/公鸡/雄鸡/母鸡 = rooster|roosters|s
孔雀/凤/凤凰 = phoenix|phoenixes|s
雁/大雁/芦雁/归雁/落雁/飞雁/天鹅/鹅/雁群 = wild goose|wild geese|p
鱼/游鱼/金鱼/鲤鱼/锦鲤/鱼儿/鲤/鱼群/鳜鱼/鲇鱼/鱼虾 = fish|fish|s
虾/蟹/虾蟹 = shrimp|shrimps|p
蝶/蝴蝶/草虫/昆虫/蜻蜓/蝉/蜂/蜜蜂/蟋蟀/蛐蛐/蚂蚱/螳螂/蝈蝈/萤火虫/虫/知了/瓢虫 = insect|insects|p
马/骏马/奔马/战马/马群/马匹 = horse|horses|s
牛/水牛/牧牛/黄牛/耕牛/牛群 = ox|oxen|s
虎/老虎/猛虎 = tiger|tigers|s
龙/神龙/云龙 = dragon|dragons|s
猴/猿/猿猴 = monkey|monkeys|s
猫/猫咪 = cat|cats|s
鹿 = deer|deer|s
风筝 = kite|kites|s
青蛙/蛙 = frog|frogs|s
狗/犬 = dog|dogs|s
兔/兔子 = rabbit|rabbits|s
龟/乌龟 = turtle|turtles|s
岁寒三友 = pine trees, bamboo and plum blossom|pine trees, bamboo and plum blossom|n
舟/船/小舟/小船/渔舟/渔船/轻舟/扁舟/帆/帆船/归帆/船只/一叶舟/木船/竹筏/画舫/渡船/乌篷船/船儿 = boat|boats|s
孤舟/孤帆/独舟 = lone boat|lone boats|s
桥/小桥/石桥/木桥/断桥/拱桥/廊桥/竹桥/独木桥/板桥 = bridge|bridges|s
茅屋/草堂/草屋/茅舍/草庐/茅亭/草亭/屋/小屋/房屋/房舍/农舍/村舍/舍/庐/书斋/山房/山庄/宅 = thatched hut|thatched huts|s
茅草屋/草房/木屋/竹楼/小院/院落/农家/书屋 = thatched hut|thatched huts|s
村/村庄/山村/江村/渔村/人家/村落/村子 = village|villages|s
亭/亭子/凉亭/山亭/水亭/轩/榭/楼/楼阁/亭台/楼台/阁/殿/宫殿/宫/宫阙/水榭/城楼/钟楼/亭台楼阁/琼楼 = pavilion|pavilions|s
寺/古寺/寺庙/庙/佛寺/山寺/萧寺/禅院/道观/古刹/佛堂/庵 = temple|temples|s
塔/宝塔/古塔/佛塔/石塔/塔楼 = pagoda|pagodas|s
路/小路/山路/山径/小径/径/石阶/台阶/石板路/小道/山道/古道/石径/林间小路 = path|paths|s
人/人物/行人/游人/旅人/行旅/人物画/老头/老汉/农夫/农民/渔民/渔郎/船家/诗人/画家/武松/钟馗/醉翁/翁 = figure|figures|s
男子/男人/侠客/将军/皇帝/武士/牧人/僧人/猎人/货郎/贤/路人/隐者 = figure|figures|s
高士/隐士/文人/老人/老翁/书生/学者/士/高人/幽人/先生 = figure|figures|s
渔父/渔翁/渔夫/渔人/钓翁/樵夫/僧/和尚/道士/仙人/罗汉/神仙 = figure|figures|s
仕女/美人/女子/女人/佳人/贵妃/少女/嫦娥/妇人/老妇/宫女/侍女/采莲女 = lady|ladies|s
童子/婴戏/孩童/儿童/牧童/童/小孩/女孩/男孩/小童/顽童/娃娃/婴儿 = child|children|s
神佛/佛/菩萨/观音/神/佛祖/弥勒/神像/门神/寿星/财神/如来 = deity|deities|s
琴/古琴 = zither|zithers|s
印/印章 = seal|seals|s
题款/题字/题诗/诗/字 = inscription|inscriptions|s
扇面 = fan painting|fan paintings|s
国画/中国画 = painting|paintings|s
水墨画/墨画 = ink painting|ink paintings|s
留白 = white space|white space|n
倒影 = reflection|reflections|p
春/春天/春日/春景/早春/初春/晚春/暮春/春季/新春 = spring|spring|n
夏/夏天/夏日/夏景/盛夏/初夏/夏季 = summer|summer|n
秋/秋天/秋日/秋景/秋色/深秋/金秋/初秋/秋季/晚秋 = autumn|autumn|n
冬/冬天/冬日/冬景/隆冬/严冬/寒冬/冬季/初冬 = winter|winter|n
夜/夜晚/黄昏/傍晚/暮/暮色/深夜/夜色/晚上/日暮/薄暮 = dusk|dusk|n
清晨/早晨/晨/拂晓/黎明/晨光/清早/早上/破晓/晨曦/一大早 = dawn|dawn|n
""")
for _season, _word in {"春": "spring", "夏": "summer", "秋": "autumn", "冬": "winter", "寒": "wintry"}.items():
    NOUNS[f"{_season}山"] = f"{_word} mountain|{_word} mountains|p"
    NOUNS[f"{_season}江"] = f"{_word} river|{_word} rivers|s"
    NOUNS[f"{_season}林"] = f"{_word} tree|{_word} trees|p"
NOUNS["寒林"] = NOUNS["枯树"]

STYLES = _book("""
写意/大写意/小写意/意笔/狂放/奔放/豪放/潇洒/粗犷/随意/信笔 = freehand
工笔/工笔画/工细/精细/细致/精致/细腻/精工/一丝不苟 = fine-brush
线描/勾勒/勾线 = outline
白描/速写/素描/小品/简笔/草图/简约 = sketch
水墨/墨/墨笔/黑白/墨色 = ink
浓墨/焦墨/重墨 = thick ink
淡墨/淡雅 = pale ink
干笔/枯笔/渴笔 = dry brush
湿笔 = wet brush
泼墨 = splashed ink
破墨 = broken ink
披麻皴 = hemp-fibre cun
斧劈皴/大斧劈/小斧劈 = axe-cut cun
雨点皴 = raindrop cun
皴/皴法 = cun texture
点苔/苔点 = dotting
没骨 = boneless
青绿/石青/石绿 = blue-green
浅绛 = light crimson
设色/彩色/着色/重彩/淡彩/鲜艳/艳丽/色彩/绚丽/五彩/颜色鲜艳 = in colour
细笔 = fine brush
粗笔 = coarse brush
渲染/晕染 = layered wash
飞白 = flying white
纸本 = on paper
绢本 = on silk
平远 = level distance
高远 = high distance
深远 = deep distance
""")

ADJECTIVES = _book("""
孤/独/孤独/孤零零/孤单/孤寂 = lone
远/遥远/悠远 = distant
高/高耸/巍峨/雄伟/巍巍 = towering
老/古/古老/苍老/苍劲 = old
大/巨/巨大 = large
小/细小 = small
雾中/云雾缭绕/烟雨蒙蒙/朦胧/迷蒙/缥缈/蒙蒙/白蒙蒙/雾蒙蒙/迷离 = misty
飞/飞翔/翱翔 = flying
游/游弋/戏水 = swimming
栖/栖息 = perched
静/宁静/幽静/平静/幽/清幽 = quiet
红/朱/朱红 = red
白/洁白 = white
青/碧/绿/翠/青翠 = green
蓝 = blue
黄/金/金色 = golden
黑 = black
粉/粉红 = pink
寒/冷/寒冷 = cold
枯/枯瘦/萧瑟/枯萎/凋零 = withered
空/空旷 = empty
光秃秃/光秃 = bare
细/修长/纤细 = slender
浓/浓密/茂密 = dense
疏/稀疏/疏落 = sparse
淡/浅 = pale
弯/弯曲/蜿蜒/曲/弯弯曲曲 = winding
盛开/开花/绽放/怒放 = blooming
春天的/春日的 = spring
秋天的/秋日的 = autumn
冬天的/冬日的 = winter
夏天的/夏日的 = summer
茅草/草顶 = thatched
独钓/垂钓/钓鱼/钓/捕鱼/撒网/打鱼 = fishing
读书 = reading
抚琴/弹琴 = playing the zither
行走/漫步 = walking
坐/静坐/独坐 = seated
站/立/伫立 = standing
""")

PLACES = _book("""
左/左边/左侧/左面/在左/居左 = on the left
右/右边/右侧/右面/在右/居右 = on the right
中央/正中/中间/居中/在中 = in the centre
近处/近景/前景/近/眼前 = in the foreground
远处/远景/远方/天边 = in the distance
左上/左上角 = in the upper left
右上/右上角 = in the upper right
左下/左下角 = in the lower left
右下/右下角 = in the lower right
上方/上面/顶部 = above
下方/下面/底部 = below
""")

NUMBERS = _book("""
一/壹 = a
二/两/双/一对/一双 = two
三 = three
四 = four
五 = five
六 = six
七 = seven
八 = eight
九 = nine
十 = ten
几/数/若干/多/许多/众/群/一群/成群/一行/百/千/万 = several
""")

MEASURES = dict.fromkeys("只条座棵株竿尾间个艘匹轮道位名丛枚块幅朵艇缕尊羽双根笼幢栋所", "")
POSTPOSITIONS = {"下": "under", "中": "in", "旁": "beside", "上": "on", "边": "beside", "前": "before", "后": "behind",
                 "里": "in", "间": "among", "畔": "beside", "之下": "under", "之上": "on", "之间": "among"}  # fmt: skip
DROPPED = dict.fromkeys(
    ("的", "之", "有", "在", "和", "与", "及", "着", "了", "里有", "风格", "风", "式", "画着", "一幅", "一张", "幅",
     "法", "请", "画一幅", "画一张", "个", "画", "图", "黄公望", "董源", "李成", "巨然", "马上",
     "无人", "今天", "明天", "昨天", "每天", "天天", "好像", "样子", "迷路", "特别", "非常"), "",
)  # fmt: skip
del DROPPED["风"]

# Traditional → simplified, the characters of the domain's titles and prompts.
_PAIRS = (
    "畫画圖图遠远霧雾雲云樹树鳥鸟魚鱼馬马龍龙蘭兰蓮莲筆笔寫写意意工工淺浅絳绛淨净潑泼破破點点絲丝綠绿紅红黃黄藍蓝藝艺國国風风"
    "車车門门閣阁樓楼殿殿橋桥舊旧漁渔樵樵釣钓獨独孤孤輕轻隻只條条棵棵間间邊边側侧左左右右處处個个數数幾几兩两雙双對对萬万"
    "長长江江漢汉臺台亭亭廟庙寶宝塔塔嶺岭巖岩峯峰巒峦疊叠嶂嶂層层澗涧瀑瀑溝沟灘滩煙烟靄霭嵐岚陽阳陰阴曉晓暮暮歸归雁雁鴈雁"
    "鴨鸭鵝鹅鶴鹤鷺鹭鷹鹰雞鸡鷄鸡鵲鹊鴉鸦鶯莺鸚鹦鵡鹉燕燕鳳凤凰凰鴛鸳鴦鸯蝦虾蟲虫蟬蝉蘆芦葦苇荻荻菊菊瓊琼蘋苹菓果蔬蔬"
    "楊杨檜桧榮荣葉叶莖茎無无從从眾众來来東东西西開开關关聽听觀观賞赏訪访讀读書书詩诗題题詞词賦赋學学習习師师傳传記记"
    "倣仿擬拟臨临摹摹傚效體体宮宫闕阙紙纸絹绢設设軸轴冊册頁页屏屏卷卷扇扇幀帧條条劉刘張张陳陈趙赵錢钱孫孙錫锡鄭郑吳吴楚楚"
    "齊齐魯鲁韓韩蘇苏黃黄倫伦戲戏嬰婴貓猫獅狮猨猿麗丽細细緻致濃浓淡淡乾干濕湿溼湿渴渴潤润飛飞揚扬驚惊鳴鸣響响聲声"
    "歲岁時时節节寒寒熱热氣气滿满圓圆缺缺華华豔艳艷艳鮮鲜嬌娇壽寿喜喜慶庆應应愛爱憶忆懷怀憩憩閒闲閑闲靜静寧宁隱隐"
    "賢贤聖圣僊仙羅罗禪禅僧僧佛佛莊庄廬庐園园圃圃場场鄉乡縣县殘残斷断連连續续環环繞绕縹缥緲缈濛蒙矇蒙朧胧瀟潇湘湘"
    "廣广寬宽闊阔狹狭險险絕绝頂顶巔巅壁壁懸悬掛挂垂垂蒼苍勁劲鬆松瘦瘦鐵铁銀银鏡镜燈灯籠笼籬篱牆墙墻墙戶户窗窗階阶"
    "撫抚彈弹棋棋騎骑驢驴駱骆駝驼獵猎鬥斗戰战將将軍军帝帝後后宮宫婦妇女女兒儿童童麥麦稻稻穀谷業业農农織织漿浆渡渡"
    "帆帆櫂棹艇艇槳桨纜缆灣湾島岛嶼屿洲洲渚渚溫温涼凉霜霜電电雷雷雨雨雪雪霽霁虹虹線线描描鉤勾勒勒骨骨沒没皴皴"
    "點点苔苔葱葱鬱郁叢丛簇簇叢丛爛烂漫漫幅幅張张羣群衆众裏里裡里鄰邻鐘钟鍾钟聯联雜杂務务衛卫禮礼豐丰樂乐歡欢"
    "紫紫藤藤蘿萝薔蔷薇薇棲栖鷥鸶麞獐鯉鲤鱖鳜鰱鲢鱗鳞龜龟鼈鳖蓬蓬蒲蒲薺荠蔔卜蘿萝筍笋薑姜豬猪盡尽寫写"
)
TRADITIONAL: dict[str, str] = {_PAIRS[i]: _PAIRS[i + 1] for i in range(0, len(_PAIRS), 2) if _PAIRS[i] != _PAIRS[i + 1]}
