"""Random histories of an image: what some commands, each list a layer, do to few names, so that they meet."""

from __future__ import annotations

from hypothesis import strategies as st

Step = tuple[str, str, str]
"""What is done, the path it is done to, and another path, a link's target or a mode."""
History = list[list[Step]]

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(PATHS, PATHS.map(lambda path: f"/{path}"), st.sampled_from(["..", "../a", "../../b", ".", "/"]))
_MODES = st.sampled_from(["700", "1777", "640", "4755"])
_MKDIR = st.tuples(st.just("mkdir"), PATHS, _MODES)
_WRITE = st.tuples(st.just("write"), PATHS, st.just(""))
STEPS: st.SearchStrategy[Step] = st.one_of(
    _MKDIR,
    _MKDIR,
    _WRITE,
    _WRITE,
    st.tuples(st.just("rm"), PATHS, st.just("")),
    st.tuples(st.sampled_from(["mv", "cp", "ln"]), PATHS, PATHS),
    st.tuples(st.just("ln -s"), PATHS, TARGETS),
    st.tuples(st.just("chmod"), PATHS, _MODES),
    st.tuples(st.just("mkfifo"), PATHS, st.just("")),
    st.tuples(st.just("rm, mkdir"), PATHS, _MODES),
    st.tuples(st.just("rm, ln -s"), PATHS, TARGETS),
)


def histories(layers: int) -> st.SearchStrategy[History]:
    return st.lists(st.lists(STEPS, min_size=1, max_size=6), min_size=2, max_size=layers)
