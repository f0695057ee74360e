"""`cogrl build <corpus> --raw DIR --out DIR`: manifests of recorded and published corpora, from their own folders."""

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def names(text: str) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


CORPORA: Mapping[str, tuple[str, str]] = {
    "esd": ("cogrl.data.corpora.esd", "ESD: acted, five emotions, zh and en"),
    "iemocap": ("cogrl.data.corpora.iemocap", "IEMOCAP: five acted sessions, classes and dimensions"),
    "msp-podcast": ("cogrl.data.corpora.msp_podcast", "MSP-Podcast: spontaneous, classes and dimensions"),
    "meld": ("cogrl.data.corpora.meld", "MELD: utterances of a television series"),
    "lime-440k": ("cogrl.data.corpora.lime", "LIME-440K: one text with several emotions, synthetic"),
    "humdial": ("cogrl.data.corpora.humdial", "HumDial track 1: dialogues of 3 to 5 turns"),
    "eibench": ("cogrl.data.corpora.eibench", "HumDial-EIBench: multiple choice over dialogues"),
    "avqa": ("cogrl.data.corpora.avqa", "AVQA: multiple choice about sounds, in R1-AQA's lines"),
    "audiomcq": ("cogrl.data.corpora.audiomcq", "AudioMCQ: multiple choice that needs the audio"),
    "cota": ("cogrl.data.corpora.cota", "CoTA: multiple choice with thoughts, in HyPeR's lines"),
    "echo-rows": (
        "cogrl.data.corpora.echo_rows",
        "EAQA: questions about parts of a clip, in Echo's or ms-swift's lines",
    ),
    "mmau": ("cogrl.data.corpora.mmau", "MMAU test-mini and test: multiple choice about sound, music, speech"),
    "mmar": ("cogrl.data.corpora.mmar", "MMAR: multiple choice that needs reasoning about audio"),
    "mmsu": ("cogrl.data.corpora.mmsu", "MMSU: multiple choice about spoken language"),
}
"""Module with the reader, and a line of help."""

QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    "--held-out": {"type": float, "help": "share of the audio files for val; default 0.02"},
    "--seed": {"type": int, "help": "draws those files and the order of the choices; default 0"},
    "--keep-order": {"action": "store_true", "help": "leave the choices in the order of the file"},
}
"""Of corpora of questions."""

OPTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "avqa": {
        **QUESTIONS,
        "--relations": {"type": names, "help": "of View, Sound, Both; default: all, as R1-AQA"},
    },
    "audiomcq": {
        **QUESTIONS,
        "--contribution": {"help": "keep the rows with this audio-contribution, such as strong; default: all"},
    },
    "cota": {
        **QUESTIONS,
        "--only-traces": {"action": "store_true", "help": "reject rows whose thought does not parse"},
    },
    "echo-rows": QUESTIONS,
    "esd": {
        "--languages": {"type": names, "help": "zh,en (default) or one of them"},
        "--val-speakers": {"type": names, "help": "default 0009,0019"},
        "--test-speakers": {"type": names, "help": "default 0010,0020"},
        "--test-texts": {"type": int, "help": "sentences of a test speaker to keep; default 100 of 350"},
    },
    "iemocap": {
        "--test-session": {"type": int, "help": "default 5"},
        "--val-session": {"type": int, "help": "default 4"},
        "--all-emotions": {"action": "store_true", "help": "keep fear, surprise and disgust too"},
    },
    "lime-440k": {
        "--val-share": {"type": float, "help": "share of the texts; default 0.05"},
        "--test-share": {"type": float, "help": "share of the texts; default 0.05"},
        "--seed": {"type": int, "help": "draws which texts; default 0"},
    },
    "humdial": {
        "--empathy-turn": {
            "choices": ("second", "last"),
            "help": "turn that is not neutral to answer in the empathy task; default second, as the official script",
        }
    },
}


def add_corpora(targets: argparse._SubParsersAction) -> None:
    for name, (_, text) in CORPORA.items():
        parser = targets.add_parser(name, help=text)
        parser.add_argument("--raw", type=Path, required=True, help="the unpacked corpus, in its official layout")
        parser.add_argument("--out", type=Path, required=True, help="folder for the manifests; audio stays where it is")
        parser.add_argument("--partial", action="store_true", help="leave out what is missing or unreadable, counted")
        for flag, settings in OPTIONS.get(name, {}).items():
            parser.add_argument(flag, default=argparse.SUPPRESS, **settings)
        parser.set_defaults(build=build, corpus=name)


def build(options: argparse.Namespace) -> None:
    """Reads the corpus, writes its manifests and prints its card."""
    from cogrl.data.corpora.corpus import write_corpus

    reader = import_module(CORPORA[options.corpus][0])
    settings = {key: value for key, value in vars(options).items() if key not in ("raw", "out", "build", "corpus")}
    if settings.pop("all_emotions", False):
        settings["labels"] = reader.SEVEN
    print(write_corpus(reader.read(options.raw, **settings), options.out))
