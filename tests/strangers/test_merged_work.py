"""What a pull request's pipeline signed counts in it alone, or with `merged: true` wherever its commit or tree is in
the history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.forge import FILES, Forge
from tests.unit.trust.signing import new_key, pem, public_pem

SIGNING = {"LINEAL_SIGNING_KEY": pem(new_key())}
TRUST = "trust: {accept: [{key: keys/ci.pub}], recompute: false"


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("merged", [False, True])
def test_what_a_pull_request_signed_is_main_s_once_it_is_merged(tmp_path: Path, merged: bool, squash: bool) -> None:
    forge = Forge.create(tmp_path, f"layout:{tmp_path}/store")
    repo, trust = forge.repo, TRUST + (", merged: true}\n" if merged else "}\n")
    repo.write({**FILES, "lineal.yaml": FILES["lineal.yaml"] + trust, "keys/ci.pub": public_pem(new_key()).decode()})
    assert forge.push("main").build(env=SIGNING).made == ["COPY"] * 3
    repo.branch("feature")
    repo.switch("feature")
    forge.commit(one="2")
    request = forge.pull_request(7, "feature")
    built = request.build(env=SIGNING)
    assert len(built.made) == 2 and request.build(env=SIGNING).made == [], "it uses what it has signed itself"
    # Nobody else does before the merge, another pull request neither.
    repo.switch("main")
    repo.branch("other")
    repo.switch("other")
    forge.commit(one="2", NEWS="another line")
    hidden = forge.pull_request(8, "other").plan(env=SIGNING)
    assert {stage["outcome"] for stage in hidden.stages if stage["image"] != "two"} == {"missing"}
    repo.switch("main")
    if squash:
        repo.git("merge", "--quiet", "--squash", "feature")
        repo.git("commit", "--quiet", "-m", "squashed")
    else:
        repo.merge("feature")
    planned = forge.push("main").plan(env=SIGNING)
    told = {stage["image"]: stage["reason"] for stage in planned.stages}
    done = forge.push("main").build(env=SIGNING)
    if merged:
        assert done.made == [] and done.digests == built.digests
        # Whoever deploys has no key, and needs none.
        assert forge.push("main").plan("--exit-code").digests == built.digests
    else:
        assert len(done.made) == 2 and "signed for pull request 7" in told["one"] and "`merged: true`" in told["one"]
