"""What the judge of HumDial is asked: our wording of the published rubric, on the challenge's dimensions and scales.

For the organisers' own text pass the content of their prompt file (`task2_promot.txt` for task 1, and so on) as
`template`: the placeholders are the same. The history shows the judge the gold emotion of every turn, as theirs does.
"""

import re

from cogrl.evaluate.humdial import Dialogue, Task

_ROLE = """You judge the last response of a voice assistant in an emotional conversation. Judge strictly, and by the
conversation below only. A middle score means acceptable; the top score means that nothing could be better.
"""
_HISTORY = """
Conversation, with the emotion of every user turn:
{conversation_history}

What the user asked last:
{user_question}

The response to judge:
{final_model_response}
"""
_TRAJECTORY = """
The user asked how their feelings changed. Score three dimensions with 1, 3 or 5, nothing between:
Accuracy_Completeness: does the response name every emotion tag of the conversation, in order, neutral included, and
none that is not there? 5: exactly. 3: one is left out, renamed or added. 1: most are missed, or the course is wrong.
Depth_Granularity: does it say how strong the feelings were and how they turned, in few words? 5: vivid and brief.
3: weak on strength, or wordy. 1: a bare list.
Added_Value: does it tie every emotion to what happened? 5: each one, clearly. 3: loosely. 1: it would fit anybody.
"""
_REASONING = """
The user asked why they feel so. Score three dimensions with 1, 3 or 5, nothing between:
Information_Integration: does the response use several turns and see how the topic went on? 5: all that matters.
3: some. 1: the last turn only.
Insight_RootCause: does it find the need, motive or conflict beneath the facts? 5: a convincing cause. 3: one on the
surface. 1: none, or a wrong one.
Clarity_Logic: is the explanation clear, in order and complete? 5: fully. 3: with gaps. 1: hard to follow.
"""
_EMPATHY = """
Conversation, with the emotion of every user turn; the last response is the one to judge:
{conversation_context}

Score three dimensions with whole points from 1 to 5:
textual_empathy_insight: 5 affirms the feeling and opens a new, helpful view; 4 affirms it with its reasons; 3 only
mirrors it; 2 is comfort from a template; 1 misses the matter.
vocal_empathy_congruence: 5 the voice carries the words' feeling in every shade; 4 its tone is right; 3 it is flat;
2 it is a little off; 1 it contradicts the words.
audio_quality_naturalness: 5 like a person; 4 nearly; 3 clear but synthetic; 2 robotic; 1 broken.
Leave out what you can not judge because no audio is given.
"""
_FORM = """
Answer with one JSON object and nothing else: {"scores": {dimension: score, ...}, "justification": {dimension: "one
sentence", ...}, "overall_comment": "one sentence"}
"""

TEMPLATES = {
    1: _ROLE + _HISTORY + _TRAJECTORY + _FORM,
    2: _ROLE + _HISTORY + _REASONING + _FORM,
    3: _ROLE + _EMPATHY + _FORM,
}


def prompt(task: Task, dialogue: Dialogue, target: int, template: str | None = None) -> str:
    """The judge's instructions about the response at turn `target`; later turns are not shown.

    `template` replaces our own text. Raises ValueError when it has no place for the conversation.
    """
    text = TEMPLATES[task.number] if template is None else template
    if "{conversation_history}" not in text and "{conversation_context}" not in text:
        raise ValueError("the template has no {conversation_history} or {conversation_context}")
    turns = dialogue.turns[: target + 1]
    history = "\n".join(f"User ({turn.emotion}): {turn.text}\nAI: {turn.response}" for turn in turns)
    values = {
        "conversation_history": history,
        "conversation_context": history,
        "user_question": turns[-1].text,
        "final_model_response": turns[-1].response,
    }
    # one pass and no str.format: the JSON of the form has braces of its own, and so may the conversation
    return re.sub(r"\{(" + "|".join(values) + r")\}", lambda match: values[match.group(1)], text)
