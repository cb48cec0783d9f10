"""Attribution on real outputs: how often the right teacher comes first, and how often is an unrelated model accused.

    python bench/attribution.py --answers DIR [--peer PYTHON] [--save]

DIR holds ``models.json`` (teachers, families, students, lineage, human) and one ``MODEL.jsonl`` a model (``i``, ``output``).
No text of it is written anywhere. Builders of students were shuffled (seed 0) and dealt in two halves: views and options were
chosen on half A; half B is reported apart. ``--peer``: an interpreter that has knowlyr-modelaudit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from spiritsafe.provenance._resemblance import likeness
from spiritsafe.provenance._subject import ANSWERS
from spiritsafe.provenance.attribution import Bench, conformal, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESULTS = Path(__file__).with_name("results")
PEER = Path(__file__).with_name("peer_knowlyr.py")
LEVELS = (0.1, 0.2)
DRAWS = 2000

#: Who made or pre-trained each family's weights; Meta's generations are pre-trained apart and count apart.
MAKERS = {
    "openai": "davinci001 davinci003 gpt35 gpt35inst gpt4 gpt4t gpt4o", "anthropic": "claude1 claude2 claude3",
    "google": "gemini gemma", "cohere": "cohere", "mistral": "mistral", "meta2": "llama2c", "meta3": "llama3 llama31",
    "qwen": "qwen qwen2", "yi": "yi yil", "dbrx": "dbrx", "deepseek": "deepseek", "internlm": "internlm",
}  # fmt: skip
#: Generations of one maker that followed each other; a family that is not listed is its maker's only one.
GENERATIONS = {
    "openai-2022": "davinci001 davinci003", "openai-2023": "gpt35 gpt35inst gpt4", "openai-2024": "gpt4t gpt4o",
    "anthropic-2023": "claude1 claude2", "anthropic-2024": "claude3",
}  # fmt: skip
#: What students and human-aligned models were fine-tuned from, by the beginning of the name; the first that fits.
BASES = {
    "llama-2": "meta2", "tulu-2": "meta2", "vicuna-7b-v1.5": "meta2", "vicuna-13b-v1.5": "meta2",
    "wizardlm-13b-v1.2": "meta2", "ultralm-13b-v2.0": "meta2", "zephyr": "mistral", "falcon": "falcon",
    "opencoderplus": "starcoder", "oasst-sft-pythia": "pythia", "": "llama1",
}  # fmt: skip
BUILDERS = {
    "alpaca": "alpaca", "vicuna": "vicuna", "wizardlm": "wizardlm", "baize": "baize", "ultralm": "ultralm",
    "zephyr": "zephyr", "falcon": "falcon", "openchat": "openchat", "opencoderplus": "openchat", "tulu": "tulu",
    "oasst": "oasst", "llama-2-chat-7b-evol70k-neft": "evolneft",
}  # fmt: skip
MAKER = {family: maker for maker, names in MAKERS.items() for family in names.split()}
ERA = {family: era for era, names in GENERATIONS.items() for family in names.split()}
#: How the peer names its sources.
SOURCES = {"gpt-4": ("gpt4", "gpt4t", "gpt4o"), "gpt-3.5": ("gpt35",)}


@dataclass(frozen=True)
class Known:
    """The models by position. ``truth`` int (models, families): 1 documented, 0 unrelated, -1 neither."""

    names: list[str]
    families: dict[str, tuple[int, ...]]
    groups: tuple[str, ...]
    builders: tuple[str, ...]
    truth: NDArray[np.int64]
    students: list[int]
    open: NDArray[np.bool_]


def era(family: str) -> str:
    """The generation of a family."""
    return ERA.get(family, MAKER.get(family, family))


def read(folder: Path) -> tuple[Known, list[pa.Table], list[list[str]]]:
    """Models, their tables, their texts in the order of the prompts."""
    said: dict[str, Any] = json.loads((folder / "models.json").read_text("utf-8"))
    names = sorted({*said["teachers"], *said["students"], *said["lineage"], *said["human"]})
    family = said["families"]
    groups, builders, tables, texts = [], [], [], []
    for name in names:
        base = next(group for start, group in BASES.items() if name.startswith(start))
        shared = family.get(name) or next(iter(said["lineage"].get(name, ())), None)
        groups.append(MAKER.get(shared, shared) if shared else base)
        builders.append(next((b for start, b in BUILDERS.items() if name.startswith(start)), groups[-1]))
        lines = (folder / f"{name}.jsonl").read_text("utf-8").split("\n")
        rows = sorted((json.loads(line) for line in lines if line), key=lambda row: row["i"])
        text = [row["output"] or "" for row in rows]
        texts.append(text)
        tables.append(
            pa.table(
                {
                    "prompt_id": [str(row["i"]) for row in rows],
                    "sample": np.zeros(len(rows), np.int32),
                    "prompt": pa.nulls(len(rows), pa.string()),
                    "text": text,
                    "status": ["ok" if one.strip() else "empty" for one in text],
                },
                schema=ANSWERS,
            )
        )
    families: dict[str, tuple[int, ...]] = {}
    for teacher in said["teachers"]:
        families[family[teacher]] = (*families.get(family[teacher], ()), names.index(teacher))
    truth = np.zeros((len(names), len(families)), np.int64)
    for n, name in enumerate(names):
        taught = said["students"].get(name, ())
        for f, one in enumerate(families):
            maker = MAKER.get(one, one)
            if maker == groups[n] or maker in {MAKER.get(t, t) for t in taught}:
                truth[n, f] = -1
            if one in taught:
                truth[n, f] = 1
    students = [names.index(name) for name in said["students"]]
    candidate = np.array([name in family for name in names])
    return Known(names, families, tuple(groups), tuple(builders), truth, students, ~candidate), tables, texts


def judged(known: Known, score: Floats) -> tuple[Floats, Floats, Floats]:
    """For each pair: the score in deviations of its control groups, the p-value, and the number of groups."""
    z, p, many = (np.full(score.shape, np.nan) for _ in range(3))
    for n, f in np.argwhere(np.isfinite(score)):
        fit = [
            c
            for c in np.nonzero((known.truth[:, f] == 0) & np.isfinite(score[:, f]))[0]
            if known.groups[c] != known.groups[n] and known.builders[c] != known.builders[n]
        ]
        group = [known.groups[c] for c in fit]
        p[n, f], many[n, f] = conformal(float(score[n, f]), score[fit, f].tolist(), group)
        means = np.array(
            [
                np.mean([score[c, f] for c, g in zip(fit, group, strict=True) if g == one])
                for one in set(group)
            ]
        )
        z[n, f] = (score[n, f] - means.mean()) / means.std()
    return z, p, many


def auc(yes: Floats, no: Floats) -> float:
    """Chance that a related pair scores above an unrelated one."""
    ranks = rankdata(np.concatenate([yes, no]))
    return float((ranks[: yes.size].sum() - yes.size * (yes.size + 1) / 2) / (yes.size * no.size))


def measured(known: Known, score: Floats, who: list[int], seed: int) -> dict[str, Any]:
    """The figures of one method for the students ``who``; intervals from redrawn builders."""
    z, p, many = judged(known, score)
    truth, names = known.truth, list(known.families)
    no = (truth == 0) & np.isfinite(score)
    usual = np.broadcast_to(np.nanmean(np.where(no, score, np.nan), axis=0), score.shape)
    yes = np.zeros(truth.shape, bool)
    yes[who] = truth[who] == 1
    yes &= np.isfinite(score)
    hits: dict[str, list[float]] = {"era_1": [], "era_3": [], "family_1": [], "family_3": []}
    for n in who:
        order = [
            names[f] for f in np.argsort(-np.nan_to_num(score[n], nan=-np.inf)) if np.isfinite(score[n, f])
        ]
        right = {names[f] for f in np.nonzero(truth[n] == 1)[0]}
        eras = list(dict.fromkeys(map(era, order)))
        known_eras = {era(name) for name in right}
        hits["era_1"].append(eras[0] in known_eras)
        hits["era_3"].append(bool(known_eras & set(eras[:3])))
        hits["family_1"].append(order[0] in right)
        hits["family_3"].append(bool(right & set(order[:3])))
    builder = np.array([known.builders[n] for n in who])
    told: dict[str, Any] = {
        "students": len(who),
        "builders": len(set(builder)),
        "pairs": int(yes.sum()),
        "unrelated": int(no.sum()),
    }
    told |= {name: round(float(np.mean(value)), 3) for name, value in hits.items()}
    told["era_1_95"] = _interval(np.array(hits["era_1"], float), builder, seed)
    told["auc_pooled"] = round(auc(score[yes], score[no]), 3)
    told["auc_teacher_alone"] = round(auc(usual[yes], usual[no]), 3)
    told["auc_within_teacher"] = round(auc(z[yes], z[no]), 3)
    told["auc_within_teacher_not_candidates"] = round(auc(z[yes], z[no & known.open[:, None]]), 3)
    told["groups"] = [int(np.nanmin(many)), int(np.nanmax(many))]
    told["floor"] = round(float(1 / (1 + np.nanmax(many))), 3)
    for level in LEVELS:
        told[f"found_at_{level}"] = round(float(np.mean(p[yes] <= level)), 3)
        told[f"accused_at_{level}"] = round(float(np.mean(p[no] <= level)), 3)
        # One vote a lineage and teacher, however many models it has.
        by = [
            np.mean(p[rows, f][no[rows, f]] <= level)
            for g in sorted(set(known.groups))
            for f in range(len(names))
            if no[(rows := np.array(known.groups) == g), f].any()
        ]
        told[f"accused_by_group_at_{level}"] = round(float(np.mean(by)), 3)
    return told


def _interval(values: Floats, builder: NDArray[Any], seed: int) -> list[float]:
    rng, units = np.random.default_rng(seed), np.unique(builder)
    drawn = [
        np.concatenate([values[builder == one] for one in rng.choice(units, units.size)]).mean()
        for _ in range(DRAWS)
    ]
    return [round(float(q), 2) for q in np.quantile(drawn, [0.025, 0.975])]


def table(known: Known, kernels: Floats) -> Floats:
    """Scores (models, families), NaN where a model shares the family's group."""
    bench = Bench(kernels, known.groups, known.families)
    told = np.full((len(known.names), len(known.families)), np.nan)
    for n in range(len(known.names)):
        own = scores(bench, n)
        told[n] = [own.get(name, np.nan) for name in known.families]
    return told


def nearest(known: Known, like: Floats) -> Floats:
    """Scores (models, families) from likeness (models, models): the family's nearest version."""
    told = np.full((len(known.names), len(known.families)), np.nan)
    for f, (name, versions) in enumerate(known.families.items()):
        other = np.array([g != MAKER.get(name, name) for g in known.groups])
        told[other, f] = like[other][:, list(versions)].max(axis=1)
    return told


def lineages(known: Known, kernels: Floats, names: list[str], shared: dict[str, list[str]]) -> dict[str, Any]:
    """How often the lineage that a model resembles most is the one whose weights it has."""
    found: dict[str, list[bool]] = {"fine_tuned_chat_model": [], "student_of_base_model": []}
    unknown = np.array(known.groups)
    for name in [*shared, *(known.names[n] for n in known.students)]:
        n = names.index(name)
        # The model itself and its builder's others say nothing of its weights.
        rest = [
            k
            for k in range(len(names))
            if known.builders[k] != known.builders[n] or (name in shared and k != n)
        ]
        members = {
            g: tuple(k for k in rest if unknown[k] == g) for g in sorted({str(unknown[k]) for k in rest})
        }
        groups = tuple("" if k == n else g for k, g in enumerate(known.groups))
        alike = scores(Bench(kernels, groups, members), n)
        if known.groups[n] in alike:
            kind = "fine_tuned_chat_model" if name in shared else "student_of_base_model"
            found[kind].append(max(alike, key=lambda g: alike[g]) == known.groups[n])
    return {kind: {"right": sum(hit), "of": len(hit)} for kind, hit in found.items()}


def taught_by(known: Known, model: int) -> list[str]:
    """The documented teacher families of a model."""
    return [name for f, name in enumerate(known.families) if known.truth[model, f] == 1]


def one_generation(known: Known, score: Floats) -> dict[str, Any]:
    """How often the generation that taught most students comes first: for its students, and for models it did not teach."""
    names = list(known.families)
    top = [era(names[int(np.nanargmax(row))]) for row in score]
    eras = [{era(name) for name in taught_by(known, n)} for n in range(len(known.names))]
    name = max(sorted(set(map(era, names))), key=lambda one: sum(one in each for each in eras))
    taught = [n for n in known.students if name in eras[n]]
    others = [n for n in np.nonzero(known.open)[0] if n not in taught]
    return {
        "generation": name,
        "students_it_taught": len(taught),
        "first_for_them": round(float(np.mean([top[n] == name for n in taught])), 3),
        "models_that_are_neither_candidates_nor_its_students": len(others),
        "first_for_those": round(float(np.mean([top[n] == name for n in others])), 3),
    }


def sources(known: Known, peer: dict[str, Any]) -> dict[str, float]:
    """How often the peer's source of a text is a documented teacher: by the commonest source, and over all answers."""
    most, share = [], []
    for n in known.students:
        told, taught = peer[known.names[n]], taught_by(known, n)
        right = {source for source, families in SOURCES.items() if set(families) & set(taught)}
        most.append(told["source"] in right)
        share.append(sum(told["sources"].get(source, 0) for source in right) / sum(told["sources"].values()))
    return {"students": round(float(np.mean(most)), 3), "answers": round(float(np.mean(share)), 3)}


def main() -> int:
    """Measure, print, keep numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--peer", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    known, tables, texts = read(args.answers)
    begin = time.process_time()
    like = likeness(tables, pa.array(tables[0]["prompt_id"].to_pylist()))
    methods = {"spiritsafe": table(known, like.kernels)}
    seconds = round(time.process_time() - begin, 1)
    style = like.style / like.style.std(axis=0)
    methods["length and layout"] = nearest(known, -np.linalg.norm(style[:, None] - style[None], axis=2))
    peer: dict[str, Any] = {}
    if args.peer:
        asked = json.dumps(dict(zip(known.names, texts, strict=True)))
        ran = subprocess.run(
            [args.peer, str(PEER)], input=asked, stdout=subprocess.PIPE, text=True, check=True
        )
        peer = json.loads(ran.stdout)
        alike = np.array([[peer[a]["dli"][b] for b in known.names] for a in known.names])
        methods["knowlyr-modelaudit dli"] = nearest(known, alike)
    builders = sorted({known.builders[n] for n in known.students})
    np.random.default_rng(0).shuffle(builders)
    first = set(builders[::2])
    halves = {
        "A (chosen on)": [n for n in known.students if known.builders[n] in first],
        "B (held out)": [n for n in known.students if known.builders[n] not in first],
        "all": known.students,
    }
    shared = json.loads((args.answers / "models.json").read_text("utf-8"))["lineage"]
    found: dict[str, Any] = {
        "processor_seconds": seconds,
        "models": len(known.names),
        "halves": {
            half: {name: measured(known, score, who, args.seed) for name, score in methods.items()}
            for half, who in halves.items()
        },
        "one_generation": {name: one_generation(known, score) for name, score in methods.items()},
        "lineage": lineages(known, like.kernels, known.names, shared),
    }
    if peer:
        found["knowlyr-modelaudit detect_text_source right"] = sources(known, peer)
    text = _markdown(found)
    print(text)
    if args.save:
        (RESULTS / "attribution.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        (RESULTS / "attribution.md").write_text(text, "utf-8")
    return 0


def _markdown(found: dict[str, Any]) -> str:
    columns = ["era_1", "era_1_95", "era_3", "family_1", "family_3", "auc_pooled", "auc_teacher_alone"]
    columns += ["auc_within_teacher", "auc_within_teacher_not_candidates"]
    columns += [f"{what}_at_{level}" for level in LEVELS for what in ("found", "accused", "accused_by_group")]
    columns.append("floor")
    rows = ["students", "builders", "pairs", "unrelated", *columns]
    ran = [(half, name, told) for half, methods in found["halves"].items() for name, told in methods.items()]
    lines = [
        "# Attribution on real outputs",
        "",
        "Written by `bench/attribution.py`; what the columns mean: `docs/provenance/attribution.md`.",
        "",
        "| | " + " | ".join(f"{half}: {name}" for half, name, _ in ran) + " |",
        "|---" * (len(ran) + 1) + "|",
        *(f"| {row} | " + " | ".join(str(told[row]) for _, _, told in ran) + " |" for row in rows),
        "",
        *(f"* {name}: {json.dumps(value)}" for name, value in found.items() if name != "halves"),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
