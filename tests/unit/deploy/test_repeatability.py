from __future__ import annotations

from lineal.deploy.repeatability import unsteady

ONE = """\
kind: Secret
metadata: {name: db}
data: {password: abc, user: shop}
---
kind: Deployment
metadata: {name: web}
spec: {containers: [{env: [{name: T, value: "1"}]}]}
"""


def test_the_same_is_nothing_to_tell() -> None:
    assert unsteady(ONE, ONE) == []
    assert unsteady(ONE, ONE.replace("{name: db}", "{name:   db}")) == []


def test_fields_are_named_and_values_are_not() -> None:
    other = ONE.replace("abc", "xyz").replace('"1"', '"2"')
    told = unsteady(ONE, other)
    assert told == [
        "Secret db has other values in every render: data.password.",
        "Deployment web has other values in every render: spec.containers[0].env[0].value.",
    ]
    assert "abc" not in str(told) and "xyz" not in str(told)


def test_an_object_of_another_name_each_time() -> None:
    told = unsteady(ONE, ONE.replace("{name: web}", "{name: web-2}"))
    assert told == ["Deployment web is rendered under another name, or not at all, each time."]
