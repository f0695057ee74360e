"""`cogrl build`: the embedded corpora and models, made here once, and manifests of recorded corpora."""

import argparse

from cogrl.cli.build.annotate import add_annotate
from cogrl.cli.build.corpora import add_corpora
from cogrl.cli.build.eaqa import add_eaqa
from cogrl.cli.build.emotion import add_emotion
from cogrl.cli.build.epitome_mini import add_epitome_mini
from cogrl.cli.build.ieat import add_ieat
from cogrl.cli.build.lime import add_lime
from cogrl.cli.build.lime_mini import add_lime_mini
from cogrl.cli.build.paqa import add_paqa
from cogrl.cli.build.qa_mini import add_qa_mini
from cogrl.cli.build.responses import add_responses
from cogrl.cli.build.speech_codec import add_speech_codec
from cogrl.cli.build.speech_units import add_speech_units
from cogrl.cli.build.spoken_replies import add_spoken_replies
from cogrl.cli.build.tiny_model import add_tiny_model
from cogrl.cli.build.whisper_smollm import add_whisper_smollm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    targets = parser.add_subparsers(required=True)
    add_lime_mini(targets)
    add_tiny_model(targets)
    add_corpora(targets)
    add_annotate(targets)
    add_ieat(targets)
    add_lime(targets)
    add_qa_mini(targets)
    add_paqa(targets)
    add_eaqa(targets)
    add_emotion(targets)
    add_epitome_mini(targets)
    add_responses(targets)
    add_whisper_smollm(targets)
    add_spoken_replies(targets)
    add_speech_codec(targets)
    add_speech_units(targets)


def main(options: argparse.Namespace) -> int:
    options.build(options)
    return 0
