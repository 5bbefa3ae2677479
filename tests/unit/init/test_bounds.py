"""Files of a repository that mean more work than anybody does are read within bounds."""

from __future__ import annotations

import yaml

from lineal.init import bake, compose, hcl, workflow


def test_a_matrix_without_end_has_some_jobs() -> None:
    axes = {f"a{number}": list(range(100)) for number in range(9)}
    step = {"uses": "docker/build-push-action@v7", "with": {"context": "${{ matrix.a8 }}"}}
    document = {"jobs": {"x": {"strategy": {"matrix": axes}, "steps": [step]}}}
    assert len(list(workflow.builds("x", document))) == 64
    values = ", ".join(f'"{number}"' for number in range(100))
    axes_of_hcl = "".join(f"a{number} = [{values}]\n" for number in range(9))
    targets = hcl.read(f'target "x" {{\nmatrix = {{\n{axes_of_hcl}}}\ncontext = a8\n}}\n')["target"]
    assert len(targets) == 64


def test_parents_that_share_parents_are_put_together_once() -> None:
    targets = {"t0": {"args": {"A": "1"}}}
    targets |= {f"t{n}": {"inherits": [f"t{n - 1}", f"t{n - 1}"], "context": "."} for n in range(1, 60)}  # type: ignore[dict-item]
    found = list(bake.builds("docker-bake.json", {"target": targets}, {"Dockerfile"}))
    assert found[-1].args == {"A": "1"}


def test_what_yaml_says_many_times_is_not_written_out() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    document = yaml.safe_load("\n".join(lines))
    service = {"build": {"context": ".", "args": {"A": document["a59"]}, "labels": [document["a59"]]}}
    (build,) = compose.builds("compose.yaml", {"services": {"x": service}}, {})
    assert build.args == {"A": "unknown"}
    step = {"uses": "docker/build-push-action@v7", "with": {"build-args": document["a59"]}}
    assert list(workflow.builds("x", {"jobs": {"x": {"steps": [step]}}}))


def test_a_comment_that_is_never_closed_ends_with_the_file() -> None:
    assert hcl.read('target "x" {}\n' + "/* " * 20_000)["target"] == {"x": {}}
