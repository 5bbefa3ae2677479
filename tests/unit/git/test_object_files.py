"""Objects as dulwich reads them beside what git says of the same repository."""

from __future__ import annotations

import hashlib
import random
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.git.command import common_dir
from lineal.git.object_files import ObjectFiles
from lineal.git.repository import Repository
from tests import servers
from tests.unit.git.modules import opened

TEXT = "".join(f"line {number}\n" for number in range(400))


def written(path: Path, *options: str) -> servers.Repository:
    """A repository whose files change a little with every commit, so that git keeps them as deltas."""
    repo = servers.Repository.create(path, *options)
    for number in range(6):
        repo.write({f"d{number}/a": f"{number}", "text": TEXT + f"{number}\n" * number, "link/é": "x"})
    repo.git("tag", "-a", "-m", "a tag", "v1")
    return repo


def loose(path: Path) -> servers.Repository:
    return written(path)


def packed(path: Path) -> servers.Repository:
    repo = written(path)
    repo.git("repack", "-adfq", "--depth=50")
    return repo


def packed_with_bases_by_name(path: Path) -> servers.Repository:
    repo = written(path)
    repo.git("-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq")
    return repo


def many_packs_and_an_index_of_all(path: Path) -> servers.Repository:
    repo = servers.Repository.create(path)
    for number in range(5):
        repo.write({f"f{number}": TEXT * number})
        repo.git("repack", "-dq")
    repo.git("multi-pack-index", "write")
    repo.write({"last": "loose"})
    return repo


def borrowed(path: Path) -> servers.Repository:
    origin, middle = packed(path / "origin"), path / "middle"
    origin.git("clone", "--quiet", "--shared", str(origin.path), str(middle))
    servers.Repository(middle).write({"more": "1"})
    origin.git("clone", "--quiet", "--shared", str(middle), str(path / "last"))
    return servers.Repository(path / "last")


def borrowed_from_beside(path: Path) -> servers.Repository:
    origin = packed(path / "origin")
    origin.git("clone", "--quiet", "--shared", str(origin.path), str(path / "clone"))
    (path / "clone/.git/objects/info/alternates").write_text("# beside\n\n../../../origin/.git/objects\n")
    return servers.Repository(path / "clone")


def borrowed_from_a_quoted_place(path: Path) -> servers.Repository:
    origin = packed(path / 'quo"ted')
    origin.git("clone", "--quiet", "--shared", str(origin.path), str(path / "clone"))
    place = f'"{path}/quo\\"ted/.git/objects"\n'
    (path / "clone/.git/objects/info/alternates").write_text(place)
    return servers.Repository(path / "clone")


def shallow(path: Path) -> servers.Repository:
    return packed(path / "origin").clone(path / "clone", "--depth=2")


def partial(path: Path) -> servers.Repository:
    origin = packed(path / "origin")
    origin.git("config", "uploadpack.allowFilter", "true")
    return origin.clone(path / "clone", "--filter=blob:none")


def worktree(path: Path) -> servers.Repository:
    repo = packed(path / "main")
    repo.git("worktree", "add", "--quiet", "--detach", str(path / "linked"))
    return servers.Repository(path / "linked")


def with_long_ids(path: Path) -> servers.Repository:
    repo = written(path, "--object-format=sha256")
    repo.git("repack", "-adfq")
    repo.write({"more": "loose"})
    return repo


def with_an_old_index(path: Path) -> servers.Repository:
    repo = written(path)
    repo.git("-c", "pack.indexVersion=1", "repack", "-adfq")
    return repo


KINDS: list[Callable[[Path], servers.Repository]] = [
    loose, packed, packed_with_bases_by_name, many_packs_and_an_index_of_all, borrowed, borrowed_from_beside, shallow,
    partial, worktree, borrowed_from_a_quoted_place, with_long_ids, with_an_old_index,
]  # fmt: skip


def everything(repo: servers.Repository) -> dict[str, bytes]:
    """The content of every object as git reads it; of a partial clone, of those that are here."""
    out = repo_bytes(repo, "cat-file", "--batch-all-objects", "--batch")
    found = {}
    while out:
        header, _, out = out.partition(b"\n")
        oid, _, size = header.split()
        found[oid.decode()], out = out[: int(size)], out[int(size) + 1 :]
    return found


def repo_bytes(repo: servers.Repository, *args: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", *args], cwd=repo.path, env=repo.environment(), input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of(repository: Repository) -> ObjectFiles:
    """dulwich alone."""
    return ObjectFiles([common_dir(repository.git_dir) / "objects"], repository.object_format)


def read_alone(files: ObjectFiles, wanted: Iterable[str]) -> dict[str, bytes]:
    """The objects that dulwich reads."""
    found = {oid: content for oid in wanted if (content := files.read(oid)) is not None}
    files.close()
    return found


@contextmanager
def reading(repo: servers.Repository) -> Iterator[Repository]:
    repository = opened(repo)
    yield repository
    repository.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_object_is_what_git_says(tmp_path: Path, kind: Callable[[Path], servers.Repository]) -> None:
    repo = kind(tmp_path / "made")
    wanted = everything(repo)
    with reading(repo) as repository:
        assert {oid: repository.object(oid) for oid in wanted} == wanted
        alone = read_alone(files_of(repository), wanted)
        assert alone.items() < wanted.items() if kind is borrowed_from_a_quoted_place else alone == wanted


def test_of_many_packs_the_largest_are_kept_open(tmp_path: Path) -> None:
    repo = many_packs_and_an_index_of_all(tmp_path / "made")
    wanted = everything(repo)
    alone = read_alone(ObjectFiles([repo.path / ".git/objects"], "sha1", most_packs=2), wanted)
    assert alone.items() < wanted.items()
    assert repo.git("rev-parse", "HEAD:f4") in alone


@pytest.mark.parametrize("kind", [loose, packed], ids=lambda kind: kind.__name__)
def test_several_threads_read_at_once(tmp_path: Path, kind: Callable[[Path], servers.Repository]) -> None:
    repo = kind(tmp_path / "made")
    wanted = everything(repo)
    with reading(repo) as repository, ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert dict(zip(wanted, pool.map(repository.object, wanted), strict=True)) == wanted


def test_what_is_packed_anew_meanwhile_is_read(tmp_path: Path) -> None:
    """As `git gc` in the background does it."""
    repo = packed(tmp_path / "made")
    with reading(repo) as repository:
        first, *others = everything(repo)
        repository.object(first)
        repo.write({"new": "1"})
        repo.git("repack", "-adfq")
        wanted = everything(repo)
        assert len(wanted) > len(others) + 1
        assert {oid: repository.object(oid) for oid in wanted} == wanted


# --- large objects --------------------------------------------------------------------------------------------------


def test_a_large_blob_is_streamed_by_git(repo: servers.Repository) -> None:
    content = b"\0" * (17 << 20)
    repo.write({"a": content})
    with reading(repo) as repository:
        oid = repository.oid("a")
        assert files_of(repository).read(oid) is None
        assert b"".join(repository.stream(oid)) == content
        assert max(map(len, repository.stream(oid))) <= 1 << 20


@pytest.mark.parametrize("kind", ["loose", "packed", "without a delta"])
def test_nothing_above_the_limit_is_held_in_memory(repo: servers.Repository, kind: str) -> None:
    """Not the object, not a delta, and not the object that a delta changes."""
    content = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(4000))
    repo.write({"a": content, "b": content[: 60 << 10], "c": content[:1000]})
    repo.write({"a": content + b"more"})
    if kind != "loose":
        repo.git("repack", "-adfq", f"--window={0 if kind == 'without a delta' else 10}")
    with reading(repo) as repository:
        files = ObjectFiles([repo.path / ".git/objects"], "sha1", largest=64 << 10)
        large = [repo.git("rev-parse", rev) for rev in ("HEAD:a", "HEAD~:a")]
        assert [files.read(oid) for oid in large] == [None, None]
        assert [repository.object(oid) for oid in large] == [content + b"more", content]
        assert files.read(repository.oid("c")) == content[:1000]
        files.close()


def test_the_pages_of_a_large_pack_are_given_back(repo: servers.Repository) -> None:
    """The memory of a container counts what is mapped: a checkout of a gigabyte would take one."""
    names = [f"file{number}" for number in range(10)]
    repo.write({name: random.Random(name).randbytes(8 << 20) for name in names})
    repo.git("repack", "-adfq")
    with reading(repo) as repository:
        files = files_of(repository)
        for name in names:
            assert files.read(repository.oid(name)) is not None
        assert 0 < mapped(".pack") <= 48 << 20
        files.close()


def mapped(end: str) -> int:
    """Bytes of files with this end of their name that this process has in its memory."""
    found, size = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            found = line.endswith(end)
        elif found and name == "Rss:":
            size += int(rest.split()[0]) << 10
    return size


def test_a_delta_that_makes_a_large_object_is_left_to_git(tmp_path: Path) -> None:
    """A few bytes that copy the same megabyte over and over; `git repack` never makes such a delta, others may."""
    repo = servers.Repository.create(tmp_path / "made")
    base = hashlib.sha256(b"x").digest() * (1 << 10)
    copy = b"\xb0" + (len(base)).to_bytes(2, "little")
    size = 100 * len(base)
    delta = _varint(len(base)) + _varint(size) + copy * 100
    content = base * 100
    oid = hashlib.sha1(b"blob %d\0" % size + content).hexdigest()
    base_id = hashlib.sha1(b"blob %d\0" % len(base) + base)
    pack = b"PACK" + (2).to_bytes(4, "big") + (2).to_bytes(4, "big")
    pack += _header(3, len(base)) + zlib.compress(base)
    pack += _header(7, len(delta)) + base_id.digest() + zlib.compress(delta)
    repo_bytes(repo, "index-pack", "--stdin", given=pack + hashlib.sha1(pack).digest())
    repo.write({"a": "1"})
    with reading(repo) as repository:
        files = ObjectFiles([repo.path / ".git/objects"], "sha1", largest=64 << 10)
        assert files.read(base_id.hexdigest()) == base
        assert files.read(oid) is None
        assert repository.object(oid) == content
        files.close()


def _varint(number: int) -> bytes:
    found = []
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _header(kind: int, size: int) -> bytes:
    first, rest = kind << 4 | size & 15, size >> 4
    return bytes([first | 0x80]) + _varint(rest) if rest else bytes([first])


# --- damaged files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[servers.Repository, dict[str, bytes]]:
    repo = packed(tmp_path_factory.mktemp("damaged") / "made")
    repo.write({"more": TEXT})
    return repo, everything(repo)


@given(data=st.data())
def test_damaged_files_are_never_another_content(
    damaged: tuple[servers.Repository, dict[str, bytes]], data: st.DataObject
) -> None:
    """A byte of a pack, an index or a loose object is another one, or its end is missing."""
    repo, wanted = damaged
    places = sorted(path for path in (repo.path / ".git/objects").rglob("*") if path.is_file())
    place = data.draw(st.sampled_from(places))
    before = place.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    place.chmod(0o600)
    place.write_bytes(
        data.draw(st.sampled_from([before[:at], before[:at] + bytes([before[at] ^ 255]) + before[at + 1 :]]))
    )
    try:
        files = ObjectFiles([repo.path / ".git/objects"], "sha1")
        for oid, content in wanted.items():
            assert files.read(oid) in (None, content)
        files.close()
    finally:
        place.write_bytes(before)


@pytest.mark.parametrize("oid", ["", "HEAD", "f" * 40, "g" * 40, "f" * 64, "../../etc/passwd", "HEAD:a"])
def test_an_id_that_is_none_is_not_read(tmp_path: Path, oid: str) -> None:
    repo = written(tmp_path / "made")
    with reading(repo) as repository:
        assert files_of(repository).read(oid) is None


def test_objects_that_stand_for_others_do_not(tmp_path: Path) -> None:
    """`git replace` is for people who look at history; what is built is what the commit names."""
    repo = written(tmp_path / "made")
    oid, other = repo.git("rev-parse", "HEAD:text"), repo.git("rev-parse", "HEAD:d0/a")
    repo.git("replace", oid, other)
    with reading(repo) as repository:
        assert repository.object(oid).startswith(b"line 0")
