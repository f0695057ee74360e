"""A default run keeps a sample of large products in which every value occurs; the whole is never lost."""

import os
import re
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path

import pytest
from covering import SAMPLE_SIZE, covering

pytest_plugins = ["pytester"]
SIZES = [(2, 5), (27, 7), (40, 2, 2), (2, 3, 2, 2, 2), (3, 3, 3, 3), (8,), (1, 9)]


def pairs(cases):
    return {pair for case in cases for pair in combinations(enumerate(case), 2)}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("size", [1, 8, 20])
def test_every_value_is_kept_by_no_more_cases_than_that_takes_or_fit(sizes, size):
    cases = list(product(*map(range, sizes)))
    kept = [cases[i] for i in covering(cases, size)]
    assert [set(column) for column in zip(*kept, strict=True)] == [set(range(n)) for n in sizes]
    assert len(kept) == len(set(kept)) <= max(size, *sizes)


def test_as_many_pairs_are_kept_as_fit():
    cases = list(product(range(2), repeat=5))
    assert pairs(cases[i] for i in covering(cases, 10)) == pairs(cases)
    assert len(covering(cases, len(cases))) < len(cases)  # no case is kept that adds nothing


def test_the_choice_does_not_depend_on_the_hash_seed():
    code = "from itertools import product; from covering import covering; "
    code += "print(covering(list(product(range(27), range(7), range(3))), 30))"
    kept = set()
    for seed in "123":
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        kept.add(done.stdout)
    assert len(kept) == 1


TESTS = """
    import pytest

    @pytest.fixture(params=["x", "y"])
    def made(request):
        return request.param

    @pytest.mark.parametrize("a, b", [(1, True), (2, True), (3, False), (3, True), (4, False)])
    @pytest.mark.parametrize("c", ["u", "v"])
    def test_product(a, b, c, made): pass

    @pytest.mark.parametrize(("n", "even"), [(n // 2, n % 2 == 0) for n in range(40)])
    def test_list(n, even): pass

    @pytest.mark.parametrize("n", range(2))
    def test_small_product(n, made): pass

    @pytest.mark.sample(1)
    @pytest.mark.parametrize("n", range(4))
    def test_costly(n): pass

    @pytest.mark.slow
    @pytest.mark.parametrize("n", range(3))
    def test_slow(n): pass
"""


@pytest.fixture
def run(pytester):
    """`run("--cases", "all")`: names of the tests that ran, and what was printed."""
    pytester.makeini("[pytest]\nmarkers =\n slow\n sample")
    here = str(Path(__file__).parent)
    pytester.makeconftest(f"import sys; sys.path.insert(0, {here!r}); pytest_plugins = ['covering']")
    pytester.makepyfile(test_planted=TESTS)

    def run(*words: str) -> tuple[list[str], str]:
        done = pytester.runpytest_inprocess("-v", "-p", "no:cacheprovider", *words)
        assert done.ret == 0
        said = done.stdout.str()
        return re.findall(r"::(\S+) PASSED", said), said

    return run


def test_sample_rest_and_slow_tests_are_the_whole(run):
    (sample, said), (rest, _), (slow, _), (whole, _) = (
        run(),
        *(run("--cases", part) for part in ("rest", "slow", "all")),
    )
    assert len(whole) == 20 + 40 + 4 + 4 + 3 and sorted(sample + rest + slow) == sorted(whole)
    assert sorted(slow) == [f"test_slow[{n}]" for n in range(3)]
    assert f"{len(rest + slow)} cases were left out; run them: pytest --cases rest, --cases slow" in said
    kept = {name: [test for test in sample if test.startswith(f"test_{name}[")] for name in ("product", "list", "slow")}
    assert (len(kept["product"]), len(kept["list"]), len(kept["slow"])) == (SAMPLE_SIZE, 40, 0)  # a list is no product
    assert sum(test.startswith("test_small_product") for test in sample) == 4
    assert [test for test in sample if "costly" in test] == ["test_costly[0]"]
    values = {value for test in kept["product"] for value in test.partition("[")[2].rstrip("]").split("-")}
    assert values == {*"1234", "True", "False", *"uvxy"}
    assert run()[0] == sample


def test_a_case_that_is_named_runs_and_a_choice_by_keyword_does_not_change_the_sample(run):
    (whole, _), (sample, _) = run("--cases", "all"), run()
    left_out = next(test for test in whole if test not in sample and "slow" not in test)
    assert run(f"test_planted.py::{left_out}")[0] == [left_out]
    assert run("-k", "product and 4")[0] == [test for test in sample if "product" in test and "4" in test]


def test_with_several_workers_it_is_said_once_how_many_were_left_out(run):
    pytest.importorskip("xdist")
    assert run("-n", "2")[1].count(" cases were left out") == 1
