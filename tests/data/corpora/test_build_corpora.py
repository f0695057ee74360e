"""`cogrl build <corpus>`: every reader behind its command, errors in one line."""

import pytest
from test_esd import corpus as esd_corpus
from test_iemocap import corpus as iemocap_corpus
from test_lime import part as lime_part
from test_msp_podcast import corpus as msp_corpus

from cogrl.cli.build.corpora import CORPORA, OPTIONS
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.data.module import AudioData


@pytest.mark.parametrize("name", CORPORA)
def test_an_empty_folder_is_refused_with_what_was_expected_and_where_to_get_it(name, tmp_path, capsys):
    assert main(["build", name, "--raw", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "expected" in message and "Get the corpus from https://" in message and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", CORPORA)
def test_help_names_every_option(name, capsys):
    with pytest.raises(SystemExit):
        main(["build", name, "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--raw", "--out", "--partial", *OPTIONS.get(name, {})))


def test_esd_options_reach_the_reader_and_its_manifests_train(tmp_path, wav, capsys):
    raw, out = esd_corpus(tmp_path / "ESD", wav, range(11, 21)), tmp_path / "data" / "esd"
    args = ["build", "esd", "--raw", str(raw), "--out", str(out), "--languages", "en", "--test-speakers", "0011,0012"]
    assert main([*args, "--test-texts", "1"]) == 0
    card = capsys.readouterr().out
    assert "| test | 10 |" in card and "disjoint: [speaker]" in card
    assert {e.speaker for e in read_manifest(out / "test.jsonl")} == {"esd-0011", "esd-0012"}
    paths = {name: str(out / f"{name}.jsonl") for name in ("train", "val", "test")}
    with pytest.raises(ValueError, match=r"val.jsonl:\d+ \(esd-\d+_\d+\): text_group"):
        AudioData(**paths).setup("fit")
    AudioData(**paths, disjoint=["speaker"]).setup("fit")


def test_iemocap_with_all_emotions(tmp_path, wav, capsys):
    raw = iemocap_corpus(tmp_path / "IEMOCAP", wav)
    args = ["build", "iemocap", "--raw", str(raw), "--out", str(tmp_path / "out"), "--test-session", "1"]
    assert main([*args, "--all-emotions"]) == 0
    assert "surprise 1" in capsys.readouterr().out
    assert main(args) == 0
    assert "label sur: 5" in capsys.readouterr().out


def test_a_partial_corpus_is_counted_not_silent(tmp_path, wav, capsys):
    raw = msp_corpus(tmp_path / "MSP", wav)
    next((raw / "Audios").glob("*0000.wav")).unlink()
    args = ["build", "msp-podcast", "--raw", str(raw), "--out", str(tmp_path / "out")]
    assert main(args) == 2 and "MSP-PODCAST_0001_0000" in capsys.readouterr().err
    assert main([*args, "--partial"]) == 0
    assert "- audio is missing, empty or damaged: 1" in capsys.readouterr().out


def test_audio_at_another_rate_trains_only_when_asked_to_convert(tmp_path, wav):
    raw, out = lime_part(tmp_path / "LIME", wav, groups=8), tmp_path / "out"
    assert main(["build", "lime-440k", "--raw", str(raw), "--out", str(out), "--partial", "--test-share", "0.3"]) == 0
    with pytest.raises(ValueError, match=r"test.jsonl:1 \(lime-A-.*22050 Hz, the model hears 16000 Hz"):
        AudioData(test=str(out / "test.jsonl")).setup("test")
    data = AudioData(test=str(out / "test.jsonl"), convert=True)
    data.setup("test")
    assert len(data.clips("test")[0].waveform) == pytest.approx(1600, abs=2)


def test_a_folder_with_other_names_says_what_was_found_and_never_only_that_nothing_is_left(tmp_path, wav, capsys):
    raw = tmp_path / "HumDial"
    (raw / "trainset" / "en").mkdir(parents=True)
    (raw / "trainset" / "en" / "task1.jsonl").write_text("{}\n")
    assert main(["build", "humdial", "--raw", str(raw), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "trainset/en/task1.jsonl" in message and "expected one of train/{zh,en}/*.jsonl" in message
