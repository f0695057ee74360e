"""The share of looked-up times counts what is named and there."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture
def look_up():
    spec = importlib.util.spec_from_file_location("look_up", Path(__file__).with_name("look_up.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", ["{}, {}; {}, {}", "hear {}, {}</seg> hear {}, {}</seg>"])
def test_a_time_is_looked_up_when_what_is_named_begins_in_that_second(look_up, form):
    events = [
        {"name": "low voice", "start_s": 3.9, "end_s": 4.4},
        {"name": "low beep", "start_s": 6.0, "end_s": 6.4},
    ]
    lines = [{"id": "a", "events": events}]
    between = "<seg>" if "seg" in form else " "

    def said(low: int, beep: int) -> dict:
        text = form.format(f"low{between}{low}", low + 2, f"low beep{between}{beep}", beep + 1)
        return {"id": "a", "policy": f"{low} {beep}", "text": text}

    found = look_up.looked_up(lines, [said(3, 6), said(6, 6), said(6, 3)])
    assert found == {"3 6": 1.0, "6 6": 0.5, "6 3": 0.0}
    absent = {"id": "a", "policy": "hiss", "text": "hiss 3, 4; low 3, 5"}
    assert look_up.looked_up(lines, [absent]) == {"hiss": 1.0}
