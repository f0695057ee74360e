"""The clips of LIME-mini whose words are cheerful or bleak, in voices that bear the words out or contradict them.

Two sentences a scenario, alike but for the words that make one cheerful and the other bleak: topic and form carry no
sentiment. The speakers of the test split read each in all seven emotions, once, at an intensity that depends on speaker
and scenario alone. So the words, polar as they are, still carry no information about the emotion: a positive sentence
conflicts with four voices and agrees with one, a negative one the other way round.
"""

from cogrl.data.recipes.lime_plan import Cell, Plan, cells
from cogrl.types import EMOTIONS, INTENSITIES, Sentiment

NAME = "conflict"
PAIRS: dict[str, tuple[str, str]] = {
    "workplace": ("My manager praised the report.", "My manager rejected the report."),
    "health": ("The test results are excellent.", "The test results are terrible."),
    "travel": ("We had a wonderful flight.", "We had a dreadful flight."),
    "school": ("I passed the exam.", "I failed the exam."),
}
"""Scenario -> a positive and a negative sentence, by the lexicon of `cogrl.evaluate.polarity`."""
SENTIMENT: dict[str, Sentiment] = {
    text: side for pair in PAIRS.values() for text, side in zip(pair, ("positive", "negative"), strict=True)
}


def conflict_cells(plan: Plan) -> list[Cell]:
    """Every clip of a plan's `conflict.jsonl`: about as many sentences as its test split has, from 2 to all 8."""
    readers = {cell.speaker.name: cell.speaker for cell in cells(plan) if cell.split == "test"}.values()
    texts = sum(split.texts for split in plan if split.name == "test")
    chosen = list(PAIRS.items())[: max(1, texts // 2)]
    return [
        Cell(NAME, speaker, scenario, text, f"w{2 * j + k + 1:02d}", emotion, INTENSITIES[(i + j) % len(INTENSITIES)])
        for i, speaker in enumerate(readers)
        for j, (scenario, pair) in enumerate(chosen)
        for k, text in enumerate(pair)
        for emotion in EMOTIONS
    ]
