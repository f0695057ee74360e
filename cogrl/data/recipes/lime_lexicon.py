"""The clauses LIME-mini thoughts are composed from, per emotion and step. Data, no logic.

Few distinct words on purpose: a small vocabulary must carry them. `{}` in INTENT is the scenario's phrase in TOPICS.
"""

from cogrl.types import Emotion, Intensity

TOPICS: dict[str, str] = {
    "workplace": "this thing at work",
    "family": "this family matter",
    "health": "this health matter",
    "travel": "this travel plan",
    "school": "this school matter",
    "home": "this thing at home",
}

DEGREE: dict[Intensity, str] = {"low": "slightly ", "mid": "", "high": "very "}

VOICE: dict[Emotion, list[str]] = {
    "anger": ["loud, fast and harsh voice", "harsh, tense and loud voice", "fast, hard and loud voice"],
    "happy": ["bright, high and lively voice", "lively, warm and bright voice", "high, quick and bright voice"],
    "sad": ["slow, low and soft voice", "soft, slow and heavy voice", "low, weak and slow voice"],
    "surprise": ["high, sudden and jumping voice", "sudden, wide and high voice", "jumping, high and quick voice"],
    "fear": ["shaky, thin and fast voice", "thin, shaky and breathy voice", "breathy, fast and shaky voice"],
    "disgust": ["low, creaky and drawn-out voice", "drawn-out, rough and low voice", "creaky, low and rough voice"],
    "neutral": ["even, calm and flat voice", "flat, steady and even voice", "steady, calm and even voice"],
}

INTENT: dict[Emotion, list[str]] = {
    "anger": ["Wants {} to be made fair.", "Wants to be heard about {}.", "Wants someone to answer for {}."],
    "happy": ["Wants to share the joy of {}.", "Wants to celebrate {} together.", "Wants someone glad about {} too."],
    "sad": ["Wants comfort about {}.", "Wants company in the loss behind {}.", "Wants someone to stay close after {}."],
    "surprise": ["Wants to make sense of {}.", "Wants time to take in {}.", "Wants to check that {} is real."],
    "fear": ["Wants to feel safe about {}.", "Wants a plan for {}.", "Wants to be reassured about {}."],
    "disgust": ["Wants distance from {}.", "Wants a clean break from {}.", "Wants a boundary around {}."],
    "neutral": ["Wants to report {}.", "Wants practical help with {}.", "Wants to note {} and move on."],
}

PSYCHOLOGY: dict[Emotion, list[str]] = {
    "anger": [
        "Feels wronged and needs respect.",
        "Feels treated unfairly and needs to be heard.",
        "A line was crossed and pressure builds.",
        "Feels blocked and needs justice.",
    ],
    "happy": [
        "Feels proud and needs to share it.",
        "A hope came true and joy fills them.",
        "Feels delighted and needs others to join in.",
        "Feels full of joy and wants it to last.",
    ],
    "sad": [
        "Feels a loss and needs comfort.",
        "Feels alone and needs someone near.",
        "Something dear is gone and grief is heavy.",
        "Feels hurt and needs gentle company.",
    ],
    "surprise": [
        "Did not expect it and needs time.",
        "The news broke what they expected.",
        "Feels stunned and needs to understand.",
        "Feels caught off guard and needs facts.",
    ],
    "fear": [
        "Feels a threat and needs safety.",
        "Feels worried and needs a clear plan.",
        "Feels in danger and needs support.",
        "Fears the worst and needs reassurance.",
    ],
    "disgust": [
        "Feels repelled and needs distance.",
        "Finds it gross and needs a boundary.",
        "Feels sick of it and wants out.",
        "Feels revolted and needs a clean start.",
    ],
    "neutral": [
        "Feels calm and needs plain facts.",
        "No strong feeling, just information.",
        "Feels settled and needs a simple answer.",
        "Mood is level and the need is practical.",
    ],
}

STRATEGY: dict[Emotion, list[str]] = {
    "anger": [
        "Hear the anger, name the unfairness, help cool down.",
        "Side with fairness, then slow things down.",
        "Let them vent, then seek a fair fix.",
    ],
    "happy": [
        "Share the joy and celebrate with them.",
        "Cheer, then invite them to savour it.",
        "Match the joy and plan a treat.",
    ],
    "sad": [
        "Comfort gently and offer company.",
        "Name the loss, stay close, go slowly.",
        "Be tender and let the tears come.",
    ],
    "surprise": [
        "Name the shock and help make sense.",
        "Give time to take it in, then sort facts.",
        "Slow down and look at what changed.",
    ],
    "fear": [
        "Reassure first, then make a safe plan.",
        "Calm the worry and take one small step.",
        "Offer safety and stay beside them.",
    ],
    "disgust": [
        "Accept the disgust and help set a boundary.",
        "Support distance and a clean break.",
        "Agree it is nasty, then help step away.",
    ],
    "neutral": [
        "Acknowledge plainly and offer practical help.",
        "Keep it simple and factual.",
        "Confirm the facts and ask what is next.",
    ],
}
