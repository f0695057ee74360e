"""A covering sample of the cases of parametrised tests: `pytest --cases sample|rest|slow|all`.

A test with several parameters runs on the product of their values. By default (`sample`) a product of more than
`SAMPLE_SIZE` cases is thinned to some that together still hold every value of every parameter, and of the pairs of
values as many as fit. `rest` runs the other cases, `slow` the tests marked `slow`, which neither of them runs, `all`
everything. A list of values, or of tuples of values, is one parameter and is thinned only where the test asks for it:
of a test marked `sample(n)`, whose cases take seconds each, the first n cases are kept. The choice depends on the
values' places in their lists alone. (Pairs: D. Cohen et al., "The AETG system", IEEE TSE 23(7), 1997.)
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from zlib import crc32

import pytest

SAMPLE_SIZE = 8
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cases",
        choices=("sample", "rest", "slow", "all"),
        default="sample",
        help="sample: large products of parameters thinned; rest: their other cases; slow: slow tests; all: all three",
    )


def covering(cases: list[tuple[int, ...]], size: int) -> list[int]:
    """Places of the cases that are kept, rising.

    A case gives one value per parameter. Every value is kept at least once, however many cases that takes; up to `size`
    cases are kept while they add pairs of values that no other kept case has.
    """
    values = [set(enumerate(case)) for case in cases]
    pairs = [set(combinations(enumerate(case), 2)) for case in cases]
    missing_values, missing_pairs = set().union(*values), set().union(*pairs)
    kept: set[int] = set()

    def worth(i: int) -> tuple[int, int, int]:
        return len(values[i] & missing_values), len(pairs[i] & missing_pairs), crc32(repr(cases[i]).encode())

    while missing_values or (missing_pairs and len(kept) < size):
        best = max(set(range(len(cases))) - kept, key=worth)
        kept.add(best)
        missing_values -= values[best]
        missing_pairs -= pairs[best]
    return sorted(kept)


def places(items: list[pytest.Item]) -> list[tuple[int, ...]]:
    """Of each case of one test, per parameter, the place of its value among the values in use.

    The arguments of one `parametrize` are one parameter, each fixture with `params` is another.
    """
    together = [argument_names(mark) for mark in items[0].iter_markers("parametrize")]
    given = items[0].callspec.params
    parameters = [*together, *([name] for name in given if not any(name in names for names in together))]
    columns = []
    for names in parameters:
        seen: dict[tuple[int, ...], int] = {}
        identities = [tuple(id(item.callspec.params[name]) for name in names) for item in items]
        columns.append([seen.setdefault(identity, len(seen)) for identity in identities])
    return list(zip(*columns, strict=True))


def argument_names(mark: pytest.Mark) -> list[str]:
    """The names in `parametrize("a, b", ...)` or `parametrize(("a", "b"), ...)`."""
    names = mark.kwargs.get("argnames") or mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def few(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Of all cases of one test, those that a default run keeps."""
    if mark := cases[0].get_closest_marker("sample"):
        return cases[: mark.args[0]]
    if len(cases) <= SAMPLE_SIZE:
        return cases
    return [cases[i] for i in covering(places(cases), SAMPLE_SIZE)]


def parts(items: Iterable[pytest.Item]) -> dict[str, str]:
    """By node id: whether a test is of the `sample`, of the `rest` or `slow`."""
    tests, found = defaultdict(list), {}
    for item in items:
        found[item.nodeid] = "slow" if item.get_closest_marker("slow") else "rest"
        if found[item.nodeid] == "rest":
            tests[item.nodeid.partition("[")[0]].append(item)
    for cases in tests.values():
        found |= {case.nodeid: "sample" for case in few(cases)}
    return found


@pytest.hookimpl(tryfirst=True)  # before -k and -m: a sample does not depend on what else is asked for
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, cases = parts(items), config.getoption("cases")
    config.stash[LEFT_OUT] = 0
    if cases == "all":
        return
    left_out = [item for item in items if part[item.nodeid] != cases]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT_OUT] = len(left_out)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """What a worker of pytest-xdist left out: every worker collects all, and leaves out the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out and config.getoption("cases") == "sample":
        terminalreporter.write_line(
            f"{left_out} cases were left out; run them: pytest --cases rest, --cases slow (make test-rest test-slow)"
        )
