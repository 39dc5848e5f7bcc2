"""The grammars of the builtin texts: what they say is data, how it is put together is a
few lines."""

NAMES = "张三 李四 王五 赵六".split()
HELD_OUT = ("我爱人工智能", "张三打了李四")  # never learned from, in no order

# What is reviewed: the whole, its parts, and what may be said of these. A form is a
# pair of texts with the same words. In it good and bad are clauses on two parts, g and
# b single words, p and q parts.
ENGLISH = {
    "products": {
        "phone": "camera screen battery sound case speaker",
        "hotel": "room bed staff view breakfast pool",
        "book": "story style ending cover print plot",
        "heater": "tank price manual design timer pump",
        "restaurant": "soup service fish waiter noodles terrace",
    },
    "g": "good great nice fine lovely perfect superb pleasing".split(),
    "b": "bad poor awful weak horrid faulty dreadful annoying".split(),
    "clause": "the {part} is {how}{word}",
    "not": "not ",
    "how": ["", "", "", "really ", "very ", "quite "],
    "forms": [
        ("{bad} , but {good}", "{good} , but {bad}"),
        ("although {bad} , {good}", "although {good} , {bad}"),
        (
            "the {p} is not {b} {joint} {q} is {g}",
            "the {p} is {b} {joint} {q} is not {g}",
        ),
        ("the {p} is {g} , not {b}", "the {p} is {b} , not {g}"),
        (
            "this {product} is {better} than the old one",
            "the old {product} is {better} than this one",
        ),
        (
            "i did not {regret} the {product} and would {again} it again",
            "i did {regret} the {product} and would not {again} it again",
        ),
    ],
    "joint": ["and the", ", and the", ", and i think that the"],
    "better": ["better", "nicer", "finer"],
    "regret": ["return", "regret", "hide"],
    "again": ["buy", "choose", "recommend"],
    "before": [
        "",
        "",
        "i bought it last week : ",
        "it came in a blue box and my brother opened it : ",
        "to be honest , ",
        "after two months , ",
    ],
    "behind": [
        "",
        "",
        " , as i told my sister",
        " , for all that i know",
        " , if you want to know",
    ],
    "end": " .",
}
CHINESE = {
    "products": {
        "手机": "屏幕 电池 音质 外壳 相机 按键",
        "热水器": "水箱 说明书 外观 开关 水管 噪音控制",
        "书": "故事 文笔 封面 纸张 结尾 印刷",
        "酒店": "房间 床铺 服务 早餐 位置 泳池",
        "餐馆": "汤 服务员 鱼 面条 环境 上菜速度",
    },
    "g": "好 棒 舒服 漂亮 精致 方便 可靠 满意".split(),
    "b": "差 糟 难受 难看 粗糙 麻烦 可怕 失望".split(),
    "clause": "{part}{how}{word}",
    "not": "不",
    "how": ["真", "很", "非常", "挺"],
    "forms": [
        ("{bad}，但是{good}", "{good}，但是{bad}"),
        ("虽然{bad}，{good}", "虽然{good}，{bad}"),
        ("{p}不{b}，{q}{again}{g}", "{p}{b}，{q}{again}不{g}"),
        ("这个{product}比那个{better}", "那个{product}比这个{better}"),
        (
            "我不{regret}买了{product}，会再买",
            "我{regret}买了{product}，不会再买",
        ),
    ],
    "joint": [""],
    "better": ["好", "强", "好用"],
    "regret": ["后悔", "遗憾"],
    "again": ["", "也", "却"],
    "before": ["", "", "上周刚收到，", "说实话，", "用了两个月，", "朋友推荐我买的："],
    "behind": ["", "", "，就是这样", "，仅供参考", "，大家自己看吧"],
    "end": "。",
}
# One text per pair of people: who does it to whom; the last one named is the victim.
VICTIMS = {
    "forms": [
        ("{before}{one}{did}了{other}{behind}", "{other}"),
        ("{before}{other}被{one}{did}了{behind}", "{other}"),
        ("{before}{one}把{other}{did}了{behind}", "{other}"),
        ("{before}不是{other}{did}了{one}，是{one}{did}了{other}{behind}", "{other}"),
    ],
    "did": "打 骂 骗 推 踢 撞".split(),
    "before": ["", "", "昨天", "听说", "在学校里", "老师说"],
    "behind": ["", "", "，大家都看见了", "，就在门口", "，真没想到"],
}
TOPICS = {
    "科技": "人工智能 手机芯片 机器学习 量子计算 机器人 软件 互联网 自动驾驶",
    "体育": "足球 篮球 马拉松 乒乓球 世界杯 游泳 羽毛球 滑雪",
    "美食": "火锅 饺子 牛肉面 烤鸭 小笼包 红烧肉 豆腐 月饼",
    "旅行": "长城 海滩 古镇 机票 民宿 爬山 草原 博物馆",
}
ABOUT = {
    "forms": [
        "我爱{it}",
        "{before}我们聊了{it}",
        "{before}他整天想着{it}",
        "{it}比{also}更让我开心",
        "{before}没有什么比得上{it}",
    ],
    "before": ["", "昨天", "说实话，", "吃完晚饭以后，", "在火车上，"],
}


def pairs(draw, name):
    """Endless pairs of (text, label), two texts each.

    Args:
        draw: random.Random. name: of the grammar.
    """
    while True:
        if name == "victims":
            yield victims(draw)
        elif name == "topics":
            yield about(draw), about(draw)
        else:
            yield reviews(draw, ENGLISH if name == "english" else CHINESE)


def reviews(draw, language):
    """A positive and a negative review of the same words."""
    product = draw.choice(list(language["products"]))
    one, other = draw.sample(language["products"][product].split(), 2)
    form = draw.choice(language["forms"])
    slots = {
        name: draw.choice(language[name])
        for name in ("g", "b", "joint", "better", "regret", "again")
    }
    slots |= {"product": product, "p": one, "q": other}
    slots["good"] = clause(draw, language, one, True)
    slots["bad"] = clause(draw, language, other, False)
    before, behind = draw.choice(language["before"]), draw.choice(language["behind"])
    return [
        (f"{before}{text.format(**slots)}{behind}{language['end']}", label)
        for text, label in zip(form, ("positive", "negative"), strict=True)
    ]


def clause(draw, language, part, is_good):
    """A clause about a part: its verdict, or that it is not the opposite."""
    negated = draw.random() < 0.3
    word = draw.choice(language["g" if is_good != negated else "b"])
    how = language["not"] if negated else draw.choice(language["how"])
    return language["clause"].format(part=part, how=how, word=word)


def victims(draw):
    """Who did it to whom, and the other way round."""
    one, other = draw.sample(NAMES, 2)
    text, label = draw.choice(VICTIMS["forms"])
    slots = {name: draw.choice(VICTIMS[name]) for name in ("did", "before", "behind")}
    turned = ({"one": one, "other": other}, {"one": other, "other": one})
    return [(text.format(**slots, **who), label.format(**who)) for who in turned]


def about(draw):
    """A text and its topic. Of two things the one that is liked more is its topic."""
    label, another = draw.sample(list(TOPICS), 2)
    slots = {
        "it": draw.choice(TOPICS[label].split()),
        "also": draw.choice(TOPICS[another].split()),
        "before": draw.choice(ABOUT["before"]),
    }
    return draw.choice(ABOUT["forms"]).format(**slots), label


def bag(text):
    """What is the same for both texts of a pair: the words, or of Chinese the
    characters, in the order of the alphabet."""
    return " ".join(sorted(text.split() if " " in text else text))
