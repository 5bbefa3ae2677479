"""A folder of a listing is found as by a walk over all of it."""

from hypothesis import given
from hypothesis import strategies as st

from lineal.context.listing import Listing

PATHS = st.lists(
    st.lists(st.sampled_from(["a", "a-b", "a0", "b", "é", "a.b"]), min_size=1, max_size=4).map("/".join), max_size=30
)


@given(PATHS, st.sampled_from(["", "a", "a/a", "a/a-b", "é", "x"]))
def test_what_is_below_a_folder(paths: list[str], folder: str) -> None:
    entries = [(path, "100644", "1") for path in paths]
    found = Listing(entries).below(folder)
    assert sorted(found) == sorted(entry for entry in entries if not folder or entry[0].startswith(folder + "/"))


def test_parents_come_before_their_children() -> None:
    entries = [("a", "040000", ""), ("a/b", "040000", ""), ("a/b/c", "100644", "1"), ("a/b-c", "100644", "2")]
    paths = [path for path, _, _ in Listing(entries).below("a")]
    assert paths.index("a/b") < paths.index("a/b/c")


def test_what_is_asked_for_by_its_kind() -> None:
    listing = Listing([("m", "160000", "1"), (".gitattributes", "100644", "2"), ("x/.gitattributes", "120000", "3")])
    assert listing.submodules == [("m", "160000", "1")]
    assert listing.attribute_files == {".gitattributes": "2"}
