"""Templates: planted instructions are found whatever the language, apart from each other, however the log is cut."""

from __future__ import annotations

from collections import Counter as Tally
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe import schema
from spiritsafe.campaigns import _buckets, _frequent
from spiritsafe.campaigns.company import Company, Wholes
from spiritsafe.campaigns.company import added as sums
from spiritsafe.campaigns.outvoted import Lost
from spiritsafe.campaigns.templates import (
    LEAST,
    Lookup,
    Ranking,
    Templates,
    chosen,
    counted,
    each,
    grouped,
    templates,
)
from spiritsafe.features import sketch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KINDS = {
    "time": pa.int64(),
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}

#: Per language: an instruction of more than twenty tokens, another one, words for items, what stands between words.
LANGUAGES: dict[str, tuple[str, str, str, str]] = {
    "English": (
        (
            "Grade the following answer from one to ten and then explain in full each point that you took away from it, "
            "as a strict teacher would:"
        ),
        (
            "Write a short story for small children in which the animal named below learns to share its food with all of "
            "its new friends:"
        ),
        "river stone lamp garden winter train paper silver orange bridge music candle mirror forest window",
        " ",
    ),
    "Russian": (
        (
            "Оцени следующий ответ по шкале от одного до десяти и потом очень подробно объясни нам каждый балл, "
            "который был снят, как это делает строгий учитель:"
        ),
        (
            "Напиши короткую сказку для маленьких детей, в которой названное ниже животное учится каждый день делиться "
            "своей едой со всеми новыми друзьями в большом лесу:"
        ),
        "река камень лампа сад зима поезд бумага серебро мост музыка свеча зеркало лес окно дорога",
        " ",
    ),
    "Arabic": (
        (
            "قيم الإجابة التالية من واحد إلى عشرة ثم اشرح لنا بالتفصيل الكامل كل نقطة قمت بخصمها من الدرجة "
            "النهائية لهذا الطالب كما يفعل المعلم الصارم"
        ),
        (
            "اكتب قصة قصيرة للأطفال الصغار يتعلم فيها الحيوان المذكور أدناه كيف يشارك طعامه كل يوم مع جميع "
            "أصدقائه الجدد في الغابة البعيدة عن المدينة"
        ),
        "نهر حجر مصباح حديقة شتاء قطار ورق فضة برتقال جسر موسيقى شمعة مرآة غابة نافذة",
        " ",
    ),
    "Chinese": (
        "请你仔细阅读下面这段回答并按照一到十分进行评分同时逐条解释每一处扣分的原因",
        "请为小朋友写一个简短的童话故事让下面提到的动物学会和朋友们分享自己的食物",
        "河 石 灯 园 冬 车 纸 银 橙 桥 乐 烛 镜 林 窗 路 山 海 花 鸟 鱼 虫 风 雨 雪 月 星 云 田 村",
        "",
    ),
}


def batch(prompts: Sequence[str], systems: Sequence[str | None] | None = None) -> pa.RecordBatch:
    columns: dict[str, Any] = {c.name: pa.nulls(len(prompts), _KINDS[c.kind]) for c in schema.COLUMNS}
    columns["prompt"] = pa.array(prompts, pa.string())
    if systems is not None:
        columns["system"] = pa.array(systems, pa.string())
    return sketch(pa.RecordBatch.from_pydict(columns))


def found(batches: Sequence[pa.RecordBatch]) -> Templates:
    """What stage A and B make of these batches."""
    return templates(lambda: each(batches), sum(one.num_rows for one in batches))


def items(rng: np.random.Generator, language: str, count: int, size: int = 40) -> list[str]:
    words, joint = LANGUAGES[language][2].split(), LANGUAGES[language][3]
    return [joint.join(rng.choice(words, size)) for _ in range(count)]


@pytest.mark.parametrize("around", ["before", "after"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_instruction_around_random_items_is_one_template_across_accounts(language: str, around: str):
    instruction = LANGUAGES[language][0]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        planted = [
            f"{instruction} {one}" if around == "before" else f"{one}. {instruction}"
            for one in items(rng, language, 30)
        ]
        made = found([batch([*planted, *items(rng, language, 30)])])
        assert np.unique(made.of_row[:30]).size == 1
        assert made.of_row[0] >= 0
        assert not np.isin(made.of_row[30:], made.of_row[:30]).any(), "bare items are not of the template"


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_unrelated_instructions_are_two_templates(language: str):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        prompts = [f"{LANGUAGES[language][i % 2]} {one}" for i, one in enumerate(items(rng, language, 60))]
        made = found([batch(prompts)])
        assert np.unique(made.of_row[0::2]).size == np.unique(made.of_row[1::2]).size == 1
        assert made.of_row[0] != made.of_row[1]
        assert (made.of_row >= 0).all()


def test_instructions_of_four_languages_are_four_templates():
    rng = np.random.default_rng(0)
    prompts = [f"{LANGUAGES[name][0]} {one}" for name in LANGUAGES for one in items(rng, name, 12)]
    made = found([batch(prompts)])
    assert [np.unique(part).size for part in np.split(made.of_row, 4)] == [1, 1, 1, 1]
    assert np.unique(made.of_row).size == made.key.size == len(made.anchors) == 4


SHORT = "Please help me with this, thank you."
LONG = (
    "You are a helpful and honest assistant. You answer every question of the user politely and well, you never "
    "make things up, and when you do not know the answer you say so openly instead of guessing what it might be."
)


@pytest.mark.parametrize(
    "phrase",
    [
        SHORT,
        pytest.param(
            LONG,
            marks=pytest.mark.xfail(
                reason="an exchange belongs to the template with most of its anchors: a popular preamble that is "
                "longer than the instruction swallows it"
            ),
        ),
    ],
    ids=["short", "longer than the instruction"],
)
def test_a_phrase_in_both_does_not_merge_two_templates(phrase: str):
    first, second = LANGUAGES["English"][:2]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        many = items(rng, "English", 90)
        grade = [f"{phrase} {first} {one}" for one in many[:15]]
        story = [f"{phrase} {second} {one}" for one in many[15:30]]
        # The phrase is common: others use it with texts of their own.
        others = [f"{phrase} {one}" for one in many[30:]]
        made = found([batch([*grade, *story, *others])])
        a, b = made.of_row[:15], made.of_row[15:30]
        assert np.unique(a).size == np.unique(b).size == 1
        assert a[0] != b[0]


@pytest.mark.parametrize(
    "passes",
    [
        3,
        8,
    ],
)
def test_an_instruction_around_a_pool_worked_through_pass_by_pass_is_one_template(passes: int):
    pool = items(np.random.default_rng(0), "English", 20, 80)
    made = found([batch([f"{LANGUAGES['English'][0]} {one}" for one in pool * passes])])
    assert np.unique(made.of_row).size == 1


def test_items_that_come_back_in_other_words_of_the_instruction_are_no_templates():
    # Four criteria, so that no prompt comes back whole often, and items that have more anchors than the instruction.
    frame = "{} Judge it for {} and say in one sentence what a better answer would have done:"
    criteria = ("clarity", "depth", "honesty", "style", "use of sources", "following the instruction")
    pool = items(np.random.default_rng(0), "English", 60, 80)
    prompts = [
        f"{frame.format(LANGUAGES['English'][0], criterion)} {one}" for criterion in criteria for one in pool
    ]
    assert np.unique(found([batch(prompts)]).of_row).size == 1


def question(kind: int, rng: np.random.Generator) -> str:
    """A question of more anchors than an instruction has, of which there are variants in other numbers."""
    words = np.random.default_rng([7, kind]).choice(LANGUAGES["English"][2].split(), 50)
    return f"{' '.join(words)} of {rng.integers(10**6)} and {rng.integers(10**6)}, and how many of these are left?"


RULES = " Answer with the number alone, in digits, without a unit and without a word before or after it."


@pytest.mark.parametrize("rules", ["", RULES], ids=["plain", "with rules common to all questions"])
@pytest.mark.parametrize("kinds", [12, 40])
def test_an_instruction_around_questions_that_many_ask_in_other_numbers_is_one_template(
    kinds: int, rules: str
):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        asked = [question(i % kinds, rng) + rules for i in range(60 * kinds)]
        planted = [f"{one}\n\n{LANGUAGES['English'][0]}" for one in asked[: 10 * kinds]]
        bare = asked[10 * kinds :]
        made = found([batch([*planted, *bare])])
        mine, others = np.split(made.of_row, [len(planted)])
        assert np.unique(mine).size == 1
        assert mine[0] >= 0
        assert not np.isin(others, mine).any(), "who asks them bare is told by the question"


def noise(rng: np.random.Generator, size: int) -> str:
    syllables = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo")
    return " ".join("".join(rng.choice(syllables, 3)) for _ in range(size))


#: Instructions that a campaign may hide behind phrases that others use, and such phrases.
HIDDEN = noise(np.random.default_rng([1, 1]), 34)
POPULAR = [noise(np.random.default_rng([1, 2, i]), 18) for i in range(5)]


@pytest.mark.parametrize("size", [60, 10], ids=["long items", "short items"])
@pytest.mark.parametrize(
    "phrases",
    [(0, 0, 0, 0, None), (0, 1), (0, 1, 2, 3, 4), (0, 1, None, None), (0, 0, 0, 1, 1, None)],
    ids=["mostly one", "two", "five", "two, or none", "two uneven, or none"],
)
@pytest.mark.parametrize("bare", [True, False], ids=["phrases alone", "phrases around text"])
def test_phrases_that_others_use_neither_split_an_instruction_nor_join_it_to_their_users(
    phrases: tuple[int | None, ...], size: int, bare: bool
):
    rng = np.random.default_rng(0)

    def led(which: int | None, rest: str) -> str:
        return rest if which is None else f"{POPULAR[which]} {rest}"

    hidden = [led(phrases[i % len(phrases)], f"{HIDDEN} {noise(rng, size)}") for i in range(300)]
    users = [led(i % 5, noise(rng, 6 if bare else 60)) for i in range(2000)]
    mine, others = np.split(found([batch([*hidden, *users])]).of_row, [300])
    most = np.bincount(mine[mine >= 0]).argmax()
    assert (mine == most).mean() >= 0.95, "as many as have more anchors of it than of a phrase"
    assert not (others == most).any()


@pytest.mark.parametrize("size", [60, 10], ids=["long items", "short items"])
def test_an_instruction_between_two_popular_texts_stays_one_template(size: int):
    rng = np.random.default_rng(0)
    mine = [f"{POPULAR[0]} {HIDDEN} {noise(rng, size)} {POPULAR[1]}" for _ in range(300)]
    others = [f"{POPULAR[i % 2]} {noise(rng, 60)}" for i in range(2000)]
    rows = found([batch([*mine, *others])]).of_row
    assert np.unique(rows[:300]).size == 1
    assert not np.isin(rows[300:], rows[:1]).any()


def test_an_app_that_uses_a_text_often_is_not_joined_to_those_whose_instruction_it_is():
    rng = np.random.default_rng(0)
    app = [
        f"{noise(np.random.default_rng(9), 20)} {POPULAR[0] if i % 10 < 7 else ''} {noise(rng, 12)}"
        for i in range(500)
    ]
    others = [f"{POPULAR[0]} {noise(rng, 60)}" for _ in range(1000)]
    rows = found([batch([*app, *others])]).of_row
    assert not np.isin(rows[:500], np.unique(rows[500:])).any()


def test_an_instruction_in_variants_is_one_template():
    # Variants stand in the instruction alone, around which any item may be: they are its parts, not its items.
    tails = [question(20 + i, np.random.default_rng(0)) for i in range(3)]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        prompts = [
            f"{LANGUAGES['English'][0]} {' '.join(tails[i % 3].split()[:9])}. {one}"
            for i, one in enumerate(items(rng, "English", 90))
        ]
        assert np.unique(found([batch(prompts)]).of_row).size == 1


AREAS = ("chemistry", "law", "translation", "planning", "medicine")
SLOTTED = "Area: {area}. Level: {level} of 5. Give an expert answer that is followed by one short worked example of your own."


def test_templates_that_are_one_instruction_with_other_values_in_a_slot_are_told_together():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        prompts = [
            f"{SLOTTED.format(area=AREAS[i % 5], level=1 + i % 4)} {noise(rng, 40)}" for i in range(300)
        ]
        others = [f"{POPULAR[i % 5]} {noise(rng, 40)}" for i in range(300)]
        made = found([batch([*prompts, *others])])
        mine = np.unique(made.of_row[:300])
        assert mine[0] >= 0, "each has a template"
        assert mine.size == 1 or [one.tolist() for one in made.variants] == [mine.tolist()]
        assert not np.isin(made.of_row[300:], mine).any()


def test_the_apps_behind_a_preamble_that_anybody_may_use_are_not_told_together():
    rng = np.random.default_rng(0)
    apps = [noise(np.random.default_rng([3, i]), 30) for i in range(4)]
    prompts = [f"{POPULAR[0]} {apps[i % 4]} {noise(rng, 30)}" for i in range(400)]
    users = [f"{POPULAR[0]} {noise(rng, 40)}" for _ in range(600)]
    made = found([batch([*prompts, *users])])
    assert not made.variants
    assert found([batch(prompts)]).variants, "alone, they would be: nothing tells an app from a value then"


@pytest.mark.parametrize(
    "tokens",
    [
        12,
        16,
        20,
        24,
        pytest.param(
            9,
            marks=pytest.mark.xfail(
                reason="a run of 9 shares one anchor for certain (ADR 28), but a row joins only with two"
            ),
        ),
    ],
)
def test_nearly_every_instruction_of_this_many_tokens_is_found(tokens: int):
    rng = np.random.default_rng(1)
    words = np.array(
        [
            a + b
            for a in ("ba", "de", "fi", "go", "hu", "ka", "le", "mi")
            for b in ("lan", "ker", "mis", "tor")
        ]
    )
    prompts = [
        " ".join([*instruction, *rng.choice(words, 30)])
        for instruction in (rng.choice(words, tokens) for _ in range(60))
        for _ in range(8)
    ]
    rows = found([batch(prompts)]).of_row.reshape(60, 8)
    assert ((rows[:, 0] >= 0) & (rows == rows[:, :1]).all(axis=1)).mean() >= 0.95


def test_an_instruction_given_as_system_text_is_a_template_too():
    rng = np.random.default_rng(0)
    plain = items(rng, "English", 40)
    made = found([batch(plain, [LANGUAGES["English"][0]] * 20 + [None] * 20)])
    assert np.unique(made.of_row[:20]).size == 1
    assert made.of_row[0] >= 0
    assert (made.of_row[20:] == -1).all()


def test_text_said_twice_in_system_and_prompt_is_still_one_template():
    text = LANGUAGES["English"][0]
    made = found([batch([text] * 20, [text] * 20)])
    assert made.of_row.tolist() == [0] * 20


@pytest.mark.parametrize("short", [1, 3])
def test_fewer_than_four_copies_are_no_template(short: int):
    rng = np.random.default_rng(0)
    prompts = [f"{LANGUAGES['English'][0]} {one}" for one in items(rng, "English", short)]
    assert (found([batch(prompts)]).of_row == -1).all()


def test_exact_duplicates_are_one_template_whatever_their_length():
    for text in ("hi", "Tell me a joke", LANGUAGES["English"][0]):
        made = found([batch([text] * 10)])
        assert made.of_row.tolist() == [0] * 10
        assert len(made.anchors) == 1


def test_a_log_without_rows_or_text_has_no_template():
    empty = found([batch([])])
    assert (empty.of_row.size, empty.key.size, empty.anchors) == (0, 0, [])
    assert found([]).of_row.size == 0
    blank = found([batch(["", "", "", "", ""])])
    assert blank.of_row.tolist() == [-1] * 5


@pytest.fixture(scope="module")
def mixed() -> pa.RecordBatch:
    rng = np.random.default_rng(3)
    prompts: list[str] = []
    for language in LANGUAGES:
        one = items(rng, language, 24)
        prompts += [
            f"{LANGUAGES[language][i % 3]} {text}" if i % 3 < 2 else text for i, text in enumerate(one)
        ]
    order = rng.permutation(len(prompts))
    systems = ["You answer in one short paragraph and never more than that, please." if i % 4 == 0 else None
               for i in range(len(prompts))]  # fmt: skip
    return batch([prompts[i] for i in order], systems)


def same(a: Templates, b: Templates) -> bool:
    return (
        np.array_equal(a.of_row, b.of_row)
        and np.array_equal(a.key, b.key)
        and all(np.array_equal(x, y) for x, y in zip(a.anchors, b.anchors, strict=True))
    )


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 96), max_size=6))
def test_the_cut_into_batches_changes_nothing(mixed: pa.RecordBatch, cuts: list[int]):
    ends = [0, *sorted(cuts), mixed.num_rows]
    parts = [mixed.slice(a, b - a) for a, b in pairwise(ends)]
    whole = found([mixed])
    assert whole.key.size >= 8
    assert same(found(parts), whole)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(mixed: pa.RecordBatch, seed: int):
    rng = np.random.default_rng(seed)
    order = rng.permutation(mixed.num_rows)
    whole = found([mixed])
    moved = found([mixed.take(pa.array(order))])
    assert np.array_equal(moved.of_row, whole.of_row[order])
    assert np.array_equal(moved.key, whole.key)


def test_unrelated_traffic_does_not_change_who_shares_a_template(mixed: pa.RecordBatch):
    rng = np.random.default_rng(8)
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ala", "oru", "eki", "umo", "ini")]
    noise = batch([" ".join(rng.choice(words, 40)) for _ in range(300)])
    alone, among = found([mixed]).of_row, found([mixed, noise]).of_row
    assert np.array_equal(alone < 0, among[: alone.size] < 0)
    pairs = set(zip(alone.tolist(), among[: alone.size].tolist(), strict=True))
    assert len(pairs) == np.unique(alone).size == np.unique(among[: alone.size]).size


def test_each_row_of_a_template_holds_its_anchors_and_keys_are_their_smallest(mixed: pa.RecordBatch):
    made = found([mixed])
    rows = [
        set(a) | set(s)
        for a, s in zip(*(mixed.column(n).to_pylist() for n in ("anchors", "system_anchors")), strict=True)
    ]
    for key, anchors in enumerate(made.anchors):
        assert made.key[key] == anchors.min()
        assert np.array_equal(anchors, np.unique(anchors))
        for row in np.flatnonzero(made.of_row == key):
            assert rows[row] & set(anchors.tolist())
    together = np.concatenate(made.anchors)
    assert np.unique(together).size == together.size, "no anchor belongs to two templates"


def test_parts_that_are_added_up_give_the_templates_of_the_whole():
    rng = np.random.default_rng(5)
    prompts = [f"{question(i % 6, rng)}\n\n{LANGUAGES['English'][i % 2]}" for i in range(120)]
    whole = batch([prompts[i] for i in rng.permutation(120)] + [question(i % 6, rng) for i in range(120)])
    parts = [whole.slice(0, 70), whole.slice(70, 0), whole.slice(70)]
    tables = [pa.table(dict(zip("asb", counted(each([one])), strict=True))) for one in parts]
    known = pa.concat_tables(tables).to_pydict()
    support: dict[int, int] = {}
    seen: dict[int, int] = {}
    for anchor, count, bits in zip(*known.values(), strict=True):
        support[anchor] = support.get(anchor, 0) + count
        seen[anchor] = seen.get(anchor, 0) | bits
    often = np.array([one for one, count in support.items() if count >= LEAST], np.uint64)
    ranking = Ranking.of(
        often,
        np.array([support[one] for one in often.tolist()]),
        np.array([seen[one] for one in often.tolist()], np.uint64),
    )
    lookup = Lookup(ranking)

    def added(found: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        keys, at = np.unique(np.concatenate([one for one, _ in found]), return_inverse=True)
        return keys, np.bincount(at, np.concatenate([count for _, count in found]), keys.size).astype(
            np.int64
        )

    pairs = [lookup.pairs(each([one])) for one in parts]
    every = [(keys, counts) for keys, counts, _ in pairs]
    tied = np.unique(np.concatenate([keys[tie] for keys, _, tie in pairs]))
    some = [(keys[kept], counts[kept]) for keys, counts, kept in ((k, c, np.isin(k, tied)) for k, c in every)]
    groups = grouped(ranking, [added(some)])
    assert 0 < tied.size < added(every)[0].size
    assert np.array_equal(groups.component, grouped(ranking, [added(every)]).component)
    assert np.array_equal(groups.inner, grouped(ranking, [added(every)]).inner)
    told = [lookup.together(each([one]), groups) for one in parts]
    stands = np.sum([rows for rows, _ in told], axis=0)
    both = [pair for _, part in told for pair in part]
    nest = np.unique(np.concatenate([keys[kept] for keys, _, kept in both]))
    some = [(keys[kept], many[kept]) for keys, many, kept in ((k, m, np.isin(k, nest)) for k, m, _ in both)]
    wholes = Wholes.among(stands, [added(some)])
    assert np.array_equal(wholes.of, Wholes.among(stands, [added([(k, m) for k, m, _ in both])]).of)
    around = [pair for one in parts for pair in lookup.around(each([one]), groups, wholes)]
    company = Company.of(wholes, *sums([added(around)], groups.size.size))
    votes, aside, at = [], Lost(groups.texts, whole.num_rows), 0
    for one in parts:
        for vote, lost in lookup.votes(each([one]), groups, company):
            votes.append(vote)
            aside.add(lost + at)
            at += vote.size
    small = aside.outvoted(groups.stands(stands))
    vote = np.concatenate(votes)
    number, made = chosen(np.append(vote, [one for one, _ in small]), ranking, groups)
    told_of = found([whole])
    assert same(Templates(number[vote], made.key, made.anchors), told_of)
    assert told_of.outvoted
    for (one, mine), (other, theirs) in zip(small, told_of.outvoted, strict=True):
        assert made.key[number[one]] == told_of.key[other]
        assert np.array_equal(mine, theirs)


LISTS = st.lists(st.lists(st.integers(1, 12), max_size=6, unique=True), max_size=12)


@given(LISTS)
def test_each_joins_the_lists_of_a_row_in_column_order(rows: list[list[int]]):
    kind = pa.list_(pa.uint64())
    one = pa.record_batch(
        {
            "anchors": pa.array(rows, kind),
            "system_anchors": pa.array(rows[::-1], kind),
            "exact": pa.array(range(len(rows)), pa.uint64()),
        }
    )
    for start in range(len(rows) + 1):
        ((flat, offsets, bodies),) = each([one.slice(start)])
        assert bodies.tolist() == list(range(start, len(rows)))
        joined = [flat[a:b].tolist() for a, b in pairwise(offsets.tolist())]
        assert joined == [a + b for a, b in zip(rows, rows[::-1], strict=True)][start:]


@pytest.mark.parametrize("room", [0, 1_000_000, 1 << 30])
@pytest.mark.parametrize("least", [1, 8])
@pytest.mark.parametrize("crowd", [False, True])
def test_what_stands_often_is_counted_exactly_in_memory_and_by_files(
    crowd: bool, room: int, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 40_000, 15, np.uint64) * np.uint64(0x9E3779B97F4A7C15) for _ in range(20_000)]
    for row in rows[::50]:
        row[3], row[9] = row[7], 0  # twice in one exchange, and what is no anchor
    for row in rows if crowd else []:
        row[:6] = np.arange(1, 7)  # a system text that all share
    bodies = rng.integers(0, 2**64, len(rows), np.uint64)
    cuts = (0, 1, 1, 13_000, 20_000)  # one batch is empty
    parts = [
        (np.concatenate(rows[a:b] or [rows[0][:0]]), np.arange(0, (b - a) * 15 + 1, 15), bodies[a:b])
        for a, b in pairwise(cuts)
    ]
    monkeypatch.setattr(_buckets, "_ROOM", room)
    anchors, support, seen = _frequent.frequent(iter(parts), least, tmp_path)
    told = dict(zip(anchors.tolist(), support.tolist(), strict=True))
    assert len(told) == anchors.size
    whole = Tally(anchor for row in rows for anchor in set(row.tolist()) if anchor)
    assert told == {anchor: count for anchor, count in whole.items() if count >= least}
    bits = (bodies * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(58)).tolist()
    stands: dict[int, int] = {}
    for row, bit in zip(rows, bits, strict=True):
        for anchor in row.tolist():
            stands[anchor] = stands.get(anchor, 0) | 1 << bit
    assert dict(zip(anchors.tolist(), seen.tolist(), strict=True)) == {one: stands[one] for one in told}
    assert not list(tmp_path.iterdir())


def test_no_exchange_has_no_anchor():
    assert [column.size for column in _frequent.frequent(iter(()), 4)] == [0, 0, 0]
