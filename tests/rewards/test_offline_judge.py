import itertools
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from replies import LADDER, NATURAL, USER_TEXT

from cogrl.data.recipes.lime_lexicon import INTENT, PSYCHOLOGY, STRATEGY, TOPICS
from cogrl.data.recipes.lime_replies import ACTION, NEED, OPENING
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.types import EMOTIONS, INTENSITIES

ROOT = Path(__file__).parents[2]
JUDGE = OfflineJudge()
GOLD = {
    emotion: [
        " ".join(clauses)
        for intensity in INTENSITIES
        for clauses in itertools.product(OPENING[emotion][intensity], NEED[emotion], ACTION[emotion])
    ]
    for emotion in EMOTIONS
}


def empathy(emotion, reply, text=USER_TEXT):
    return JUDGE.empathy(text, emotion, reply)


def shuffled(reply, rng):
    words = reply.split()
    rng.shuffle(words)
    return " ".join(words)


def shuffled_and_tidied(reply, rng):
    words = [word if word == "I" else word.lower() for word in (w.strip(".,!?") for w in reply.split())]
    rng.shuffle(words)
    return " ".join([words[0].capitalize(), *words[1:]]) + "."


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_four_rungs_of_the_rubric_score_one_to_four(emotion):
    assert [empathy(emotion, reply) for reply in LADDER[emotion]] == [1, 2, 3, 4]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_targets_score_high_for_their_emotion_and_low_for_the_others(emotion):
    assert mean(empathy(emotion, reply) for reply in GOLD[emotion]) >= 3.7
    others = [empathy(other, reply) for reply in GOLD[emotion] for other in EMOTIONS if other != emotion]
    assert mean(others) <= 1.6


def test_replies_by_another_hand_are_understood_too():
    own = [empathy(emotion, reply) for emotion in EMOTIONS for reply in NATURAL[emotion]]
    assert min(own) >= 3 and mean(own) >= 3.7
    assert all(empathy(o, reply) == 1 for e in EMOTIONS for o in EMOTIONS if o != e for reply in NATURAL[e])


def test_shuffling_the_words_lowers_the_score():
    rng = random.Random(0)
    replies = [(emotion, rng.choice(GOLD[emotion])) for emotion in EMOTIONS for _ in range(60)]
    plain = [empathy(emotion, shuffled(reply, rng)) for emotion, reply in replies]
    tidied = [empathy(emotion, shuffled_and_tidied(reply, rng)) for emotion, reply in replies]
    assert mean(plain) < 1.1 and mean(tidied) < 2.0
    assert sum(score < 4 for score in tidied) > 0.9 * len(tidied)


def test_a_reply_cut_off_before_its_end_is_no_four():
    for emotion in EMOTIONS:
        assert empathy(emotion, GOLD[emotion][0].rstrip(".!?")) == 3


def test_naming_a_second_feeling_costs_and_naming_its_opposite_costs_all():
    reply = "You sound angry, and it is not fair to you. Let us cool down first."
    assert empathy("anger", reply) == 4
    assert empathy("anger", reply + " You sound scared as well.") == 2
    assert empathy("anger", reply + " You sound delighted as well.") == 1
    assert empathy("anger", reply + " You sound scared and also sad.") == 1


def test_a_denied_feeling_is_no_evidence():
    assert empathy("anger", "You are angry about this, and I can hear it in your voice.") == 3
    assert empathy("anger", "You are not angry about this, and I can hear it in your voice.") == 1
    assert empathy("anger", "You are no doubt angry about what they did to you.") == 3


def test_the_needs_of_another_feeling_do_not_deepen_a_reply():
    assert empathy("anger", "You sound angry about it, and I hear you. It is not fair.") == 4
    assert empathy("anger", "You sound angry about it. It is not fair, and you need some comfort.") == 3
    assert empathy("anger", "You sound angry about it. You need some comfort, so lean on me.") == 2


def test_good_and_bad_at_once_is_no_direction():
    assert empathy("anger", "That is really hard for everyone who has to live with it.") == 2
    assert empathy("anger", "That is great, and really hard for everyone who has to live with it.") == 1


def test_one_word_is_not_both_the_feeling_and_the_need():
    assert empathy("happy", "You sound so proud of what came out in the end.") == 3


def test_a_word_that_two_feelings_share_counts_for_the_one_in_the_voice():
    for emotion in ("anger", "sad"):
        assert empathy(emotion, "You sound really upset about what came out in the end.") == 3


def test_the_feeling_must_be_the_users():
    assert empathy("fear", "You are so terrified and scared of what may come out of this.") == 3
    assert empathy("fear", "I am so terrified and scared of what may come out of this.") == 1
    assert empathy("happy", "I am so happy for you that this came out right.") == 3


def test_dismissing_the_feeling_is_worth_nothing():
    good = "You sound angry, and it is not fair to you."
    assert empathy("anger", good) == 4
    for dismissal in ("Get over it.", "You are overreacting here.", "It could be worse.", "Just calm down now."):
        assert empathy("anger", f"{good} {dismissal}") == 1


def test_quoting_the_user_caps_the_score():
    good = "You sound angry, and it is not fair to you. Let us cool down first."
    assert empathy("anger", good, "I have it here.") == 4
    assert empathy("anger", f"{good} {USER_TEXT}") == 2
    assert empathy("anger", f"You sound angry. {USER_TEXT}") == 1


def test_an_offer_of_help_is_not_joy():
    assert empathy("happy", "I am happy to help with this whenever it suits you.") == 1


def test_curly_apostrophes_and_contractions_read_like_plain_words():
    assert empathy("anger", "You’re furious, and it isn’t fair. Let’s cool down before you reply.") == 4


def test_length_limits_are_arguments():
    short = "You sound angry."
    assert empathy("anger", short) == 1
    assert OfflineJudge(min_words=3).empathy(USER_TEXT, "anger", short) == 3
    assert OfflineJudge(max_words=5).empathy(USER_TEXT, "anger", GOLD["anger"][0]) == 1


@pytest.mark.parametrize(("name", "table"), [("Intent", INTENT), ("Psychology", PSYCHOLOGY), ("Strategy", STRATEGY)])
def test_target_steps_fit_their_own_emotion(name, table):
    for emotion in EMOTIONS:
        topics = TOPICS if name == "Intent" else {None: ""}
        for scenario, topic in topics.items():
            steps = [step.format(topic) for step in table[emotion]]
            assert mean(JUDGE.step(name, emotion, scenario, step) for step in steps) >= 0.9
            others = [JUDGE.step(name, o, scenario, step) for step in steps for o in EMOTIONS if o != emotion]
            assert mean(others) <= 0.2


def test_a_step_is_paid_for_emotion_first_and_form_second():
    assert JUDGE.step("Intent", "anger", "workplace", "Wants to be heard about this thing at work.") == 1.0
    assert JUDGE.step("Intent", "anger", "travel", "Wants to be heard about this thing at work.") == pytest.approx(0.8)
    assert JUDGE.step("Intent", "anger", None, "Wants to be heard about this thing at work.") == 1.0
    assert JUDGE.step("Intent", "anger", "workplace", "Wants to talk about this thing at work.") == pytest.approx(0.1)
    assert JUDGE.step("Intent", "sad", "workplace", "Wants to be heard about this thing at work.") == 0.0


@pytest.mark.parametrize(
    "content",
    [
        "fair fair fair fair",
        "angry unfair heard respect justice vent",
        "Wants fairness, wants comfort, wants safety, wants distance, wants to celebrate.",
        "Heard. Fair. Respect. Wants.",
        "fair",
    ],
)
def test_stuffed_steps_score_nothing(content):
    assert JUDGE.step("Intent", "anger", None, content) == 0.0


def test_a_scenario_of_another_corpus_is_known_by_its_own_words():
    assert JUDGE.step("Intent", "anger", "customer service", "Wants a fair answer from customer service.") == 1.0


def test_an_unknown_step_name_is_refused():
    with pytest.raises(KeyError):
        JUDGE.step("Perception", "anger", None, "Wants a fair answer.")


TIMING = """
import sys, time
from cogrl.rewards.offline_judge import OfflineJudge
judge, batch, best = OfflineJudge(), eval(sys.stdin.read()), 1.0
for _ in range(5):
    start = time.process_time()
    for emotion, reply in batch:
        judge.empathy("They moved the review.", emotion, reply)
    best = min(best, time.process_time() - start)
print(best)
"""


def test_sixty_four_replies_take_less_than_twenty_milliseconds():
    rng = random.Random(0)
    batch = [(emotion, rng.choice(GOLD[emotion])) for emotion in rng.choices(EMOTIONS, k=64)]
    # In its own process, because the type checks of the test run would be timed as well.
    done = subprocess.run(
        [sys.executable, "-c", TIMING], input=repr(batch), capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert float(done.stdout) < 0.02
