"""LIME's sentences without a language model: an English grammar, and a list that somebody else wrote."""

import itertools
import random
from pathlib import Path

from cogrl.data.json_text import checked_json
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.data.recipes.lime_writer import Selection, Writer
from cogrl.data.text_file import utf8_text

FRAMES: tuple[str, ...] = (
    "I never imagined {} would end like this.",
    "So this is what became of {}.",
    "I just found out about {}.",
    "They told me about {} this morning.",
    "Nobody had mentioned {} until today.",
    "I still think about {} every day.",
    "Now everyone is talking about {}.",
    "That was the last I heard of {}.",
    "I did not expect {} to come up again.",
    "In the end it came down to {}.",
    "They decided on {} without asking me.",
    "I cannot believe what they did with {}.",
    "All of this changed because of {}.",
    "There is more to {} than I thought.",
    "I had waited a whole year for {}.",
    "Tomorrow they will decide about {}.",
    "I had to ask twice about {}.",
    "We talked about {} until midnight.",
    "Somebody must have known about {}.",
    "I read the news about {} on the way here.",
)
"""Statements that fit any mood, with a place for one of a scenario's things."""


class GrammarWriter(Writer):
    """Every frame with every thing of a scenario (160 sentences each), in an order that the seed draws. English."""

    version = f"grammar {FRAMES}"
    licence = "written for cogrl; Apache-2.0"

    def write(self, selection: Selection, seed: int) -> str:
        if selection.rules.language != "en":
            raise ValueError(
                f"the grammar is English, the corpus is to be {selection.rules.language!r}; name another writer, such "
                "as cogrl.data.recipes.lime_writer_chat.ChatWriter"
            )
        for scenario in selection.wanted:
            things = SCENARIOS[scenario].things
            pairs = list(itertools.product(FRAMES, things))
            random.Random(f"{seed}/{scenario}").shuffle(pairs)
            for frame, thing in pairs:
                selection.offer(scenario, frame.format(thing))
        most = len(FRAMES) * min(len(SCENARIOS[name].things) for name in selection.wanted)
        selection.check_complete(f"the grammar has {most} a scenario: ask for fewer, or name another writer")
        return "written on this machine"


class ListWriter(Writer):
    """The sentences of a JSONL file, `{"scenario": …, "text": …}` a line, in their order.

    Raises FileNotFoundError, and ValueError that names file and line.
    """

    def __init__(self, file: Path, licence: str) -> None:
        self.file, self.licence = Path(file), licence
        if not self.file.is_file():
            raise FileNotFoundError(f'{file} is missing; expected lines such as {{"scenario": "travel", "text": "…"}}')
        self.version = f"list\n{utf8_text(self.file)}"

    def write(self, selection: Selection, seed: int) -> str:
        lines = self.version.split("\n")[1:]
        for number, line in enumerate(lines, start=1):
            if line.strip():
                scenario, text = self._entry(line, f"{self.file}:{number}")
                if scenario in selection.wanted:
                    selection.offer(scenario, text)
        selection.check_complete(f"add sentences to {self.file}")
        return f"{sum(bool(line.strip()) for line in lines)} lines of {self.file.name}"

    def _entry(self, line: str, where: str) -> tuple[str, str]:
        entry = checked_json(line, where)
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("scenario", "text")):
            raise ValueError(f'{where}: expected {{"scenario": …, "text": …}}, got {line[:80]}')
        if entry["scenario"] not in SCENARIOS:
            raise ValueError(f"{where}: unknown scenario {entry['scenario']!r}; known: {', '.join(SCENARIOS)}")
        return entry["scenario"], entry["text"]
