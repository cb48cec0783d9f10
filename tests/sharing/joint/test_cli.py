"""The verbs: three labs commit, open and decide with files alone, and come to the same bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from spiritsafe.attest import keys
from spiritsafe.cli import app
from spiritsafe.errors import SpiritsafeError
from spiritsafe.sharing.joint import files as files_of

if TYPE_CHECKING:
    from pathlib import Path

SOME = {"taken_in_turn": 8.0, "even_arrivals": 7.5}
IDENTITY = "identity--{}-0000-4000-8000-000000000000"


def run(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(
        app, ["share", "joint", *(str(word) for word in words), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def tag(lab: str, value: str) -> str:
    whose = "all-labs" if value.startswith("fp1:c") else f"{lab}-alone"
    return f"tag-of-{value.replace(':', '-')}-for-{whose}"


class Lab:
    """A folder with a scan's results, tags, a key and a secret."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.identity = IDENTITY.format(name.encode().hex().rjust(8, "0"))
        self.public = keys.make(self.folder / "key.pem")
        self.options = ["--results", self.folder, "--tags", self.folder / "tags.jsonl"]
        candidates = [self._candidate("common", SOME, ["c1", "c2"]), self._candidate("own", {}, ["d1"])]
        lines = [
            {"candidate_id": one["candidate_id"], "class": kind, "value": value, "tag": tag(name, value)}
            for one in candidates
            for kind, value in [
                *(("skeleton", f"fp1:{run}") for run in one["skeletons"][0]["runs"]),
                *(("skeleton", f"fp1:{print_}") for print_ in one["sample"]),
                ("band", "fp1:00:passed-over"),
            ]
        ]
        content = {"schema": 1, "fingerprint_version": 1, "candidates": candidates}
        (self.folder / "candidates.json").write_text(json.dumps(content))
        (self.folder / "tags.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def _candidate(self, name: str, tests: dict[str, float], runs: list[str]) -> dict[str, Any]:
        return {
            "candidate_id": f"k-{self.name}-{name}",
            "kind": "template",
            "tested": "scan",
            "parties": 12,
            "family": "f",
            "intent": {"by": "role"},
            "excused": False,
            "coordination": {"tests": [{"name": n, "bits": b} for n, b in tests.items()], "chose": []},
            "skeletons": [{"template": "t", "runs": runs}],
            "sample": [f"s-{self.name}"],
        }

    def commit(self, members: Path) -> dict[str, Any]:
        made = run(
            "commit", *self.options, "--members", members, "--key", self.folder / "key.pem",
            "--forum", "f", "--round", "r", "--out", self.folder / "commitment.json",
            "--secret", self.folder / "secret", "--facts", self.folder / "facts.json",
        )  # fmt: skip
        self.facts = json.loads((self.folder / "facts.json").read_text())
        return made

    def open(self, members: Path, others: list[Lab]) -> dict[str, Any]:
        met = [
            {"by": one.identity, "name": one.facts[f"k-{one.name}-common"]["commitment"]} for one in others
        ]
        lines = [{"tag": tag(self.name, value), "met": met} for value in ("fp1:c1", "fp1:c2")]
        (self.folder / "matched.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return run(
            "open", *self.options, "--members", members, "--key", self.folder / "key.pem",
            "--matched", self.folder / "matched.jsonl", "--commitment", self.folder / "commitment.json",
            "--secret", self.folder / "secret", "--out", self.folder / "opening.json",
        )  # fmt: skip


@pytest.fixture
def labs(tmp_path: Path) -> tuple[list[Lab], Path]:
    made = [Lab(tmp_path, name) for name in "abc"]
    roster: list[dict[str, Any]] = [
        {"id": one.identity, "key": one.public, "state": "active"} for one in made
    ]
    old = {"purpose": "sign", "public": keys.make(tmp_path / "old.pem"), "retired": 1}
    roster[0]["keys"] = [old, {"purpose": "sign", "public": made[0].public, "retired": None}]
    members = tmp_path / "members.json"
    members.write_text(json.dumps({"members": roster}))
    return made, members


def test_three_labs_find_together_what_none_finds_alone(labs: tuple[list[Lab], Path], tmp_path: Path):
    made, members = labs
    assert [one.commit(members)["committed"] for one in made] == [2, 2, 2]
    assert [one.open(members, [x for x in made if x is not one])["opened"] for one in made] == [1, 1, 1]
    files = [one.folder / name for one in made for name in ("commitment.json", "opening.json")]
    where = ["--members", members, "--forum", "f", "--round", "r"]
    result = run("decide", *files, *where, "--out", tmp_path / "decision.json")
    run("decide", *reversed(files), *where, "--out", tmp_path / "again.json")
    assert (tmp_path / "decision.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    (group,) = result["groups"]
    assert (group["label"], len(group["members"]), result["campaigns"]) == ("campaign", 3, 1)
    told = CliRunner().invoke(app, ["share", "joint", "decide", *map(str, [*files, *where])])
    assert f"campaign     {group['group_id']}" in told.stdout
    one = made[0]
    adopted = run(
        "adopt", tmp_path / "decision.json", "--facts", one.folder / "facts.json", "--members", members,
        "--key", one.folder / "key.pem", "--out", one.folder / "jointly.json",
    )["adopted"]  # fmt: skip
    assert [(entry["candidate_id"], entry["labs"]) for entry in adopted] == [("k-a-common", 3)]
    (jointly,) = files_of.jointly(one.folder / "jointly.json")
    assert (jointly.group_id, jointly.bits) == (group["group_id"], group["bits"])
    found = run("record", tmp_path / "decision.json", "--refuted", group["group_id"])
    assert [one["refuted"] for one in found["records"]] == [1, 1, 1]


def test_a_lab_commits_once_a_round(labs: tuple[list[Lab], Path]):
    made, members = labs
    made[0].commit(members)
    with pytest.raises(SpiritsafeError, match="kept"):
        made[0].commit(members)


@pytest.mark.parametrize(
    ("name", "text", "where", "why"),
    [
        ("tags.jsonl", '{"candidate_id": "x"}', ":1", "a line has"),
        ("tags.jsonl", "\x00", ":1", "not JSON"),
        (
            "tags.jsonl",
            '{"candidate_id": "x", "class": "skeleton", "value": "v", "tag": "t"}',
            ":1",
            "not among",
        ),
        ("candidates.json", "{}", "candidates.json", "no list of candidates"),
        ("candidates.json", "[[", "candidates.json", "not JSON"),
        ("../members.json", '{"members": [{"id": "x"}]}', "member 0", "an id, a key"),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    labs: tuple[list[Lab], Path], name: str, text: str, where: str, why: str
):
    made, members = labs
    (made[0].folder / name).write_text(text)
    with pytest.raises(SpiritsafeError, match=why) as told:
        made[0].commit(members)
    assert where in str(told.value.where)


def test_a_strangers_key_commits_nothing(labs: tuple[list[Lab], Path]):
    made, members = labs
    (made[0].folder / "key.pem").unlink()
    keys.make(made[0].folder / "key.pem")
    with pytest.raises(SpiritsafeError, match="no member's"):
        made[0].commit(members)
    assert not (made[0].folder / "secret").exists()


def test_rules_are_read_with_the_line_of_what_is_wrong(labs: tuple[list[Lab], Path], tmp_path: Path):
    made, members = labs
    rules = tmp_path / "rules.toml"
    rules.write_text("[joint]\nfdr = 0.05\nliar = 1\n")
    with pytest.raises(SpiritsafeError, match="no key 'liar'") as told:
        run(
            "decide",
            made[0].folder / "key.pem",
            "--members",
            members,
            "--forum",
            "f",
            "--round",
            "r",
            "--rules",
            rules,
        )
    assert str(told.value.where).endswith(":3")
    rules.write_text("[joint]\nfdr = 0.05\nliars = 1\n")
    made[0].folder.joinpath("none.json").write_text("rubbish\n")
    result = run(
        "decide",
        made[0].folder / "none.json",
        "--members",
        members,
        "--forum",
        "f",
        "--round",
        "r",
        "--rules",
        rules,
    )
    assert (result["rules"]["fdr"], result["rules"]["liars"]) == (0.05, 1)
    assert len(result["refused"]) == 1


def test_what_is_no_joint_decision_is_refused(tmp_path: Path):
    path = tmp_path / "jointly.json"
    for text in ("{}", '{"jointly": [{"candidate_id": "k"}]}', '{"jointly": 3}'):
        path.write_text(text)
        with pytest.raises(SpiritsafeError, match="no joint decision"):
            files_of.jointly(path)
    path.write_text('{"jointly": []}')
    assert files_of.jointly(path) == ()
