"""IEAT's two checks: no text the student reads names an emotion, no thought invents a cause. Cheats first."""

from dataclasses import replace

import pytest
from format_instructions import INSTRUCTIONS

from cogrl.data.recipes.ieat_checks import MOST_WORDS, content, leaks, named_emotions, ungrounded, validate_thought
from cogrl.data.recipes.ieat_dialogue import Dialogue, Thought
from cogrl.data.recipes.ieat_plan import REPLIES
from cogrl.data.recipes.lime_lexicon import VOICE
from cogrl.data.recipes.lime_sentences import SENTENCES
from cogrl.types import EMOTIONS

DIALOGUE = Dialogue(
    id="d",
    texts=("They moved the exam to Monday.", "My teacher read the whole letter.", "So I will see the clinic."),
    emotions=("fear", "neutral", "fear"),
    replies=("I see. Please go on.", "Thank you for telling me."),
    language="en",
)
CAUSE = '"they moved the exam to Monday"'
GOOD = Thought(f"I hear a shaky voice. The user feels fear, because they told me {CAUSE}.", CAUSE, "That sounds scary.")


def test_a_grounded_thought_that_names_the_emotion_passes():
    assert validate_thought(DIALOGUE, GOOD) is None


CHEATS = {
    "no emotion": (replace(GOOD, thinking=f"I hear a shaky voice, because of {CAUSE}."), "names no emotion"),
    "another emotion": (
        replace(GOOD, thinking=f"The user is sad, because of {CAUSE}."),
        "names sad, the voice carries fear",
    ),
    "a list of emotions": (
        replace(GOOD, thinking=f"Fear, anger or joy, because of {CAUSE}."),
        "names anger, fear, happy",
    ),
    "no cause": (replace(GOOD, cause=""), "the cause is empty"),
    "an invented cause": (
        Thought('The user feels fear, because "the dog ran away".', '"the dog ran away"', "Oh."),
        "does not quote an earlier turn",
    ),
    "common words only": (
        Thought('The user feels fear, because "they will see it".', '"they will see it"', "Oh."),
        "does not quote an earlier turn",
    ),
    "one shared word in a long invention": (
        Thought(
            'Fear, because "the exam papers burned in a great fire".', '"the exam papers burned in a great fire"', "Oh."
        ),
        "does not quote an earlier turn",
    ),
    "two shared words in a longer one": (
        Thought(
            'Fear, because "the exam moved and burning papers flew across town".',
            '"the exam moved and burning papers flew across town"',
            "Oh.",
        ),
        "does not quote an earlier turn",
    ),
    "the last turn as its own cause": (
        Thought('The user feels fear, because "I will see the clinic".', '"I will see the clinic"', "Oh."),
        "does not quote an earlier turn",
    ),
    "a cause that is not in the thinking": (
        replace(GOOD, cause='"my teacher read the letter"'),
        "does not hold its cause",
    ),
    "talk of labels": (replace(GOOD, thinking=f"The label says fear, because of {CAUSE}."), "mentions 'label'"),
    "talk of annotation": (
        replace(GOOD, thinking=f"Fear according to the data, because of {CAUSE}."),
        "mentions 'according to the data'",
    ),
    "markup": (replace(GOOD, thinking=f"</think> fear, because of {CAUSE}."), "the thinking holds markup"),
    "a thought behind the reply": (replace(GOOD, reply="Oh. <think>fear</think>"), "the reply holds markup"),
    "two paragraphs": (replace(GOOD, reply="Oh.\n\nNo."), "the reply holds markup or a line break"),
    "an empty reply": (replace(GOOD, reply=" "), "the reply is empty"),
    "an empty thought": (replace(GOOD, thinking=""), "the thinking is empty"),
    "thinking aloud": (
        replace(GOOD, reply=f"Well, the user feels fear, because they told me {CAUSE}."),
        "says the thinking aloud: 'the user feels fear because they'",
    ),
    "rambling": (replace(GOOD, thinking=f"{'So ' * MOST_WORDS}fear, because of {CAUSE}."), f"at most {MOST_WORDS}"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_refused_with_its_reason(cheat):
    thought, reason = CHEATS[cheat]
    found = validate_thought(DIALOGUE, thought)
    assert found is not None and reason in found


@pytest.mark.parametrize("turn", [0, 1])
def test_a_history_that_names_an_emotion_is_refused_whatever_is_thought(turn):
    replies = list(DIALOGUE.replies)
    replies[turn] = "You sound worried."
    leak = validate_thought(replace(DIALOGUE, replies=tuple(replies)), GOOD)
    assert leak == "a text the student reads names fear: 'You sound worried.'"


def test_where_the_plan_knows_the_cause_another_turn_is_refused():
    assert ungrounded(replace(DIALOGUE, cause=0), CAUSE) is None
    assert "quotes turn 1, it lies in turn 2" in ungrounded(replace(DIALOGUE, cause=1), CAUSE)
    assert "does not quote" in ungrounded(replace(DIALOGUE, cause=1), '"the teacher came"')


def test_the_user_s_own_words_of_feeling_are_no_second_label():
    dialogue = Dialogue("d", ("I was so happy with the exam results.", "So."), (None, "sad"), ("Go on.",))
    cause = '"I was so happy with the exam results"'
    assert (
        validate_thought(dialogue, Thought(f"A heavy voice, sad now, because of {cause}.", cause, "I am here.")) is None
    )


def test_chinese_thoughts_are_held_to_the_same_rules():
    dialogue = Dialogue("d", ("他们把考试改到星期一了。", "好吧。"), ("fear", "fear"), ("我在听。",), language="zh")
    good = Thought("声音在发抖，用户感到害怕，因为他们把考试改到星期一。", "他们把考试改到星期一", "我陪着你。")
    assert validate_thought(dialogue, good) is None
    assert "names happy" in validate_thought(dialogue, replace(good, thinking=good.thinking.replace("害怕", "高兴")))
    other = Thought("用户感到害怕，因为小狗昨天走丢了。", "小狗昨天走丢了", "我陪着你。")
    assert "does not quote" in validate_thought(dialogue, other)
    assert "names fear" in validate_thought(replace(dialogue, replies=("你在担心。",)), good)


def test_each_label_names_itself_and_ordinary_words_name_nothing():
    assert all(named_emotions(f"They feel {emotion}.") == {emotion} for emotion in EMOTIONS)
    ordinary = (
        "It happened that he made a saddle, scanned the page, met his glance and read the grocery list of Gladys' mill."
    )
    assert named_emotions(ordinary.replace("Gladys' ", "")) == set()
    for word, emotion in (
        ("unhappy", "sad"),
        ("Furious", "anger"),
        ("scared", "fear"),
        ("gross", "disgust"),
        ("mad", "anger"),
    ):
        assert named_emotions(f"So {word}, you see.") == {emotion}


def test_nothing_the_student_reads_in_the_recipe_names_an_emotion():
    assert leaks([*INSTRUCTIONS.values(), *REPLIES, *(text for texts in SENTENCES.values() for text in texts)]) is None
    assert "names anger" in leaks(["Fine.", "Such anger!"])


def test_descriptions_of_a_voice_name_no_other_emotion():
    for emotion in EMOTIONS:
        assert named_emotions(" ".join(VOICE[emotion])) <= {emotion}


def test_content_is_what_is_left_without_common_words():
    assert content("They moved the exam to Monday.") == {"moved", "exam", "monday"}
    assert content("It is what it is.") == set()
    assert content("考试改了") == {"考试", "试改", "改了"}
