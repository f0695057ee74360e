"""EPITOME's corpus: posts of people who seek support, responses to them, and how much empathy each response shows.

Source: Sharma et al. 2020 (arXiv:2009.08441), https://github.com/behavioral-data/Empathy-Mental-Health, one CSV for
each mechanism: `dataset/emotional-reactions-reddit.csv` (ER), `interpretations-reddit.csv` (IP),
`explorations-reddit.csv` (EX), 3,084 lines each. Their licence is unclear: ask the authors first. One line:

    sp_id,rp_id,seeker_post,response_post,level,rationales
    5a1,d9h,"I can not sleep any more.","I am so sorry. Since when?",2,"I am so sorry.|"

`level` is 0 (none), 1 (weak) or 2 (strong); `rationales` are the parts of the response that show it, each ended by `|`.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MECHANISMS = {"ER": "emotional reactions", "IP": "interpretations", "EX": "explorations"}
COLUMNS = ("sp_id", "rp_id", "seeker_post", "response_post", "level", "rationales")


@dataclass(frozen=True)
class Post:
    """One response to one seeker. `spans` are the character ranges of the response that the raters marked."""

    seeker_id: str
    seeker: str
    response: str
    level: int
    spans: tuple[tuple[int, int], ...] = ()


def read_posts(path: Path) -> list[Post]:
    """The lines of one CSV. A rationale that is no part of its response (the public files have some) is left out.

    Raises FileNotFoundError for a missing file, ValueError naming line and column for one in another layout.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; the files are in https://github.com/behavioral-data/Empathy-Mental-Health (dataset/)"
        )
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}; expected {','.join(COLUMNS)}")
        posts = [_post(row, f"{path}:{reader.line_num}") for row in reader]
    if not posts:
        raise ValueError(f"{path}: holds no lines below its header")
    return posts


def split_by_seeker(posts: Sequence[Post], held_out: float = 0.2, seed: int = 12) -> tuple[list[Post], list[Post]]:
    """Training and held-out posts. All responses to one seeker post are on one side: its words would give them away.

    Raises ValueError when one side would be empty.
    """
    seekers = sorted({post.seeker_id for post in posts})
    random.Random(seed).shuffle(seekers)
    out = set(seekers[: round(held_out * len(seekers))])
    sides = [post for post in posts if post.seeker_id not in out], [post for post in posts if post.seeker_id in out]
    if not all(sides):
        raise ValueError(f"held_out={held_out} of {len(seekers)} seeker posts leaves one side empty")
    return sides


def _post(row: dict[str, str | None], where: str) -> Post:
    if None in row.values() or None in row:
        raise ValueError(f"{where}: the line has not the {len(COLUMNS)} columns of the header")
    if row["level"] not in ("0", "1", "2"):
        raise ValueError(f"{where}: level must be 0, 1 or 2, got {row['level']!r}")
    if not row["response_post"].strip():
        raise ValueError(f"{where}: response_post is empty")
    response = row["response_post"]
    parts = [part.strip() for part in row["rationales"].split("|")]
    starts = [(response.find(part), len(part)) for part in parts if part]
    spans = tuple((start, start + size) for start, size in starts if start >= 0)
    return Post(row["sp_id"], row["seeker_post"], response, int(row["level"]), spans)
