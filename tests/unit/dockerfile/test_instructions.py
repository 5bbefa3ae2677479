"""Instructions as values: flags, mounts, heredocs; and what is refused, with its line."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.context.chmod import Chmod
from lineal.context.remote_source import GitSource, HttpSource
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.scope import Deferred, finish
from lineal.errors import BadConfiguration
from tests.unit.stages.workbench import Files, planned

FILES: Files = {"a": "a", "b": "b", "dir/c": "c", "with space": "x", "EOF": "x"}


def step(text: str, head: str = "FROM base:1\n", **options: Any) -> Any:
    return planned(f"{head}{text}\n", FILES, **options).step


def run(text: str, **options: Any) -> RunInstruction:
    found = step(text, **options)
    assert isinstance(found, RunInstruction)
    return found


def copied(text: str, **options: Any) -> CopyInstruction:
    found = step(text, **options)
    assert isinstance(found, CopyInstruction)
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
        ("a", "b"), "/d/", "app:7", Chmod("750"), False,
    )  # fmt: skip
    assert copied("ADD a /d/").add


@pytest.mark.parametrize("text", ['COPY ["with space", "/d/"]', 'COPY "with space" /d/', "COPY with\\ space /d/"])
def test_names_with_spaces(text: str) -> None:
    assert copied(text).sources == ("with space",)


def test_words_of_a_copy_are_expanded_where_they_stand() -> None:
    found = copied("ARG N=a U=7\nCOPY --chown=$U --chmod=0${U}55 $N $HOME/$N/")
    assert (found.sources, found.chown, found.chmod) == (("a",), "7", Chmod("0755"))
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
        ("COPY --link=perhaps a /d", "--link is true or false"),
        ("COPY --link --chown=app a /d", "knows no names"),
        ("COPY --link --chown=$X a /d", "only the base image defines"),
        ("COPY --parents=true . /d", "names nothing below"),
        ("COPY --parents dir/nope /d", "'dir/nope': there is no such file"),
        ("COPY --exclude=[a . /d", "Invalid ignore pattern"),
        ("COPY https://example.com/a /d", "Use ADD for it"),
        ("COPY --chwon=1 a /d", "Did you mean --chown?"),
        ("COPY --chown a /d", "--chown needs a value"),
        ("COPY --chown=1 --chown=2 a /d", "given twice"),
        ("COPY --chmod=u+y a /d", "--chmod=u+y is neither an octal mode"),
        ("COPY --chmod=77777 a /d", "--chmod=77777 is neither an octal mode"),
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
        ("ADD https://example.com/x /d", "has no checksum, so it may bring something else tomorrow"),
        ("ADD https://example.com/x.git#main /d", "'main' is no full commit id"),
        ("ADD https://example.com/x.git /d", "no commit is named"),
        ("ADD git@example.com:x /d", "is reached with ssh"),
        ("ADD https://me:pass@example.com/x /d", "has a user name or password in it"),
        ("ADD --checksum=sha256:1 https://example.com/x /d", "is not `sha256:` and 64 hexadecimal digits"),
        ("ADD --checksum=sha256:1 a /d", "for exactly one source, a URL or a git repository"),
        ("ADD --checksum=$X https://example.com/x /d", "--checksum uses $X"),
        ("ADD --from=x a /d", "ADD --from is not supported"),
        ("COPY ${a /d", "failed to process"),
        ("COPY <<E /d\nnever ends", "unterminated heredoc"),
        ("COPY [\"a\", 1] /d", "malformed"),
        ("COPY [\"a\", 1]", "Only strings are supported in JSON arrays"),
    ],
)  # fmt: skip
def test_a_copy_that_cannot_be_done_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


def test_flags_that_stand_alone_are_true() -> None:
    found = copied("COPY --link --parents --exclude=*.md --exclude=!a dir /d/")
    assert (found.link, found.parents, found.exclude, found.places()) == (True, True, ("*.md", "!a"), ("dir",))
    assert not copied("COPY --link=false a /d/").link
    assert not copied("COPY --link --chmod=600 a /d/").link, "as in BuildKit"


def test_flags_count_for_the_checksum_and_those_switched_off_do_not() -> None:
    plain = planned("FROM base:1\nCOPY dir /d/\n", FILES).checksum
    same = planned("FROM base:1\nCOPY --link=false --parents=False dir /d/\n", FILES).checksum
    others = [
        planned(f"FROM base:1\n{text}\n", FILES).checksum
        for text in ("COPY --link dir /d/", "COPY --parents dir /d/", "COPY --exclude=x dir /d/", "ADD dir /d/",
                     "ADD --unpack=false dir /d/", "COPY --chmod=u+x dir /d/")
    ]  # fmt: skip
    assert same == plain
    assert len({plain, *others}) == len(others) + 1


def test_what_is_excluded_does_not_count() -> None:
    def of(content: str, flags: str) -> str:
        files = {**FILES, "dir/out.md": content}
        return planned(f"FROM base:1\nCOPY {flags} dir /d/\n", files).checksum

    assert of("1", "--exclude=*.md") == of("2", "--exclude=*.md")
    assert of("1", "--exclude=out") != of("2", "--exclude=out")
    assert of("1", "--parents --exclude=**/*.md") == of("2", "--parents --exclude=**/*.md")


def test_remote_sources() -> None:
    digest = "sha256:" + "1" * 64
    assert copied(f"ARG D={digest}\nADD --checksum=$D https://example.com/v1/x%20y.tgz?z /d/").remotes == (
        ("https://example.com/v1/x%20y.tgz?z", HttpSource("https://example.com/v1/x%20y.tgz?z", "x y.tgz", digest)),
    )
    commit = "a" * 40
    ((_, found),) = copied(f"ADD --keep-git-dir https://example.com/r.git#{commit}:sub /d/").remotes
    assert found == GitSource("https://example.com/r.git", commit, commit, "sub", keep_git=True)


def test_a_remote_source_may_be_loose_where_the_project_says_so() -> None:
    text = "https://example.com/latest"
    assert copied(f"ADD {text} /d/", unpinned=lambda source: source == text).remotes[0][1].pinned is False


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
        "--mount=type=secret,id=e,env=TOKEN --mount=type=secret,source=a/r,target=rel --mount=type=ssh "
        "--mount=type=ssh,id=k,target=/s,mode=0660,uid=3,required=true make"
    ).mounts  # fmt: skip
    context, image, cache, tmpfs, secret, named, variable, relative, ssh, key = mounts
    assert (context.type, context.source, context.source_stage, context.writable) == ("bind", "", None, False)
    assert (image.source, image.source_stage, image.writable) == ("/x", "img:1", True)
    assert finish(image.target, {"W": "/w"}) == "/w/y"
    assert (cache.id, cache.sharing, cache.mode, cache.uid, cache.gid) == ("i", "locked", 0o700, 1, 2)
    assert (tmpfs.target, tmpfs.size) == ("/t", 100)
    assert (secret.id, secret.target, secret.required, secret.mode) == ("s", "/run/secrets/s", True, 0o444)
    assert (named.id, named.target) == ("other", "/run/other")
    assert (variable.variable, variable.target) == ("TOKEN", "")
    assert (relative.id, relative.target) == ("a/r", "rel")
    assert (ssh.id, ssh.target, ssh.mode, ssh.required) == ("default", "", None, False)
    assert (key.id, key.target, key.mode, key.uid, key.required) == ("k", "/s", 0o660, 3, True)


def test_the_number_after_the_last_user_leaves_a_mount_to_root() -> None:
    """As in BuildKit: chown(2) takes it as "leave it as it is"."""
    numbers = [4294967294, 4294967295]
    mounts = [run(f"RUN --mount=type=cache,target=/c,uid={number},gid={number} x").mounts[0] for number in numbers]
    assert [(mount.uid, mount.gid) for mount in mounts] == [(4294967294, 4294967294), (0, 0)]


def test_a_cache_is_called_by_its_target_unless_named() -> None:
    assert run("RUN --mount=type=cache,target=/root/.cache/ x").mounts[0].id == "/root/.cache"
    assert run("RUN --mount=type=cache,target=$HOME/.cache x").mounts[0].id == ""


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("type=CACHE,target=/c", {"type": "cache"}),
        ("target=/c,type=cache,ro", {"readonly": True}),
        ("type=cache,target=/c,ro,rw=true", {"readonly": False}),
        ("type=cache,target=/c,rw=F", {"readonly": True}),
        ("target=/c,ro=false", {"writable": True}),
        ("target=/c,rw,readonly", {"writable": False}),
        ("target=/c,from=", {"source_stage": None}),
        ("type=tmpfs,target=/c,size=1.5k", {"size": 1536}),
        ("type=tmpfs,target=/c,size=64MB", {"size": 64 << 20}),
        ("type=tmpfs,target=/c,size=1GiB,readonly=1", {"size": 1 << 30, "readonly": True}),
        ("type=secret,id=a/b", {"target": "/run/secrets/b"}),
        ("type=secret,target=/x/y", {"id": "y"}),
        ("type=secret,id=s,env=T,target=/t", {"variable": "T", "target": "/t"}),
        ("type=$T,id=$I,sharing=${S},uid=$U,target=/c", {"type": "cache", "id": "i", "sharing": "locked", "uid": 7}),
        ('"type=cache","target=/a,b"', {"target": "/a,b"}),
        ("type=cache,target=/c,mode=1777", {"mode": 0o777}),
        ("type=cache,target=/c,from=img:1,source=/s", {"source_stage": "img:1", "source": "/s"}),
        ("type=cache,target=/c,from=img:1,source=/./", {"source_stage": "img:1", "source": ""}),
        ("type=cache,target=/c,from=img:1,uid=5", {"source_stage": None, "uid": 5}),
        ("type=cache,target=/c,from=img:1,source=s,uid=5", {"source_stage": "img:1"}),
    ],
)
def test_options_of_a_mount_are_read_as_buildkit_reads_them(options: str, fields: dict[str, Any]) -> None:
    (mount,) = run(
        f"ARG T=cache I=i S=locked U=7\nRUN --mount={options.replace(chr(34), chr(92) + chr(34))} x"
    ).mounts
    assert {name: getattr(mount, name) for name in fields} == fields


def test_a_mount_s_source_is_a_path_and_no_pattern() -> None:
    files: Files = {"app/[id]/page": "x", "app/i/page": "y"}
    last = planned("FROM b:1\nRUN --mount=source=app/[id],target=/s x\n", files)
    assert [root for root, _ in last.inputs["mounted"]["0"]] == ["app/[id]"]


@pytest.mark.parametrize("flag", ["--security=sandbox", "--network=default"])
def test_what_is_so_anyway_changes_nothing(flag: str) -> None:
    assert planned(f"FROM b:1\nRUN {flag} x\n").checksum == planned("FROM b:1\nRUN x\n").checksum


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN", "needs a command"),
        ("RUN []", "needs a command"),
        ("RUN --mount=type=npipe,target=/n x", "type=npipe is not known, only bind, cache, secret, ssh, tmpfs"),
        ("RUN --mount=type=ssh,source=a x", "no option 'source'"),
        ("RUN --mount=target=/x/.. x", "its target is the root directory"),
        ("RUN --mount=type=cache,target=/c,source=s x", "needs from="),
        ("RUN --mount=target=/c,from=$X x", "from does not expand variables"),
        ("RUN --mount=target=/c,from=0 x", "cannot name a target by its number"),
        ("RUN --mount=target=/c,source=a* x", "wildcards mean themselves"),
        ("RUN --mount=type=secret,id=a,source=b x", "which mean the same"),
        ("RUN --mount=type=secret,id=a,env= x", "env needs the name"),
        ("RUN --mount=type=cache,target=/c,mode=0o755 x", "octal mode"),
        ("RUN --mount=type=cache,target=/c,uid=4294967296 x", "uid=4294967296: the last number"),
        ("RUN --mount=type=cache,target=/c,rw=yes x", "neither true nor false"),
        ("RUN --device=gpu x", "--device is not supported"),
        ("RUN --security=strange x", "--security=strange is not known"),
        ("RUN --mount=type=cache,target=/c,shared=no x", "no option 'shared'"),
        ("RUN --mount=type=cache,target=/c,sharing=some x", "sharing=some"),
        ("RUN --mount=type=cache,target=/c,uid=me x", "--mount="),
        ("RUN --mount=type=cache,target=/c,mode=9 x", "--mount="),
        ("RUN --mount=type=secret x", "an id or a target"),
        ("RUN --mount=type=secret,id=a,required=perhaps x", "neither true nor false"),
        ("RUN --mount=type=secret,id=$X x", "uses $X"),
        ("RUN --mount=type=tmpfs,target=/t,size=big x", "--mount="),
        ("RUN --mount=type=bind,target=/t,source=nope x", "no such file"),
        ("RUN --mount=type=bind,target=/t,from=9 x", "not a target above"),
        ("RUN --mount=target x", "needs a value"),
        ("RUN --mount x", "needs a value"),
        ("RUN --network=bridge x", "--network=bridge is not known"),
        ("RUN --security=insecure x", "needs a privileged container, and Lineal starts none"),
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
