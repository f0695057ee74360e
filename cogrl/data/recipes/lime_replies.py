"""The clauses LIME-mini replies are composed from, per emotion: opening (by intensity), need, next step.

Data, no logic. Word counts are part of the contract (a test enumerates every combination): openings have 4-6 words,
needs and actions 4-7, so that a reply has 12-20 words.
"""

from cogrl.types import Emotion, Intensity

OPENING: dict[Emotion, dict[Intensity, list[str]]] = {
    "anger": {
        "low": [
            "I hear that this annoys you.",
            "You sound a bit annoyed.",
            "That is a little frustrating.",
            "I can hear some frustration.",
        ],
        "mid": [
            "I hear that you are angry.",
            "You sound angry and frustrated.",
            "No wonder you are mad.",
            "Your anger makes sense here.",
        ],
        "high": [
            "I hear how furious you are.",
            "You sound absolutely furious.",
            "No wonder you are so furious.",
            "Your rage makes complete sense.",
        ],
    },
    "happy": {
        "low": [
            "I am glad for you.",
            "That is a nice moment.",
            "You sound pleased about it.",
            "I can hear you smile.",
        ],
        "mid": [
            "I am so happy for you!",
            "You sound happy and proud.",
            "What lovely, happy news this is!",
            "Your joy is lovely to hear.",
        ],
        "high": [
            "Wow, I am thrilled for you!",
            "You sound absolutely thrilled!",
            "What fantastic, wonderful news this is!",
            "Your joy is bursting out!",
        ],
    },
    "sad": {
        "low": [
            "I hear that this saddens you.",
            "You sound a bit down.",
            "I am sorry you feel low.",
            "I can hear some sadness.",
        ],
        "mid": [
            "I am sorry you are sad.",
            "You sound sad and hurt.",
            "I hear how sad you are.",
            "Your sadness makes sense here.",
        ],
        "high": [
            "I am so sorry, how heartbreaking.",
            "You sound completely heartbroken.",
            "I hear how deeply you grieve.",
            "Your heart must be breaking.",
        ],
    },
    "surprise": {
        "low": [
            "That is a bit unexpected.",
            "You sound a little surprised.",
            "Oh, you did not expect this.",
            "I can hear some surprise.",
        ],
        "mid": [
            "That really surprised you.",
            "You sound surprised by this.",
            "Oh, what a surprise for you.",
            "Your surprise makes sense here.",
        ],
        "high": [
            "Wow, that must be a shock!",
            "You sound completely stunned!",
            "What a huge surprise this is!",
            "No wonder you are so shocked!",
        ],
    },
    "fear": {
        "low": [
            "I hear that this worries you.",
            "You sound a bit nervous.",
            "That is a little worrying.",
            "I can hear some worry.",
        ],
        "mid": [
            "I hear that you are afraid.",
            "You sound scared and worried.",
            "That sounds scary for you.",
            "Your fear makes sense here.",
        ],
        "high": [
            "I hear how terrified you are.",
            "You sound absolutely terrified.",
            "That must be truly frightening.",
            "No wonder you are so frightened.",
        ],
    },
    "disgust": {
        "low": [
            "I hear that it repels you.",
            "You sound a bit disgusted.",
            "That is a little gross.",
            "I can hear some disgust.",
        ],
        "mid": [
            "I hear that it disgusts you.",
            "You sound disgusted by this.",
            "Ugh, that sounds really nasty.",
            "Your disgust makes sense here.",
        ],
        "high": [
            "Ugh, that is utterly revolting.",
            "You sound absolutely revolted.",
            "That must be truly sickening.",
            "No wonder it makes you sick.",
        ],
    },
    "neutral": {
        "low": [
            "Okay, thanks for telling me.",
            "Alright, I have noted that.",
            "Okay, that is noted.",
            "Thanks, that is clear.",
        ],
        "mid": [
            "Okay, I understand the situation.",
            "Thanks for the information.",
            "Alright, I have noted it.",
            "Okay, that is clear to me.",
        ],
        "high": [
            "Okay, I understand it fully.",
            "Thanks for the clear update.",
            "Alright, I have noted every detail.",
            "Okay, that is perfectly clear.",
        ],
    },
}

NEED: dict[Emotion, list[str]] = {
    "anger": [
        "It was not fair to you.",
        "You deserve to be heard.",
        "You have a right to respect.",
        "Being treated unfairly is hard to bear.",
    ],
    "happy": [
        "You earned this good moment.",
        "Joy like this should be shared.",
        "You have every reason to be proud.",
        "It is good to enjoy this.",
    ],
    "sad": [
        "You do not have to be alone.",
        "A loss like this needs comfort.",
        "It is okay to cry.",
        "You deserve some gentle care.",
    ],
    "surprise": [
        "Nobody could have seen that coming.",
        "It takes time to take in.",
        "You were caught off guard.",
        "It came out of nowhere.",
    ],
    "fear": [
        "You need to feel safe.",
        "You are safe with me now.",
        "Not knowing what comes is scary.",
        "You do not face this danger alone.",
    ],
    "disgust": [
        "You need some distance from it.",
        "Nobody should put up with it.",
        "Your boundary matters here.",
        "You have a right to walk away.",
    ],
    "neutral": [
        "It seems quite straightforward.",
        "There is no rush about it.",
        "We can keep this simple.",
        "The facts are easy to follow.",
    ],
}

ACTION: dict[Emotion, list[str]] = {
    "anger": [
        "Cool down first, then speak up.",
        "Let it all out, I am listening.",
        "Breathe first, then demand a fair answer.",
        "Let us find a fair fix.",
    ],
    "happy": [
        "Let us celebrate it together!",
        "Take time to savour every bit.",
        "Tell me the best part!",
        "Share it with people you love!",
    ],
    "sad": [
        "I will stay with you for now.",
        "Let us sit quietly together.",
        "Lean on me and rest.",
        "Talk to me about what you miss.",
    ],
    "surprise": [
        "Let us make sense of it together.",
        "Take a moment to take it in.",
        "Pause, then tell me what changed.",
        "Let us check the new facts together.",
    ],
    "fear": [
        "Let us make a safe plan together.",
        "Breathe slowly, one small step now.",
        "I will stay until you feel safe.",
        "Let us prepare for it together.",
    ],
    "disgust": [
        "Step away and get fresh air.",
        "Let us keep it far from you.",
        "Make a clean break from it.",
        "Wash it off and start clean.",
    ],
    "neutral": [
        "Tell me what you need next.",
        "Shall I write down the details?",
        "I can help with the practical side.",
        "Let me know about any changes.",
    ],
}
