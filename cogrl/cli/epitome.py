"""`cogrl epitome train`: the empathy classifiers that `cogrl evaluate --epitome` reads."""

import argparse
from dataclasses import fields
from pathlib import Path

_RECIPE = ("lr", "batch_size", "epochs", "max_len", "level_coef", "rationale_coef", "held_out", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="{train}", required=True)
    training = actions.add_parser("train", help="train one classifier on one of EPITOME's CSV files")
    training.add_argument("--mechanism", choices=("ER", "IP", "EX"), required=True, help="which kind of empathy")
    training.add_argument("--data", type=Path, required=True, help="CSV: sp_id,rp_id,seeker_post,response_post,level,…")
    training.add_argument(
        "--base", default="models/roberta-base", help="folder of a RoBERTa model (default: %(default)s)"
    )
    training.add_argument("--out", type=Path, default=Path("models/epitome"), help="written to OUT/MECHANISM")
    training.add_argument(
        "--reads",
        choices=("words", "description"),
        default="words",
        help="what the seekers' posts are: words, or descriptions that tell the voice, too, as those of cogrl build "
        "epitome-mini; replies to spoken lines are rated in the same form (default: %(default)s)",
    )
    for name in _RECIPE:
        training.add_argument(f"--{name.replace('_', '-')}", type=float, default=argparse.SUPPRESS)


def main(options: argparse.Namespace) -> int:
    from transformers.utils.logging import disable_progress_bar

    from cogrl.evaluate.epitome_data import read_posts
    from cogrl.evaluate.epitome_train import Recipe, refuse_no_roberta, train

    disable_progress_bar()
    kinds = {field.name: field.type for field in fields(Recipe)}
    recipe = Recipe(**{name: kinds[name](value) for name, value in vars(options).items() if name in _RECIPE})
    refuse_no_roberta(options.base)
    posts = read_posts(options.data)
    classifier = train(options.mechanism, posts, options.base, recipe, reads=options.reads)
    folder = options.out / options.mechanism
    classifier.save(folder)
    r = classifier.report
    shown = ("accuracy", "accuracy_low", "accuracy_high", "majority_accuracy")
    accuracy, low, high, most = (100 * r[name] for name in shown)
    print(
        f"{folder}: accuracy {accuracy:.1f} % [{low:.1f}, {high:.1f}] on {r['held_out']} held-out responses "
        f"(always the commonest level: {most:.1f} %), macro-F1 {r['macro_f1']:.3f}, "
        f"rationale F1 {r['rationale_f1']:.3f}\n"
        f"{r['rationales_not_found']} of {r['rationales']} rationales are no part of their response; the words of such "
        "a response count as neither rationale nor none"
    )
    return 0
