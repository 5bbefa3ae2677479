"""Instructions as values: flags, mounts, heredocs; and what is refused, with its line."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.dockerfile.instructions import Copy, Run
from lineal.dockerfile.scope import Deferred, finish
from lineal.errors import BadConfiguration
from tests.unit.stages.workbench import Files, planned

FILES: Files = {"a": "a", "b": "b", "dir/c": "c", "with space": "x", "EOF": "x"}


def step(text: str, head: str = "FROM base:1\n", **options: Any) -> Any:
    return planned(f"{head}{text}\n", FILES, **options).step


def run(text: str, **options: Any) -> Run:
    found = step(text, **options)
    assert isinstance(found, Run)
    return found


def copied(text: str, **options: Any) -> Copy:
    found = step(text, **options)
    assert isinstance(found, Copy)
    return found


def refusal(text: str, head: str = "FROM base:1\n") -> str:
    with pytest.raises(BadConfiguration) as refused:
        step(text, head)
    message = str(refused.value)
    assert message.startswith("Dockerfile:2: "), message
    return message


# --- COPY and ADD -----------------------------------------------------------------------------------------------


def test_a_copy_has_sources_a_destination_and_flags() -> None:
    found = copied("COPY --chown=app:7 --chmod=750 a b /d/")
    assert (found.sources, found.destination, found.chown, found.chmod, found.add) == (
        ("a", "b"), "/d/", "app:7", 0o750, False,
    )  # fmt: skip
    assert copied("ADD a /d/").add


@pytest.mark.parametrize("text", ['COPY ["with space", "/d/"]', 'COPY "with space" /d/', "COPY with\\ space /d/"])
def test_names_with_spaces(text: str) -> None:
    assert copied(text).sources == ("with space",)


def test_words_of_a_copy_are_expanded_where_they_stand() -> None:
    found = copied("ARG N=a U=7\nCOPY --chown=$U --chmod=0${U}55 $N $HOME/$N/")
    assert (found.sources, found.chown, found.chmod) == (("a",), "7", 0o755)
    assert isinstance(found.destination, Deferred)
    assert finish(found.destination, {"HOME": "/root"}) == "/root/a/"


def test_a_heredoc_is_a_file_and_is_expanded_unless_its_name_is_quoted() -> None:
    found = copied('ARG X=1\nCOPY <<one <<"two" a <<-three /d/\nis $X "$X" \\$X\none\nis $X\ntwo\n\ttab $X\nthree')
    assert found.sources == ("a",)
    assert [(heredoc.name, heredoc.content) for heredoc in found.heredocs] == [
        ("one", 'is 1 "1" $X\n'), ("two", "is $X\n"), ("three", "tab 1\n"),
    ]  # fmt: skip


def test_a_file_may_be_called_as_a_heredoc_elsewhere() -> None:
    assert copied("COPY EOF /d/").sources == ("EOF",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("COPY a", "at least one source and a destination"),
        ("COPY", "at least one source and a destination"),
        ("COPY --link a /d", "COPY --link is not supported"),
        ("COPY --chwon=1 a /d", "Did you mean --chown?"),
        ("COPY --chown a /d", "--chown needs a value"),
        ("COPY --chown=1 --chown=2 a /d", "given twice"),
        ("COPY --chmod=u+x a /d", "--chmod=u+x is not supported"),
        ("COPY --chmod=77777 a /d", "octal mode"),
        ("COPY --chmod=$M a /d", "uses $M, which the Dockerfile does not define"),
        ("COPY $NOPE /d", "uses $NOPE, which the Dockerfile does not define"),
        ("COPY ${A:-$B} /d", "uses $A, $B, which"),
        ("COPY --from=$X a /d", "does not expand variables"),
        ("COPY --from=later a /d\nFROM x AS later\nFROM base:1\nCOPY --from=0 /a /d", "not a target above"),
        ("COPY --from=3 a /d", "not a target above"),
        ("COPY --from= a /d", "reference"),
        ("COPY --from=UP/../x a /d", "reference"),
        ("COPY nope /d", "there is no such file in the commit"),
        ("COPY [a-] /d", "malformed"),
        ("ADD https://example.com/x /d", "https"),
        ("ADD git@example.com:x /d", "not supported"),
        ("ADD --checksum=sha256:1 a /d", "ADD --checksum is not supported"),
        ("ADD --from=x a /d", "ADD --from is not supported"),
        ("COPY ${a /d", "failed to process"),
        ("COPY <<E /d\nnever ends", "unterminated heredoc"),
        ("COPY [\"a\", 1] /d", "malformed"),
        ("COPY [\"a\", 1]", "Only strings are supported in JSON arrays"),
    ],
)  # fmt: skip
def test_a_copy_that_cannot_be_done_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


def test_a_wildcard_may_match_nothing_as_long_as_the_assembler_says_so() -> None:
    assert copied("COPY *.none a /d/").sources == ("*.none", "a")


# --- RUN --------------------------------------------------------------------------------------------------------


def test_the_forms_of_a_run() -> None:
    assert (run("RUN echo  $A 'x'").words, run("RUN echo x").exec_form) == (("echo  $A 'x'",), False)
    exec_form = run('RUN ["echo", "$A"]')
    assert (exec_form.words, exec_form.exec_form) == (("echo", "$A"), True)
    assert run("RUN --network=none x").network == "none"


def test_a_heredoc_is_the_script_of_the_shell() -> None:
    found = run("RUN <<EOF\none\n  $two\nEOF")
    assert (found.words, found.script) == (("one\n  $two\n",), None)
    assert run("RUN <<-EOF\n\tone\n\tEOF").words == ("one\n",)


def test_a_heredoc_with_a_shebang_is_a_file() -> None:
    found = run("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF")
    assert (found.words, found.script) == (("/dev/pipes/EOF",), ("EOF", "#!/usr/bin/env python3\nprint(1)\n"))


def test_other_heredocs_are_left_to_the_shell() -> None:
    found = run("RUN cat <<A - <<B > /x\none\nA\ntwo\nB")
    assert found.words == ("cat <<A - <<B > /x\none\nA\ntwo\nB",)
    assert found.script is None


def test_every_kind_of_mount() -> None:
    mounts = run(
        "RUN --mount=target=/src --mount=type=bind,from=img:1,src=/x,dst=$W/y,rw --mount=type=cache,target=/c,id=i,"
        "sharing=locked,mode=0700,uid=1,gid=2 --mount=type=tmpfs,destination=/t,size=100 "
        "--mount=type=secret,id=s,required,mode=0444 --mount=type=secret,target=/run/other "
        "--mount=type=secret,id=e,env=TOKEN --mount=type=secret,id=r,target=rel make"
    ).mounts  # fmt: skip
    context, image, cache, tmpfs, secret, named, variable, relative = mounts
    assert (context.type, context.source, context.source_stage, context.writable) == ("bind", "", None, False)
    assert (image.source, image.source_stage, image.writable) == ("/x", "img:1", True)
    assert finish(image.target, {"W": "/w"}) == "/w/y"
    assert (cache.id, cache.sharing, cache.mode, cache.uid, cache.gid) == ("i", "locked", 0o700, 1, 2)
    assert (tmpfs.target, tmpfs.size) == ("/t", 100)
    assert (secret.id, secret.target, secret.required, secret.mode) == ("s", "/run/secrets/s", True, 0o444)
    assert (named.id, named.target) == ("other", "/run/other")
    assert (variable.variable, variable.target) == ("TOKEN", "")
    assert relative.target == "/run/secrets/rel"


def test_a_cache_is_called_by_its_target_unless_named() -> None:
    assert run("RUN --mount=type=cache,target=/root/.cache x").mounts[0].id == "/root/.cache"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN", "needs a command"),
        ("RUN []", "needs a command"),
        ("RUN --mount=type=ssh x", "type=ssh is not supported"),
        ("RUN --mount=type=cache x", "target is missing"),
        ("RUN --mount=type=cache,target=/c,shared=no x", "no option 'shared'"),
        ("RUN --mount=type=cache,target=/c,sharing=some x", "sharing=some"),
        ("RUN --mount=type=cache,target=/c,uid=me x", "--mount="),
        ("RUN --mount=type=cache,target=/c,mode=9 x", "--mount="),
        ("RUN --mount=type=cache,target=/c,ro x", "read-only cache"),
        ("RUN --mount=type=cache,target=/c,from=x x", "no option 'from'"),
        ("RUN --mount=type=secret x", "an id or a target"),
        ("RUN --mount=type=secret,id=a,required=perhaps x", "neither true nor false"),
        ("RUN --mount=type=secret,id=$X x", "uses $X"),
        ("RUN --mount=type=tmpfs,target=/t,size=big x", "--mount="),
        ("RUN --mount=type=bind,target=/t,source=nope x", "no such file"),
        ("RUN --mount=type=bind,target=/t,from=9 x", "not a target above"),
        ("RUN --mount=target x", "needs a value"),
        ("RUN --mount x", "needs a value"),
        ("RUN --network=bridge x", "--network=bridge is not known"),
        ("RUN --security=insecure x", "--security is not supported"),
        ("RUN --netwrok=none x", "Did you mean --network?"),
        ("RUN <<E\nnever ends", "unterminated heredoc"),
        ("RUNN x", "unknown instruction"),
        ("CROSS_BUILD x", "unknown instruction"),
    ],
)
def test_a_run_that_cannot_be_done_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


# --- metadata ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ENV $X=1", "uses $X"),
        ("LABEL $X=1", "uses $X"),
        ("ARG", "ARG needs a name"),
        ("ARG $X", "uses $X"),
        ("ARG A=$X", "The default of ARG A uses $X"),
        ("CMD --x=1 y", "CMD --x is not supported"),
        ("HEALTHCHECK --intervall=1s CMD x", "Did you mean --interval?"),
        ("SHELL []", "needs an argument"),
        ('CMD ["a", 1]', "Only strings"),
    ],
)
def test_metadata_that_cannot_be_applied_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


def test_a_chain_of_open_variables_is_explained_by_the_one_that_is_unknown() -> None:
    with pytest.raises(BadConfiguration, match=r"Dockerfile:3: .*uses \$X, which"):
        step("ENV A=$X\nCOPY $A /d")


def test_the_line_of_a_continued_instruction_is_its_first() -> None:
    with pytest.raises(BadConfiguration, match=r"^Dockerfile:4: "):
        step("\n# comment\nCOPY a \\\n  # comment\n  nope /d/")
