"""Charts from elsewhere: only a whole version or a digest says which, and an archive is believed nothing."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from lineal.deploy.helm.chart_fetch import Pinned, unpacked
from lineal.deploy.release import Chart
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Unreachable

CHART_YAML = ("c/Chart.yaml", b"apiVersion: v2\nname: c\nversion: 0.1.0\n")
DIGEST = "@sha256:" + "a" * 64
WHOLE = ["1.2.3", "v1.2.3", "0.0.1-rc.1", "1.2.3-rc.1+linux.1"]
# With each of these, helm takes the newest that fits.
RANGES = ["1", "v1", "1.2", "1.x", "1.2.x", "x", "X", "1.2.X", "latest", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3_4"]


@pytest.mark.parametrize("version", WHOLE)
def test_a_whole_version_says_which_chart(version: str) -> None:
    assert Pinned.parse(f"https://h/charts/shop:{version}").version == version
    assert Pinned.parse(f"https://h/charts/shop-{version}.tgz").file == f"shop-{version}.tgz"
    assert Chart.registry(f"oci://h/charts/shop:{version.replace('+', '_')}")


@pytest.mark.parametrize("version", RANGES)
def test_a_range_of_versions_is_refused(version: str) -> None:
    wrong = [f"https://h/charts/shop:{version}"]
    if version != "1.2.3_4":  # in a tag, that is how `+` is written
        wrong.append(f"oci://h/charts/shop:{version}")
    for written in wrong:
        with pytest.raises(BadConfiguration, match=r"has no whole version: .* may be another one tomorrow\. Write"):
            Pinned.parse(written) if written.startswith("https") else Chart.registry(written)


def test_with_a_digest_the_tag_may_be_anything() -> None:
    assert Chart.registry(f"oci://h/charts/shop:latest{DIGEST}")


# --- archives -------------------------------------------------------------------------------------------------------


def fetched(folder: Path, *files: tuple[str, bytes]) -> Chart:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (CHART_YAML, *files):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (folder / "fetched.tgz").write_bytes(made.getvalue())
    return Chart(str(folder / "fetched.tgz"), "oci://h/c:1.0.0")


def test_the_files_of_an_archive(tmp_path: Path) -> None:
    chart = unpacked(fetched(tmp_path, ("c/./a/b.yaml", b"1")), tmp_path / "out")
    assert chart == Chart.directory(tmp_path / "out", "oci://h/c:1.0.0")
    assert (tmp_path / "out/a/b.yaml").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([("c/a", b"1"), ("c/a/b", b"2")], "`a` is a file and a directory in it"),
        ([("c/a/b/c", b"1"), ("c/a", b"2")], "`a` is a file and a directory in it"),
        ([("c/" + "a" * 300, b"1")], "with too long a name, `c/aaa"),
        ([("c/" + "ä" * 200, b"1")], "with too long a name"),
        ([("c/" + "a/" * 3000 + "b", b"1")], "with too long a name"),
    ],
)
def test_names_that_no_disk_takes_are_refused(tmp_path: Path, files: list[tuple[str, bytes]], says: str) -> None:
    with pytest.raises(DeployFailed, match=says) as raised:
        unpacked(fetched(tmp_path, *files), tmp_path / "out")
    assert str(raised.value).startswith("The chart oci://h/c:1.0.0 is no Helm chart: ")
    assert not (tmp_path / "out").exists()


def test_what_a_disk_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(
        Unreachable, match=r"c:1\.0\.0 cannot be unpacked in .*: (File exists|Not a directory)\."
    ) as raised:
        unpacked(fetched(tmp_path), tmp_path / "out")
    error: LinealError = raised.value
    assert error.exit_code == 5
