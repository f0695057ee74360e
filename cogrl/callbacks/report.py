"""A page of completions with their clips embedded: one self-contained HTML file."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import soundfile

from cogrl.callbacks.segments import FIELDS, SCRIPT, player, segment_players
from cogrl.types import Clip, Example, Speech, Waveform

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5em; color: #1c1c1c; background: #fff; }
section { border-top: 2px solid #d5d5d5; padding: .8em 0 1.2em; }
h2 { font-size: 1em; margin: 0 0 .3em; } p { margin: .2em 0 .6em; color: #555; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3em .6em; vertical-align: top; }
th { color: #555; font-weight: 600; } tr:nth-child(even) td { background: #f5f6f8; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note { font-size: .9em; color: #555; } .segment { white-space: nowrap; } .segment audio { height: 1.6em; width: 11em; }
.said { white-space: pre-wrap; } .good { color: #16702c; } .bad { color: #a32020; } audio { height: 2.2em; }
"""
_LABELS = ("step", "group", "id", "format", "audio", "text_group", "emotion", "completion", "finished", *FIELDS)


def rollout_page(
    step: int,
    records: Sequence[Mapping[str, Any]],
    clips: Sequence[Clip],
    sampling_rate: int,
    speech: Sequence[Speech | None] = (),
) -> str:
    """HTML of `records` (see `rollout_table.rows`), one section for each clip, with a player for what was heard.

    `speech` is what is said aloud in each record, which gets a player; () where nothing was spoken. Under a completion
    that cites segments there are players for them, and under a question one for its evidence.
    """
    sections, said = [], [reply_player(one) for one in speech] or [""] * len(records)
    for group, clip in enumerate(clips):
        places = [place for place, record in enumerate(records) if record["group"] == group]
        mine = [records[place] for place in places]
        example, format = clip.example, mine[0]["format"]
        sections.append(
            f"<section><h2>{escape(example.id)} · format {format} · {example.emotion}</h2>"
            f"<p>“{escape(example.text)}” ({escape(example.text_group)}, {escape(example.speaker)})</p>"
            f'<audio controls preload="none" src="{data_uri(clip.waveform, sampling_rate)}"></audio>'
            f"{question(example)}{table(mine, [said[place] for place in places])}</section>"
        )
    title = f"Rollouts of step {step}"
    body = "".join(sections)
    body += SCRIPT if '<audio controls preload="none" data-segment' in body else ""
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body><h1>{title}</h1>{body}</body></html>\n"


def question(example: Example) -> str:
    """What is asked of a clip, the right answer, and a player for each part of the evidence; '' where nothing is."""
    if example.question is None:
        return ""
    asked = escape(" / ".join((example.question, *example.choices)))
    evidence = "; ".join(player(span.start_s, span.end_s) for span in example.evidence)
    return f"<p>{asked} → {escape(example.answer or '–')}{' · evidence: ' if evidence else ''}{evidence}</p>"


def reply_player(speech: Speech | None) -> str:
    """A player for a spoken reply; '' where none is heard."""
    if speech is None or speech.waveform is None:
        return ""
    address = data_uri(speech.waveform, speech.sampling_rate)
    return f'<div class="note">spoken: <audio controls preload="none" src="{address}"></audio></div>'


def table(records: Sequence[Mapping[str, Any]], spoken: Sequence[str]) -> str:
    """The completions of one group: what was said, and spoken, the notes on it, each reward, the advantage."""
    numbers = [name for name in records[0] if name not in _LABELS and not name.startswith("note/")]
    header = "<th>completion</th>" + "".join(
        f'<th class="number">{escape(name.removeprefix("reward/"))}</th>' for name in numbers
    )
    body = "".join(
        f'<tr><td class="said">{escape(record["completion"])}{"" if record["finished"] else " <em>(cut)</em>"}'
        + "".join(note(name, text) for name, text in record.items() if name.startswith("note/") and text)
        + segment_players(record)
        + reply
        + "</td>"
        + "".join(cell(name, record[name]) for name in numbers)
        + "</tr>"
        for record, reply in zip(records, spoken, strict=True)
    )
    return f"<table><tr>{header}</tr>{body}</table>"


def note(name: str, text: str) -> str:
    """A line of the pieces of a note, coloured by their signs: green for +, red for -."""
    colours = {"+": "good", "-": "bad"}
    pieces = [f'<span class="{colours.get(piece[:1], "")}">{escape(piece)}</span>' for piece in text.split("; ")]
    return f'<div class="note">{escape(name.removeprefix("note/"))}: {"; ".join(pieces)}</div>'


def cell(name: str, value: float | None) -> str:
    """A number, coloured by its sign when it is the advantage; a dash when it does not apply."""
    colour = "" if name != "advantage" or not value else " good" if value > 0 else " bad"
    return f'<td class="number{colour}">{"–" if value is None else f"{value:.3g}"}</td>'


def data_uri(waveform: Waveform, sampling_rate: int) -> str:
    """The clip as a 16-bit WAV inside an address that `<audio>` plays."""
    file = io.BytesIO()
    soundfile.write(file, waveform, sampling_rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
