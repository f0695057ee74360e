"""Credit by section: which term of the reward moves the tokens of which part of a completion."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from cogrl.formats import format_named
from cogrl.types import Role, Rollouts, Scores

Estimate = Callable[[Float[Tensor, " b"]], Float[Tensor, " b"]]
Decode = Callable[[Int[Tensor, " n"]], str]


@dataclass(frozen=True)
class SectionCredit:
    """Tokens of a section get the advantage of the term that grades it, and all others that of `rest`.

    A section that is graded by its own term is not moved by what the completion says elsewhere.

    Args:
        sections: the name of a term by the name of a section, see `Format.sections`.
        rest: the term that moves all other tokens; "total" is the whole reward.
    """

    sections: dict[str, str]
    rest: str = "total"

    def __post_init__(self) -> None:
        if not self.sections:
            raise ValueError("section_credit.sections is empty; name the term of a section or leave section_credit out")

    def check_sections(self, formats: Sequence[str]) -> None:
        """Raises ValueError for a section that none of the formats has."""
        known = dict.fromkeys(name for format in formats for name in format_named(format).section_names)
        self._check("sections", self.sections, known, f"formats {', '.join(formats)} have")

    def check_terms(self, terms: Mapping[str, object]) -> None:
        """Raises ValueError for a term that the reward does not have."""
        self._check("terms", (*self.sections.values(), self.rest), ("total", *terms), "the reward has")

    def _check(self, what: str, names: Iterable[str], known: Iterable[str], who: str) -> None:
        unknown = [name for name in names if name not in [*known]]
        if unknown:
            raise ValueError(
                f"section_credit names the {what} {', '.join(unknown)}; {who} {', '.join(known) or 'none'}"
            )

    def advantages(
        self, rollouts: Rollouts, scores: Scores, estimate: Estimate, decode: Decode
    ) -> Float[Tensor, "b t"]:
        """One advantage a token; `estimate` makes those of one term, and `decode` the text of token ids.

        A completion whose total failed has advantage 0 everywhere, a term that does not apply to it where it counts.
        """
        self.check_terms(scores.terms)
        values = {"total": scores.total} | dict(scores.terms)
        by_term = {term: estimate(values[term]) for term in (self.rest, *self.sections.values())}
        found = by_term[self.rest][:, None].repeat(1, rollouts.completions.ids.shape[1])
        for row, places in enumerate(section_places(rollouts, decode)):
            for section, term in self.sections.items():
                found[row, places.get(section, [])] = by_term[term][row]
        return found.masked_fill(scores.total.isnan()[:, None], 0.0)


def section_places(rollouts: Rollouts, decode: Decode) -> list[dict[str, Int[Tensor, " n"]]]:
    """For each completion the places of the tokens of each section, among those that the policy drew."""
    found = []
    rows = zip(rollouts.completions.ids.cpu(), rollouts.completions.roles_on_host, strict=True)
    for (ids, roles), text, format in zip(rows, rollouts.texts, rollouts.row_formats, strict=True):
        places = ((roles == Role.SAMPLED) | (roles == Role.BENT)).nonzero().squeeze(1)
        drawn = ids[places]

        def length(count: int, drawn: Int[Tensor, " n"] = drawn) -> int:
            return len(decode(drawn[:count]))

        numbers = range(len(drawn) + 1)
        spans = format_named(format).sections(text).items()
        found.append(
            {name: places[slice(*(bisect_left(numbers, end, key=length) for end in span))] for name, span in spans}
        )
    return found
