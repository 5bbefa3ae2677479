"""Rules beyond types, each as a user would break it."""

from __future__ import annotations

import pytest

from lineal.config.model import Deploy, Image, Project, Secret
from lineal.config.rule_violation import RuleViolation
from lineal.config.validation import check, release_name


def only(project: Project) -> RuleViolation:
    (found,) = check(project)
    return found


def broken(**image: object) -> RuleViolation:
    return only(Project(project="s", images={"b": Image(), "a": Image(**image)}))  # type: ignore[arg-type]


def broken_deploy(**deploy: object) -> RuleViolation:
    return only(Project(project="s", deploy=Deploy(**{"chart": "c", **deploy})))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["../x", "..", "a/../../x", "/etc", "~/x", "", " ", "a\nb", "a\x1b[1m"])
def test_a_path_outside_the_repository_is_refused(path: str) -> None:
    assert broken(context=path).path == ("images", "a", "context")
    assert broken(dockerfile=path).path == ("images", "a", "dockerfile")
    # An empty chart is none.
    assert broken_deploy(chart=path).path == (("deploy", "chart") if path else ("deploy",))
    assert broken_deploy(values=["ok.yaml", path]).path == ("deploy", "values", 1)


def test_a_need_of_an_unknown_image_suggests_one() -> None:
    error = broken(needs={"BASE": "bb"})
    assert error.path == ("images", "a", "needs", "BASE")
    assert "Did you mean `b`" in error.remedy or "The images are: b, a" in error.remedy


def test_a_circle_of_needs_is_named() -> None:
    images = {
        "x": Image(needs={"A": "a"}),
        "a": Image(needs={"O": "ok", "B": "b"}),
        "b": Image(needs={"C": "c"}),
        "c": Image(needs={"A": "a"}),
        "ok": Image(),
    }
    circle = only(Project(project="s", images=images))
    assert "`a -> b -> c -> a`" in str(circle)
    assert circle.path == ("images", "a", "needs", "B")
    assert "`a -> a`" in str(broken(needs={"SELF": "a"}))


def test_a_requirement_of_an_unknown_image_suggests_one() -> None:
    error = broken(requires=["b", "bb"])
    assert error.path == ("images", "a", "requires", 1)
    assert "Did you mean `b`" in error.remedy or "The images are: b, a" in error.remedy


def test_a_circle_of_requirements_is_named() -> None:
    images = {"x": Image(requires=["a"]), "a": Image(requires=["ok", "b"]), "b": Image(requires=["a"]), "ok": Image()}
    circle = only(Project(project="s", images=images))
    assert "require each other in a circle: `a -> b -> a`" in str(circle)
    assert circle.path == ("images", "a", "requires", 1)
    assert "`a -> a`" in str(broken(requires=["a"]))


def test_tests_may_be_made_of_the_image_that_requires_them() -> None:
    images = {"api": Image(requires=["tests"]), "tests": Image(needs={"API": "api"})}
    assert not list(check(Project(project="s", images=images)))


def test_shared_needs_are_no_circle_and_long_chains_are_no_problem() -> None:
    images = {f"i{n}": Image(needs={"P": f"i{n + 1}", "Q": "i5000"}) for n in range(5000)}
    assert not list(check(Project(project="s", images={**images, "i5000": Image()})))
    circle = only(Project(project="s", images={**images, "i5000": Image(needs={"R": "i4999"})}))
    assert "`i4999 -> i5000 -> i4999`" in str(circle)


def test_a_name_is_not_both_argument_and_need() -> None:
    assert "both" in str(broken(args={"B": "1"}, needs={"B": "b"}))


def test_platforms_are_several_different_ones() -> None:
    assert "one platform at least" in str(broken(platforms=[]))
    twice = broken(platforms=["linux/arm64", "linux/amd64", "linux/arm64/v8"])
    assert "twice" in str(twice) and twice.path == ("images", "a", "platforms", 2)
    assert broken(platforms=["windows"]).path == ("images", "a", "platforms", 0)


def test_a_secret_has_at_most_one_source_and_its_value_is_never_repeated() -> None:
    assert "both" in str(broken(secrets=[Secret(id="x", env="X", file="x")]))
    assert "twice" in str(broken(secrets=[Secret(id="x", env="X"), Secret(id="x", env="Y")]))
    pasted = broken(secrets=[Secret(id="x", env="s3cr3t-value")])
    assert "s3cr3t" not in pasted.message + pasted.remedy
    assert not list(
        check(Project(project="s", images={"a": Image(secrets=[Secret(id="x", file="f"), Secret(id="y")])}))
    )


@pytest.mark.parametrize("timeout", ["", "10", "m", "10 m", "-5m", "5min"])
def test_a_timeout_has_a_unit(timeout: str) -> None:
    assert broken_deploy(timeout=timeout).path == ("deploy", "timeout")


def test_names_are_those_that_kubernetes_takes() -> None:
    assert broken_deploy(release="Shop").path == ("deploy", "release")
    assert broken_deploy(release="x" * 54).path == ("deploy", "release")
    assert broken_deploy(namespace="a.b").path == ("deploy", "namespace")
    deploy = Deploy(chart="oci://r.example.com/c", release="a.b", namespace="a-b")
    assert not list(check(Project(project="s", deploy=deploy)))


def test_a_chart_from_elsewhere_is_oci_or_https() -> None:
    assert "is no directory of the commit" in str(broken_deploy(chart="http://example.com/chart.tgz"))


def test_a_store_has_no_spaces() -> None:
    assert "not a store's address" in str(only(Project(project="s", repo="my store")))


@pytest.mark.parametrize("env", [None, "prod", "Prod", "übung", "a/b", "x" * 100, "---", ""])
def test_default_names_are_always_valid(env: str | None) -> None:
    for project in ("shop", "my_shop.x", "p" * 63):
        name = release_name(project, env, 53)
        assert not list(check(Project(project="s", deploy=Deploy(chart="c", release=name, namespace=name))))
        assert len(name) <= 53


def test_all_rules_that_are_broken_are_said() -> None:
    images = {"a": Image(context="../x", needs={"B": "none", "C": "nil"}), "b": Image(target=" ", platforms=[])}
    project = Project(project="s", images=images, lock="redis", deploy=Deploy(chart="/c", timeout="1"))
    assert [broken.path for broken in check(project)] == [
        ("images", "a", "context"), ("images", "a", "needs", "B"), ("images", "a", "needs", "C"),
        ("images", "b", "target"), ("images", "b", "platforms"), ("deploy", "chart"), ("deploy", "timeout"),
        ("lock",),
    ]  # fmt: skip
