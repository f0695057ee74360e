"""Sentences that fit every emotion: what is refused and why; the grammar, a list, and a language model."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.retry import RetryPolicy
from cogrl.data.recipes.lime_grammar import FRAMES, GrammarWriter, ListWriter
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.data.recipes.lime_sentences import SENTENCES
from cogrl.data.recipes.lime_writer import Selection, SentenceRules, Writer
from cogrl.data.recipes.lime_writer_chat import ChatWriter
from cogrl.evaluate.polarity import text_sentiment

RULES = SentenceRules(polarity=text_sentiment)


def test_twenty_scenarios_four_of_them_from_the_figure():
    assert len(SCENARIOS) == 20 and len({s.about for s in SCENARIOS.values()}) == 20
    named = [name for name, scenario in SCENARIOS.items() if scenario.named]
    assert named == ["family_life", "workplace", "medical_care", "social_relations"]
    things = [thing for scenario in SCENARIOS.values() for thing in scenario.things]
    assert len(set(things)) == len(things) == 160


def test_every_sentence_of_the_grammar_passes_and_no_two_are_the_same():
    selection = Selection(dict.fromkeys(SCENARIOS, 160), RULES)
    GrammarWriter().write(selection, 0)
    assert selection.rejected == [] and len(selection._seen) == 3200
    old = {sentence for sentences in SENTENCES.values() for sentence in sentences}
    assert not old & {text for texts in selection.kept.values() for text in texts}


def test_the_example_of_the_paper_passes():
    assert RULES.validate("I never imagined the project would end like this.") is None
    zh = SentenceRules("zh")
    assert (
        zh.validate("我没想到项目会这样结束。") is None and RULES.validate("我没想到项目会这样结束。")[0] == "language"
    )
    assert zh.validate("I never imagined the project would end like this.")[0] == "language"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("So they came.", "length"),
        ("so " * 18 + "it went on like this.", "length"),
        ("I never imagined this would end like this!", "punctuation"),
        ("Did they ever tell you about the exam?", "punctuation"),
        ("They told me about it. And I came.", "punctuation"),
        ("They told me about it … this morning.", "punctuation"),
        ("-rf they told me about the exam.", "punctuation"),
        ("They told me <b>about</b> the exam.", "punctuation"),
        ("They told me about the exam", "punctuation"),
        ("I was so happy about the exam.", "emotion word"),
        ("It frightened me what they did there.", "emotion word"),
        ("They told me calmly about the exam.", "emotion word"),
        ("The exam was a terrible mess today.", "polarity"),
        ("They had a wonderful time at the exam.", "polarity"),
    ],
)
def test_a_sentence_that_leans_or_leaks_is_refused_with_the_reason(text, reason):
    assert RULES.validate(text)[0] == reason


def test_without_a_lexicon_only_the_polarity_goes_unchecked():
    blind = SentenceRules()
    assert blind.validate("The exam was a terrible mess today.") is None
    assert blind.validate("I was so happy about the exam.")[0] == "emotion word"


def test_equal_words_are_one_text_and_enough_is_enough():
    selection = Selection({"travel": 2, "sports": 1}, RULES)
    selection.offer("travel", "They told me about   the ferry this morning.")
    selection.offer("sports", "They told me, about the Ferry this morning.")
    assert selection.kept == {"travel": ["They told me about the ferry this morning."]}
    assert selection.reasons == {"duplicate": 1} and selection.missing("sports") == 1
    for place in ("ferry", "visa", "hotel"):
        selection.offer("travel", f"I just found out about the {place}.")
    assert len(selection.kept["travel"]) == 2 and selection.missing("travel") == 0
    with pytest.raises(ValueError, match=r"too few sentences \(sports 0 of 1; rejected: 1 for duplicate\); try more"):
        selection.check_complete("try more")


def test_the_grammar_is_drawn_by_the_seed():
    def made(seed, n):
        selection = Selection({"travel": n, "food": 3}, RULES)
        GrammarWriter().write(selection, seed)
        return selection.kept

    assert made(0, 5) == made(0, 5) != made(1, 5)
    assert made(0, 9)["travel"][:5] == made(0, 5)["travel"] and made(0, 9)["food"] == made(0, 5)["food"]
    assert len({text.partition("the ")[0] for text in made(0, 40)["travel"]}) > len(FRAMES) / 2


def test_more_than_the_grammar_has_and_other_languages_are_refused():
    with pytest.raises(ValueError, match=r"travel 160 of 161.*the grammar has 160 a scenario"):
        GrammarWriter().write(Selection({"travel": 161}, RULES), 0)
    with pytest.raises(ValueError, match=r"the grammar is English, the corpus is to be 'zh'.*ChatWriter"):
        GrammarWriter().write(Selection({"travel": 1}, SentenceRules("zh")), 0)


def lines(tmp_path, *entries):
    file = tmp_path / "list.jsonl"
    file.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return file


def test_a_list_is_taken_in_its_order_and_checked_like_any_other(tmp_path):
    texts = ["I am so happy about the visa.", "They told me about the visa.", "We waited for the ferry all day."]
    file = lines(
        tmp_path, *({"scenario": "travel", "text": text} for text in texts), "", {"scenario": "food", "text": "x"}
    )
    selection = Selection({"travel": 2}, RULES)
    assert ListWriter(file, "CC0").write(selection, 0) == "4 lines of list.jsonl"
    assert selection.kept == {"travel": texts[1:]} and selection.reasons == {"emotion word": 1}
    with pytest.raises(ValueError, match=r"travel 2 of 3.*add sentences to .*list\.jsonl"):
        ListWriter(file, "CC0").write(Selection({"travel": 3}, RULES), 0)
    assert (
        ListWriter(file, "CC0").version != ListWriter(lines(tmp_path, {"scenario": "food", "text": "x"}), "CC0").version
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [("{", "not JSON"), ('{"text": "x"}', "expected"), ('{"scenario": "casino", "text": "x"}', "casino")],
)
def test_a_broken_line_of_a_list_is_named(tmp_path, line, reason):
    file = lines(tmp_path, {"scenario": "travel", "text": "They told me about the visa."}, line)
    with pytest.raises(ValueError, match=rf"list\.jsonl:2: .*{reason}"):
        ListWriter(file, "CC0").write(Selection({"travel": 1}, RULES), 0)
    with pytest.raises(FileNotFoundError, match="expected lines such as"):
        ListWriter(tmp_path / "none.jsonl", "CC0")


class Model(BaseHTTPRequestHandler):
    """Writes sentences about the given thing; every third has a sentiment, every fourth repeats an earlier one."""

    asked: list[dict] = []
    down = False
    stubborn = False

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        material = json.loads(body["messages"][1]["content"])
        Model.asked.append({"material": material, "system": body["messages"][0]["content"], "body": body})
        number = int(material["variant"].split("-")[1])
        sentence = f"They spoke about {material['about']} for {number} days."
        sentence = {1: "I was glad they spoke about it.", 2: "They spoke about it for some days."}.get(
            number % 4, sentence
        )
        sentence = "What a wonderful day." if Model.stubborn else sentence
        message = {"role": "assistant", "content": json.dumps({"sentence": sentence})}
        answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(503 if Model.down else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def chat(tmp_path):
    Model.asked, Model.down, Model.stubborn = [], False, False
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "m")
    yield ChatClient(endpoint, RetryPolicy(attempts=2, pause_s=0.01), 8, tmp_path / "kept.sqlite")
    server.shutdown()
    server.server_close()


def test_a_model_is_asked_for_what_is_missing_until_there_is_enough(chat):
    selection = Selection({"travel": 5, "food": 2}, RULES)
    report = ChatWriter(chat, "the model's terms").write(selection, 3)
    assert [len(selection.kept[name]) for name in ("travel", "food")] == [5, 2]
    assert selection.reasons["emotion word"] >= 1 and selection.reasons["duplicate"] >= 1
    assert len(Model.asked) == 7 + len(selection.rejected) and report.count("answered") > 1
    first = next(
        a for a in Model.asked if a["material"]["variant"] == "3-0" and "journeys" in a["material"]["scenario"]
    )
    assert first["material"] == {
        "scenario": SCENARIOS["travel"].about,
        "about": "the flight",
        "language": "en",
        "variant": "3-0",
    }
    assert first["body"]["response_format"]["json_schema"]["schema"]["required"] == ["sentence"]
    assert "4 to 18 words" in first["system"]


def test_a_second_run_asks_nothing_and_ends_the_same(chat):
    first, second = (Selection({"travel": 6}, RULES) for _ in range(2))
    ChatWriter(chat, "x").write(first, 0)
    asked = len(Model.asked)
    ChatWriter(chat, "x").write(second, 0)
    assert len(Model.asked) == asked and (second.kept, second.rejected) == (first.kept, first.rejected)
    ChatWriter(chat, "x").write(Selection({"travel": 6}, RULES), 1)
    assert len(Model.asked) > asked


def test_a_model_that_can_not_write_neutrally_is_given_up_with_the_reasons(chat):
    Model.stubborn = True
    with pytest.raises(ValueError, match=r"travel 0 of 2; rejected: 4 for polarity.*raise writer\.rounds"):
        ChatWriter(chat, "x", rounds=2).write(Selection({"travel": 2}, RULES), 0)


def test_a_corpus_does_not_shrink_because_the_model_was_away(chat):
    Model.down = True
    with pytest.raises(
        ConnectionError, match=r"2 of 2 sentences did not come .*status 503.*run the same command again"
    ):
        ChatWriter(chat, "x").write(Selection({"travel": 2}, RULES), 0)


def test_writers_have_one_interface_and_a_model_without_a_memory_is_refused(chat, tmp_path):
    file = lines(tmp_path, {"scenario": "food", "text": "x"})
    assert all(isinstance(w, Writer) for w in (GrammarWriter(), ListWriter(file, "CC0"), ChatWriter(chat, "x")))
    with pytest.raises(ValueError, match=r"client\.cache"):
        ChatWriter(ChatClient(chat.endpoint), "x")
