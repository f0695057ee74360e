"""Does a policy look up when a thing is heard? python experiments/echo_mini/look_up.py cite.jsonl report/answers_choice.jsonl

Of lines of `when` or `cite` that were in no training, answered by `cogrl evaluate --formats choice`: the share of things
named whose cited second is that in which they begin, by policy. A guess has about 10 %.
"""

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

NAMED = re.compile(r"(?:hear )?(high beep|low beep|[a-z]+)\s*(?:<seg>)?(\d+), \d+")


def begins(events: Iterable[Mapping]) -> dict[str, set[int]]:
    """The seconds in which each thing of a clip begins, by its name without "voice"."""
    found: dict[str, set[int]] = defaultdict(set)
    for event in events:
        found[event["name"].removesuffix(" voice")].add(math.floor(event["start_s"]))
    return found


def looked_up(lines: Sequence[Mapping], answers: Sequence[Mapping]) -> dict[str, float]:
    """By policy; things that the clip does not hold are left out."""
    truth = {line["id"]: begins(line["events"]) for line in lines}
    right: dict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        there = truth[answer["id"]]
        named = NAMED.findall(answer["text"])
        right[answer["policy"]] += [int(second) in there[name] for name, second in named if name in there]
    return {policy: sum(hits) / len(hits) for policy, hits in right.items() if hits}


def main() -> None:
    lines, answers = ([json.loads(line) for line in Path(file).read_text().splitlines()] for file in sys.argv[1:3])
    for policy, share in looked_up(lines, answers).items():
        print(f"{policy}: {100 * share:.1f} %")


if __name__ == "__main__":
    main()
