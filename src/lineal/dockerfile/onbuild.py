"""`ONBUILD`: instructions that an image leaves to those built on it, kept as text until then."""

from __future__ import annotations

import re
from functools import lru_cache

from e2b_dockerfile_utils import DockerfileAst, DockerfileInstruction, DockerfileSyntaxError, parse_dockerfile_ast

from lineal.regex import regex

_WORD = regex(r"\s*ONBUILD\s*", re.IGNORECASE)
_WITH_HEREDOC = regex(r"[ \t]*ONBUILD[ \t]+(?=(?:RUN|COPY|ADD)[ \t].*<<)", re.IGNORECASE)


@lru_cache(4)  # many images may be targets of one Dockerfile
def parse_file(text: str) -> DockerfileAst:
    """The instructions of a Dockerfile, for all who ask: nobody changes them. The parser knows no heredoc behind an
    ONBUILD, so it is given the instruction behind the ONBUILD, which is put back afterwards.

    Raises `DockerfileSyntaxError`."""
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text)
    found = ((number, _WITH_HEREDOC.match(line)) for number, line in enumerate(lines, 1))
    ours = {number: match.end() for number, match in found if match is not None}
    while True:
        ast = _parsed("".join(line[ours.get(number, 0) :] for number, line in enumerate(lines, 1)))
        begins = {instruction.start_line for instruction in ast.instructions}
        if ours.keys() <= begins:
            break
        # Such a line may be part of another instruction or of a heredoc.
        ours = {number: end for number, end in ours.items() if number in begins}
    for instruction in ast.instructions:
        if instruction.start_line in ours:
            instruction.name, instruction.original = "ONBUILD", f"ONBUILD {instruction.original}"
            instruction.flags, instruction.args, instruction.json = [], [], False
    return ast


def _parsed(text: str) -> DockerfileAst:
    try:
        return parse_dockerfile_ast(text)
    except RecursionError:
        raise DockerfileSyntaxError("an argument is nested too deeply", 1) from None


def trigger(instruction: DockerfileInstruction) -> str:
    """The instruction behind an ONBUILD, as the config of an image keeps it."""
    text = _WORD.sub("", instruction.original, count=1)
    return text + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)


def instructions(triggers: tuple[str, ...], line: int) -> list[DockerfileInstruction]:
    """The instructions that a `FROM` on this line begins with. Raises `DockerfileSyntaxError`."""
    found = []
    for text in triggers:
        parsed = _parsed(text).instructions
        if len(parsed) != 1:
            raise DockerfileSyntaxError(f"an ONBUILD is one instruction, which {text!r} is not", line)
        parsed[0].start_line = line
        found.append(parsed[0])
    return found


def arguments(triggers: tuple[str, ...]) -> set[str]:
    """The names of the arguments that ARGs among the triggers declare."""
    try:
        found = instructions(triggers, 0)
    except DockerfileSyntaxError:
        return set()  # refused where it is used
    return {argument.partition("=")[0] for one in found if one.name == "ARG" for argument in one.args}
