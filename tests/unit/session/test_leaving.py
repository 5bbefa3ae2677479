"""What leaves a run shows no secret that the run has read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lineal.config.secrets import Mask
from lineal.errors import BadConfiguration, BuildFailed
from lineal.report.model import ChangeReport, ErrorReport, ImageReport, ReleaseReport, Report, StageReport, encode
from lineal.session.leaving import MaskedProgress, mask_error, mask_report, secrets_of_job
from lineal.session.session import Session
from lineal.session.settings import Settings
from tests.unit.build.factory import Told

SECRET = "correct-horse"
MASK = Mask([SECRET]).mask


def test_every_line_of_a_run_is_masked() -> None:
    told = Told()
    progress = MaskedProgress(told, MASK)
    for say in (progress.note, progress.warn, progress.begin):
        say(f"a {SECRET} b")
    progress.output("stage", f"\x1b[1mcorrect-\x1b[0mhorse {SECRET}")
    progress.end(SECRET, "built", 1.0, SECRET)
    said = [*told.notes, *told.warnings, *told.begun, *told.lines, *(stage for stage, _ in told.ended)]
    assert len(said) == 5 and all("***" in line and "horse" not in line for line in said)


def test_errors_their_parts_and_causes_are_masked() -> None:
    error = BuildFailed(f"it said {SECRET}", id="LN-5005", remedy=f"try {SECRET}")
    error.others = (BadConfiguration(f"{SECRET}!", id="LN-1001"),)
    error.__cause__ = ValueError(f"inner {SECRET}", 5)
    error.__cause__.__context__ = error
    mask_error(error, MASK)
    assert str(error) == "it said *** try *** [LN-5005]\n***! [LN-1001]"
    assert error.__cause__.args == ("inner ***", 5) and SECRET not in repr(error)


def test_a_report_keeps_its_names_and_digests_and_loses_its_secrets() -> None:
    stage = StageReport(image="horse", target="t", line=1, instruction=SECRET, checksum="c", outcome="failed",
                        output=["ok", SECRET], reason=SECRET)  # fmt: skip
    report = Report(
        lineal="1", command="build", project="p", store="s", context=None,
        images=[ImageReport(name=SECRET, ref=f"r/{SECRET}", digest="sha256:1")], stages=[stage],
        release=ReleaseReport(name="r", namespace="n", status="deployed", told=[SECRET], log=[SECRET]),
        changes=[ChangeReport(kind="Pod", name="p", action="change", diff=[f"+ {SECRET}"])],
        error=ErrorReport(message=SECRET, id="LN-1001", remedy=SECRET, code=1,
                          others=[ErrorReport(message=SECRET, id="LN-1002", code=1)]),
    )  # fmt: skip
    masked = mask_report(report, MASK)
    # What machines read is what it was: a secret that is a name of something is none.
    assert masked.images == report.images
    masked.images = []
    assert SECRET.encode() not in encode(masked) and encode(masked).count(b"***") == 9
    assert mask_report(report, Mask().mask) == report


def test_a_session_hides_what_it_has_read_in_all_that_it_says(tmp_path: Path) -> None:
    told = Told()
    settings = replace(Settings.of(), environ={"LINEAL_REGISTRY_PASSWORD": "pass-word", "PATH": ""})
    with (
        pytest.raises(BuildFailed, match=r"^\*\*\*, \*\*\*") as failed,
        Session.open(settings, tmp_path, told) as run,
    ):
        run.hidden.hide([SECRET])
        run.progress.warn(f"{SECRET} pass-word")
        raise BuildFailed(f"{SECRET}, pass-word", id="LN-5005")
    assert told.warnings == ["*** ***"] and SECRET not in str(failed.value)


def test_what_a_job_has_in_its_variables_is_secret_and_the_path_of_a_key_is_not() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMAo=\n-----END PRIVATE KEY-----\n"
    secret = {
        "LINEAL_REGISTRY_PASSWORD": "pass-word", "LINEAL_TRUST_KEY": "new-key old-key", "LINEAL_SIGNING_KEY": key,
        "SIGSTORE_ID_TOKEN": "token",
    }  # fmt: skip
    found = secrets_of_job({**secret, "LINEAL_REGISTRY_USERNAME": "ali", "PATH": "/bin"})
    assert set(filter(None, found)) == {"pass-word", "new-key", "old-key", key, "token"}
    assert not any(secrets_of_job({"LINEAL_SIGNING_KEY": "/run/key.pem"}))
