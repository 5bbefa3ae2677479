"""The instructions of a Dockerfile, and the lines that cannot be read as any."""

from __future__ import annotations

from dataclasses import replace

from e2b_dockerfile_utils import DockerfileAst, DockerfileSyntaxError

from lineal.dockerfile.onbuild import parse_file
from lineal.errors import BadConfiguration, Location, Problems
from lineal.text import closest

_MOST_UNREAD = 20
_READS_ANYTHING = "MAINTAINER"
"""Before a line that cannot be read, this makes one instruction of it and of the lines that it goes on in."""
_DEFINES = ("FROM", "ARG", "ENV")
"""What other lines rest on: without one of these they would be called wrong, too."""


def read(text: str, file: str) -> tuple[DockerfileAst, list[BadConfiguration]]:
    """The instructions, and what is wrong with lines that are none: the rest is worth a look all the same.

    Raises `BadConfiguration` where it is not: it is not clear where a line ends, or the rest depends on it."""
    lines = text.split("\n")
    unread: dict[int, BadConfiguration] = {}
    clear = True
    for _ in range(_MOST_UNREAD):
        try:
            ast = parse_file("\n".join(lines))
            break
        except DockerfileSyntaxError as error:
            said, number = str(error).split(": ", 1)[-1], error.line or 0
            place = Location(file, error.line)
            unread.setdefault(number, BadConfiguration(f"{said}.", id="LN-2002", place=place))
            line = lines[number - 1]
            if not number or "heredoc" in said or line.startswith(_READS_ANYTHING):
                raise _all(unread) from None
            clear = clear and closest(line.strip().partition(" ")[0], _DEFINES) is None
            lines[number - 1] = f"{_READS_ANYTHING} {line}"
    else:
        raise _all(unread)
    ast = replace(ast, instructions=[one for one in ast.instructions if one.start_line not in unread])
    if not clear or (unread and all(one.name != "FROM" for one in ast.instructions)):
        raise _all(unread)
    return ast, list(unread.values())


def _all(unread: dict[int, BadConfiguration]) -> BadConfiguration:
    problems = Problems()
    for error in unread.values():
        problems.add(error)
    try:
        problems.end()
    except BadConfiguration as error:
        return error
    raise AssertionError("there is one at least")
