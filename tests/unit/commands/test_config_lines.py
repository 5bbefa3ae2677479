from __future__ import annotations

import pytest
import yaml

from lineal.commands.config import _scalar


@pytest.mark.parametrize("text", ["##[set-output name=a;]x", "::set-output name=a::x", "a\n::b", "##[", "\\##[a"])
def test_a_value_is_no_command_of_a_workflow_and_stays_the_same_value(text: str) -> None:
    shown = _scalar(text)
    assert "##[" not in shown and not shown.lstrip().startswith("::") and "\n" not in shown
    assert yaml.safe_load(shown) == text
