"""`cogrl build epitome-mini`: replies rated by rule, and EPITOME's classifiers of ER and EX trained on them."""

import argparse
from pathlib import Path

_FILES = ("ER.csv", "EX.csv", "base", "ER", "EX")


def add_epitome_mini(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("epitome-mini", help="replies rated by rule, and EPITOME's classifiers trained on them")
    parser.add_argument("--out", type=Path, default=Path("models/epitome-mini"))
    parser.add_argument(
        "--manifest", type=Path, default=Path("data/lime-mini/sft.jsonl"), help="whose texts are replied to"
    )
    parser.add_argument("--epochs", type=int, help="of the classifiers' training; default: as the corpus needs")
    parser.set_defaults(build=epitome_mini)


def epitome_mini(options: argparse.Namespace) -> None:
    """Complete or absent; a folder that holds exactly this build is left as it is. Prints the classifiers' accuracy."""
    from dataclasses import replace

    from transformers.utils.logging import disable_progress_bar

    from cogrl.cli.digest import digest
    from cogrl.data.build_folder import holds, replacing
    from cogrl.data.manifest import read_manifest
    from cogrl.data.recipes import exploring, lime_replies
    from cogrl.evaluate import epitome, epitome_mini, epitome_train
    from cogrl.evaluate.epitome_data import read_posts

    disable_progress_bar()
    examples = read_manifest(options.manifest)
    sources = [Path(module.__file__) for module in (exploring, lime_replies, epitome, epitome_mini, epitome_train)]
    key = digest([options.epochs, [example.text for example in examples]], sources)
    if holds(options.out, key, _FILES):
        print(f"{options.out} holds these classifiers already: nothing to do")
        return
    recipe = epitome_mini.RECIPE
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    with replacing(options.out, key, _FILES) as folder:
        rated = epitome_mini.write_rated(folder, examples)
        print(f"{options.out}: {rated} replies, rated for {' and '.join(epitome_mini.RATED)}")
        for name in epitome_mini.RATED:
            posts, base = read_posts(folder / f"{name}.csv"), folder / epitome_mini.BASE
            classifier = epitome_train.train(name, posts, base, recipe, reads="description")
            classifier.save(folder / name)
            found = classifier.report
            print(
                f"{options.out / name}: accuracy {100 * found['accuracy']:.1f} % on {found['held_out']} held-out "
                f"replies (always the commonest level: {100 * found['majority_accuracy']:.1f} %)"
            )
