"""Jinja2 as projects may use it, for `lineal.yaml` and for `values/*.j2`: sandboxed, strict, repeatable.

A template sees only the names given to it: no files, no clock, no chance, and no environment variable that
`lineal-giterminism.yaml` does not name. What it writes must be text: an object whose spelling differs from
run to run (a method without its parentheses) is refused, and so is an expression without a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.config.document import Lines, same
from lineal.config.grants import Grants, variable_wish
from lineal.config.sandbox import MAX_OUTPUT, NONE_DEFERRED, Deferred, Refusal, environment
from lineal.errors import BadConfiguration, LinealError, Location
from lineal.regex import regex
from lineal.text import printable, quoted
from lineal.value import dataclass

if TYPE_CHECKING:
    import jinja2

    from lineal.config.giterminism import Giterminism

SECONDS, MEMORY = 10, 512 << 20
"""What a template may take."""
_SYNTAX = ("{{", "{%", "{#")
_MARK = regex("\x00([0-9]+)\x00")


@dataclass(frozen=True, slots=True)
class GitFacts:
    """The facts of a commit that a template knows: full and short id, and its branch or tag if it has one.

    `_merged`, which templates do not see: it is what the merge of a pull request would be, which no branch has."""

    commit: str
    short: str
    branch: str | None = None
    tag: str | None = None
    default_branch: str | None = None
    _merged: bool = False

    @property
    def is_default_branch(self) -> bool:
        """Whether this is the commit of a branch, and that branch the repository's default one, as far as known."""
        return not self._merged and self.branch is not None and self.branch == self.default_branch


def names(
    *,
    git: GitFacts,
    env: str | None,
    vars: Mapping[str, str],
    environ: Mapping[str, str],
    giterminism: Giterminism,
    grants: Grants | None = None,
) -> dict[str, object]:
    """The names that every template may use: `git`, `env` (if given), `vars` and `env_var("NAME", "default")`.

    `grants` limits what the commit reads of `environ`."""
    limits = grants or Grants(environ, Path())

    def env_var(name: str, default: str | None = None) -> str:
        if name not in giterminism.config.environment:
            raise BadConfiguration(
                f"The environment variable {quoted(name)} may not be used in templates.",
                id="LN-1010",
                remedy="Add it to `config.environment` in lineal-giterminism.yaml, or use `vars` and `--var`.",
            )
        value = vars.get(name)
        if value is None:
            value = limits.variable(variable_wish(name), name, default)
        if value is None:
            remedy = f'Set it, or write a default: env_var("{printable(name)}", "…").'
            raise BadConfiguration(
                f"The environment variable {quoted(name)} is not set.", id="LN-1010", remedy=remedy
            )
        return value

    known: dict[str, object] = {"git": git, "vars": vars, "env_var": env_var}
    return known if env is None else {**known, "env": env}


def render(text: str, *, file: str, names: Mapping[str, object], deferred: Deferred = NONE_DEFERRED) -> str:
    """The template's output. Raises `BadConfiguration` with `file` and its line.

    A name in `deferred` that is not in `names` may be printed, and only that: it writes the mark given for it."""
    if not any(syntax in text for syntax in _SYNTAX):
        return text
    return _Template(text, file, names, deferred).output()


def source_lines(
    text: str, rendered: str, *, file: str, names: Mapping[str, object], deferred: Deferred = NONE_DEFERRED
) -> Lines:
    """From the lines of `rendered` back to those of the template; works out nothing until it is asked.

    The template is rendered once more with marks in its text. When the marks changed the output (a filter counted
    them), the answer is None rather than a guess."""
    if not any(syntax in text for syntax in _SYNTAX):
        return same
    found: list[list[int]] = []

    def line(number: int) -> int | None:
        if not found:
            found.append(_Template(text, file, names, deferred).lines(rendered))
        return found[0][number - 1] if 0 < number <= len(found[0]) else None

    return line


class _Template:
    def __init__(self, text: str, file: str, names: Mapping[str, object], deferred: Deferred) -> None:
        self.text = text
        self.file = file
        self.names = {name: value for name, value in names.items() if value is not None}
        self.env = environment(self.names, deferred)

    def output(self, change: Callable[[Any], None] | None = None) -> str:
        """In a child process: a few words of a template can keep a processor busy for years, or fill any memory."""
        from lineal.config import confined

        here = {name: value for name, value in self.names.items() if callable(value)}

        def work(ask: confined.Ask) -> str:
            # What asks the user or tells him something does so here, once.
            self.names |= {name: partial(ask, name) for name in here}
            return self._output(change)

        def ask(name: str, *args: Any, **options: Any) -> Any:
            return here[name](*args, **options)

        try:
            return confined.answer(work, ask, seconds=SECONDS, memory=MEMORY)
        except confined.Exceeded:
            message = f"The Jinja2 template takes more than {SECONDS} s, or more than {MEMORY >> 20} MiB of memory."
            raise BadConfiguration(
                message, id="LN-1009", place=Location(self.file), remedy="Make its loops and texts smaller."
            ) from None

    def _output(self, change: Callable[[Any], None] | None) -> str:
        import jinja2

        try:
            tree = self.env.parse(self.text, filename=self.file)
            self.refuse_includes(tree)
            if change is not None:
                change(tree)
            code = self.env.compile(tree, filename=self.file)
            template = jinja2.Template.from_code(self.env, code, self.env.make_globals(None))
            return self.collect(template)
        except LinealError as error:
            if error.place is None:
                error.place = Location(self.file, _line(error, self.file))
            raise
        except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
            raise self.explain(error) from None

    def collect(self, template: jinja2.Template) -> str:
        pieces: list[str] = []
        size = 0
        for piece in template.generate(**self.names):
            size += len(piece)
            if size > MAX_OUTPUT:
                message = f"The template writes more than {MAX_OUTPUT // 1024 // 1024} MiB."
                raise BadConfiguration(
                    message, id="LN-1009", place=Location(self.file), remedy="Make its loops smaller."
                )
            pieces.append(piece)
        return "".join(pieces)

    def refuse_includes(self, tree: Any) -> None:
        from jinja2 import nodes

        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            kind = {"FromImport": "from … import"}.get(type(node).__name__, type(node).__name__.lower())
            message = f"A template cannot read other files, so `{kind}` is not available."
            place = Location(self.file, node.lineno)
            raise BadConfiguration(message, id="LN-1008", place=place, remedy="Write the text here, or use a macro.")

    def explain(self, error: Exception) -> BadConfiguration:
        import jinja2

        line = _line(error, self.file)
        if isinstance(error, jinja2.TemplateSyntaxError):
            what = printable(error.message or "it cannot be read", 300).rstrip(".")
            message = f"The Jinja2 template is wrong: {what}."
            remedy = "Correct it; to write `{{` or `{%` as text, use `{% raw %}`."
            return BadConfiguration(message, id="LN-1008", place=Location(self.file, error.lineno), remedy=remedy)
        refusal = error.args[0] if error.args else None
        if isinstance(refusal, Refusal):
            return BadConfiguration(
                str(refusal), id="LN-1008", place=Location(self.file, line), remedy=refusal.remedy
            )
        if isinstance(error, RecursionError | MemoryError | SyntaxError):
            message = "The Jinja2 template is nested too deeply or needs too much memory."
            return BadConfiguration(message, id="LN-1009", place=Location(self.file, line), remedy="Make it simpler.")
        what = printable(f"{type(error).__name__}: {error}", 300).rstrip(".")
        message = f"The Jinja2 template failed ({what})."
        return BadConfiguration(
            message, id="LN-1008", place=Location(self.file, line), remedy="Correct the expression there."
        )

    def lines(self, rendered: str) -> list[int]:
        """The template's line of each line of `rendered`; empty when that cannot be told."""
        try:
            marked = self.output(_mark)
        except BadConfiguration:
            return []
        if _MARK.sub("", marked) != rendered:
            return []
        answers = []
        last = 1
        for text in marked.split("\n"):
            start = re.match(r"(?:\x00[0-9]+\x00)*", text)
            marks = _MARK.findall(start.group()) if start else []
            answers.append(int(marks[-1]) if marks else last)
            last = int((_MARK.findall(text) or [last])[-1])
        return answers


def _line(error: BaseException, file: str) -> int | None:
    """The template's line in a traceback: Jinja2 writes frames of the template with its file name."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _mark(tree: Any) -> None:
    """Write its line before every piece of text, every line of text and every expression of the template."""
    from jinja2 import nodes

    for output in tree.find_all(nodes.Output):
        marked: list[Any] = []
        for node in output.nodes:
            marked.append(nodes.TemplateData(f"\x00{node.lineno}\x00", lineno=node.lineno))
            if isinstance(node, nodes.TemplateData):
                lines = node.data.split("\n")
                node.data = lines[0] + "".join(
                    f"\n\x00{node.lineno + count}\x00{line}" for count, line in enumerate(lines[1:], 1)
                )
            marked.append(node)
        output.nodes = marked
        output.set_environment(tree.environment)
