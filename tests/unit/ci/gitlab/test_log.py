from __future__ import annotations

from lineal.ci.gitlab.log import Sections
from tests.unit.ci.github.runner import gitlab_sections


def test_a_section_has_the_documented_form_and_a_name_of_its_own() -> None:
    times = iter([1700000000.2, 1700000007.9, 1700000008.0])
    sections = Sections(lambda: next(times))
    assert sections.open("api RUN", False) == "\x1b[0Ksection_start:1700000000:lineal_1\r\x1b[0Kapi RUN"
    assert sections.close() == "\x1b[0Ksection_end:1700000007:lineal_1\r\x1b[0K"
    assert gitlab_sections(sections.open("b", True)) == [("start", "lineal_2", "[collapsed=true]")]
