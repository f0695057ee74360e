"""`cogrl build lime`: the complete LIME recipe, with the parts that a YAML file names or the embedded ones."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogrl.cli.described import described


def add_lime(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("lime", help="the complete LIME recipe: one text, many emotions, any synthesiser")
    parser.add_argument("--out", type=Path, default=Path("data/lime"))
    parser.add_argument(
        "--config",
        type=Path,
        help="YAML such as configs/recipes/lime.yaml; default: the embedded parts",
    )
    parser.add_argument("--tier", help="without --config: mini (espeak-ng voices) or smoke (a numpy voice, for tests)")
    parser.add_argument("--seed", type=int, help="default: that of the recipe, 0")
    parser.add_argument("--workers", type=int, help="clips made at once; default: all cores, or as the recipe says")
    parser.add_argument("--keep-takes", action="store_true", help="keep the folder of clips as they were made")
    parser.set_defaults(build=lime)


def lime(options: argparse.Namespace) -> None:
    """Prints what was built and what was rejected, with reasons."""
    from cogrl.data.recipes.lime import Recipe, build_lime
    from cogrl.evaluate.polarity import text_sentiment

    if options.config is not None and options.tier is not None:
        raise ValueError("--tier is for the embedded voices; with --config the file names the synthesiser")
    recipe = (
        tier(options.tier or "mini")
        if options.config is None
        else described(options.config, "recipe", Recipe, "configs/recipes/lime.yaml")
    )
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    made = build_lime(options.out, recipe, text_sentiment, options.workers, options.keep_takes)
    clips = ", ".join(f"{count} {split}" for split, count in made.clips.items())
    print(f"{made.out}: {clips} clips, {made.audio_s / 60:.1f} min of speech ({made.seconds:.1f} s)")
    for (what, reason), count in made.rejected.most_common():
        print(f"- {what} rejected: {reason}: {count}")


def tier(name: str) -> Any:
    """The recipe of the embedded parts. Raises ValueError for an unknown tier."""
    from cogrl.data.recipes.lime import Recipe
    from cogrl.data.recipes.lime_clips import SMOKE
    from cogrl.data.synthesis.embedded import EmbeddedSynthesiser

    tiers = {
        "mini": lambda: Recipe(),
        "smoke": lambda: Recipe(splits=dict(SMOKE), synthesiser=EmbeddedSynthesiser("numpy")),
    }
    if name not in tiers:
        raise ValueError(f"unknown tier {name!r}; available: {', '.join(tiers)}")
    return tiers[name]()
