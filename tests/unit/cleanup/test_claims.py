"""The claims of moving tags: bounded in number, and the newest of each tag always stays."""

from __future__ import annotations

from lineal.cleanup.claims import delete_claim, old_claims
from lineal.cleanup.retention import DAY, Tags
from lineal.publish.claim import claim_documents
from lineal.store.tags import Claim, claim_key, parse_claim
from tests.unit.stages.workbench import MemoryStore, oid

NOW = 1_700_000_000_000
LATEST, BRANCH = claim_key("registry.test/app", "latest"), claim_key("registry.test/app", "main")


def claim(days: float, key: str = LATEST, letter: str = "c") -> Claim:
    return Claim(key, "0123456789abcdef", NOW - int(days * DAY), oid(letter))


def ages(claims: list[Claim], key: str = LATEST) -> list[int]:
    return sorted((NOW - one.created) // DAY for one in claims if one.key == key)


def test_the_newest_of_each_tag_and_the_young_stay() -> None:
    every = [claim(days, key) for key, oldest in ((LATEST, 60), (BRANCH, 42)) for days in range(40, oldest)]
    young = [claim(days) for days in (0, 29)]
    gone = old_claims([one.tag for one in (*every, *young)], NOW, NOW - 30 * DAY)
    assert ages(gone) == list(range(41, 60)), "two young ones and the next make three"
    assert ages(gone, BRANCH) == []


def test_the_claims_of_today_stay_whatever_is_to_be_kept() -> None:
    every = [claim(days / 100) for days in range(10)]
    assert old_claims([one.tag for one in every], NOW, 10**15) == []


def test_withdrawn_claims_go_and_count_for_nothing() -> None:
    withdrawn, standing = [claim(days) for days in range(5, 9)], [claim(days) for days in range(40, 43)]
    tags = [*(one.tag for one in (*withdrawn, *standing)), *(one.withdrawal for one in withdrawn)]
    assert ages(old_claims(tags, NOW, NOW - 30 * DAY)) == [5, 6, 7, 8]


def test_a_claim_goes_with_what_withdraws_it() -> None:
    store, one = MemoryStore(), claim(50)
    _, manifest = claim_documents(one, "registry.test/app", "latest", "sha256:" + "0" * 64, "main")
    for tag in (one.tag, one.withdrawal):
        store.put_manifest(manifest, tag)
    delete_claim(store, one, store.delete)
    assert store.tags() == []


def test_claims_are_no_tags_of_others() -> None:
    tags = Tags.of([claim(1).tag, claim(1).withdrawal, "1.2.3"])
    assert tags.others == ["1.2.3"] and len(tags.claims) == 2


def test_a_claim_is_read_back_and_fits_a_tag() -> None:
    for commit in (oid("a"), "a" * 64):
        one = Claim(LATEST, "0123456789abcdef", 7, commit)
        assert parse_claim(one.tag) == (one, False)
        assert parse_claim(one.withdrawal) == (one, True)
        assert len(one.withdrawal) <= 128
    assert parse_claim("moving-target") is None
