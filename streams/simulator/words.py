"""Search words of our own making, in English and Chinese, and the ways people type them."""

from __future__ import annotations

from typing import Final

import numpy as np

SPELLINGS: Final = 4
"""Spellings of each keyword: as is, capitalised, with stray spaces, in full-width letters."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_THINGS_EN: Final = _words(
    "sneakers lipstick ramen sunscreen camping espresso tent backpack curtains sofa blender candle "
    "perfume jacket boots scarf keyboard headphones yoga pilates marathon salad dumplings matcha "
    "sourdough croissant noodles hotpot serum toner blush mascara eyeliner nails haircut wig earrings "
    "necklace watch wallet tote suitcase passport hostel glamping surf ski hiking kayak bicycle scooter "
    "drone camera tripod lens film polaroid sketchbook watercolor calligraphy embroidery crochet pottery "
    "ukulele guitar piano vinyl podcast novel manga cosplay figurine lego puzzle boardgame kitten puppy "
    "hamster aquarium succulent orchid bonsai balcony wardrobe mattress pillow rug lamp mirror shelf "
    "teapot mug skillet airfryer lunchbox oatmeal granola yogurt avocado tofu kimchi curry brunch picnic "
    "wedding bouquet nursery stroller toddler homework thesis resume interview internship budgeting "
    "planner notebook"
)
_HOWS_EN: Final = _words(
    "cheap vintage minimalist waterproof beginner easy best korean japanese nordic summer winter autumn "
    "spring travel student office small diy handmade healthy vegan budget luxury second-hand cozy retro "
    "pastel black white green pink oversized petite curly matte dewy spicy crispy gluten-free quick "
    "weekend rainy-day first-time honest 2026 local"
)
_PLACES_EN: Final = _words(
    "lisbon kyoto seoul hanoi chengdu porto oslo taipei bali penang dali lima tbilisi split ghent nara "
    "jeju hue guilin xiamen"
)
_THINGS_ZH: Final = _words(
    "口红 防晒 面膜 粉底 眼影 香水 美甲 发型 穿搭 球鞋 卫衣 裙子 汉服 背包 耳机 键盘 相机 手帐 露营 徒步 "
    "滑雪 冲浪 骑行 瑜伽 减脂餐 早餐 火锅 奶茶 咖啡 烘焙 蛋糕 面条 便当 空气炸锅 收纳 装修 客厅 卧室 阳台 "
    "绿植 多肉 猫咪 狗狗 仓鼠 拼图 桌游 手办 漫画 小说 吉他 尤克里里 水彩 钩针 陶艺 婚纱 伴手礼 民宿 机票 "
    "签证 攻略 考研 面试 简历 实习 记账 育儿 辅食 推车 绘本 钢笔 帐篷 行李箱 墨镜 手链 项链 耳环 围巾 大衣 "
    "靴子"
)
_HOWS_ZH: Final = _words(
    "平价 小众 复古 学生党 新手 夏天 冬天 秋季 通勤 约会 日常 极简 韩系 日系 法式 国货 避雷 测评 推荐 教程 "
    "高级感 显瘦 懒人 快手 无糖 低卡 宿舍 租房 周末 一个人 情侣 亲子 春节 大学生 打工人 干皮 油皮"
)
_PLACES_ZH: Final = _words(
    "成都 重庆 厦门 大理 青岛 西安 长沙 杭州 苏州 桂林 三亚 哈尔滨 京都 首尔 清迈 里斯本 冰岛 台北"
)


def _pairs(rng: np.random.Generator) -> list[str]:
    """Two-word queries in random order, English and Chinese."""
    made = [f"{how} {thing}" for how in _HOWS_EN for thing in _THINGS_EN]
    made += [f"{thing} {place}" for place in _PLACES_EN for thing in _THINGS_EN]
    made += [f"{how}{thing}" for how in _HOWS_ZH for thing in _THINGS_ZH]
    made += [f"{place}{thing}" for place in _PLACES_ZH for thing in _THINGS_ZH]
    return [made[i] for i in rng.permutation(len(made))]


def make_keywords(rng: np.random.Generator, count: int) -> list[str]:
    """`count` distinct keywords, already normalised, the short and popular ones first.

    >>> len(set(make_keywords(np.random.default_rng(1), 20_000)))
    20000
    """
    single = [*_THINGS_EN, *_THINGS_ZH, *_PLACES_ZH, *_PLACES_EN]
    made = [single[i] for i in rng.permutation(len(single))]
    pairs = _pairs(rng)
    made += pairs
    number = 2
    while len(made) < count:
        made += [f"{word} {number}" for word in pairs]
        number += 1
    return made[:count]


def spellings(keyword: str) -> tuple[str, ...]:
    """Give what people type for a keyword; each normalises to it (NFKC, case-folded, spaces collapsed)."""
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in keyword)
    return keyword, keyword.title(), f" {keyword.replace(' ', '  ')} ", wide
