"""What an earlier run has verified is not asked again, on the same basis and from our own directory alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.trust import Evidence, Verdict, memory
from lineal.trust.memory import Memory, Remembered
from tests.unit.stages.workbench import MemoryStore, record
from tests.unit.trust.signing import evidence, signed_stage

DIGEST = "sha256:" + "1" * 64
PROVED = Verdict(True, "proved from git", (record(created=5), record(branch="x")))


class Asked:
    basis = "keys"

    def __init__(self, verdict: Verdict) -> None:
        self.verdict, self.times = verdict, 0

    def judge(self, evidence: Evidence) -> Verdict:
        del evidence
        self.times += 1
        return self.verdict


@pytest.mark.parametrize("verdict", [Verdict(True, "signed by keys/ci.pub"), PROVED, Verdict(True, "x", ())])
def test_a_verdict_is_as_it_was(tmp_path: Path, verdict: Verdict) -> None:
    Memory(tmp_path, "keys", "1").keep(DIGEST, verdict)
    assert Memory(tmp_path, "keys", "1").recall(DIGEST) == verdict
    for other in (Memory(tmp_path, "others", "1"), Memory(tmp_path, "keys", "2")):
        assert not other and other.recall(DIGEST) is None


def test_what_is_believed_is_asked_once_for_all_runs_and_what_is_not_each_time(tmp_path: Path) -> None:
    store = MemoryStore()
    found = evidence(store, signed_stage(store))
    for verdict, times in ((Verdict(False, "no"), 2), (Verdict(True, "yes"), 1)):
        asked = Asked(verdict)
        verdicts = [Remembered(asked, Memory(tmp_path, "keys", "1")).judge(found) for _ in range(2)]
        assert verdicts == [verdict, verdict] and asked.times == times


def test_a_proof_is_no_signature(tmp_path: Path) -> None:
    store, asked = MemoryStore(), Asked(Verdict(False, "nobody has signed it"))
    found = evidence(store, signed_stage(store))
    Memory(tmp_path, "keys", "1").keep(found.index.digest, PROVED)
    assert not Remembered(asked, Memory(tmp_path, "keys", "1")).judge(found).trusted


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"reason": "x", "footing": [{}]}', '{"reason": "x", "footing": 1}']
)
def test_what_is_broken_is_nothing(tmp_path: Path, text: str) -> None:
    kept = Memory(tmp_path, "keys", "1")
    kept.keep(DIGEST, PROVED)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_text(text)
    assert kept.recall(DIGEST) is None


def test_a_directory_that_others_can_write_to_is_not_believed(tmp_path: Path) -> None:
    kept = Memory(tmp_path, "keys", "1")
    kept.keep(DIGEST, PROVED)
    (folder,) = (tmp_path / "trust").iterdir()
    folder.chmod(0o777)
    assert not kept and kept.recall(DIGEST) is None
    folder.chmod(0o700)
    assert kept.recall(DIGEST) == PROVED


def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST", 4)
    kept = Memory(tmp_path, "keys", "1")
    digests = [f"sha256:{number:064x}" for number in range(5)]
    for number, digest in enumerate(digests):
        kept.keep(digest, PROVED)
        (file,) = tmp_path.rglob(digest.removeprefix("sha256:"))
        os.utime(file, (number, number))
    assert [kept.recall(digest) is not None for digest in digests] == [False, False, True, True, True]
