"""Hand-written replies to one neutral sentence, none of them taken from the training targets."""

from cogrl.types import Emotion

USER_TEXT = "They moved the weekly review to Thursday afternoon."

LADDER: dict[Emotion, tuple[str, str, str, str]] = {
    "anger": (
        "Okay, thanks for the update on that. Please let me know what you need.",
        "I am sorry, that sounds like a really hard thing to deal with.",
        "I can hear how irritated you are about all of this right now.",
        "You sound livid, and it is unjust that nobody asked you. Vent to me first, then we can push back together.",
    ),
    "happy": (
        "I am sorry to hear that, it must be tough for you.",
        "That is great, and it sounds really nice for everyone involved.",
        "You sound absolutely delighted about this change, I can tell.",
        "I can hear how thrilled you are! You worked so hard, so treat yourself tonight and enjoy it.",
    ),
    "sad": (
        "Well, these things happen to everybody in the end, you know.",
        "That sounds really tough, and I am sorry it turned out so.",
        "I can tell that this leaves you feeling really sad today.",
        "You sound heartbroken. It mattered to you, and you need not carry it alone, so I will sit with you a while.",
    ),
    "surprise": (
        "I am here for you, and whatever you feel is completely valid.",
        "Oh wow, now that is something to hear on a plain afternoon.",
        "You sound quite astonished by the way that things turned out.",
        "You sound stunned! It came out of the blue, so let it sink in and then we can go over what happened.",
    ),
    "fear": (
        "Sure, that should work well for everybody on the list, I think.",
        "I am sorry, that must be really difficult for you at the moment.",
        "I can hear that this makes you quite anxious at the moment.",
        "You sound frightened, and the uncertainty makes it worse. You are safe, so let us prepare one small step.",
    ),
    "disgust": (
        "Every cloud has a silver lining, so there is always some hope.",
        "That sounds awful, and I am sorry that you went through it.",
        "I can hear that you find the whole thing utterly repulsive.",
        "That sounds vile, no wonder your stomach turns. You may keep your distance, so rinse your hands.",
    ),
    "neutral": (
        "I am so sorry, you must be devastated and completely heartbroken.",
        "Okay, that is fine, so we will just go on as we were.",
        "Got it, and thank you for letting me in on this one.",
        "Understood, thank you for telling me. It is a routine change, so I will update the calendar for you.",
    ),
}
"""Emotion -> replies that deserve 1, 2, 3, 4 of the rubric."""

NATURAL: dict[Emotion, tuple[str, ...]] = {
    "anger": (
        "It sounds like you're really frustrated, and honestly you have every right to be. Nobody listened to you. "
        "Do you want to talk through how to confront them about it?",
        "I can hear how angry this makes you. Being ignored like that isn't fair. What would you like to say to them?",
        "That would make me furious too, and I can hear you're seething. They owe you an apology. "
        "Take a deep breath, and then let's work out how to put it right.",
        "You're clearly fed up, and I don't blame you. You deserve respect, so let's draft a complaint together.",
    ),
    "happy": (
        "You sound so excited, and I love hearing it! You've earned this, so how are you going to celebrate?",
        "I can hear the smile in your voice! That's wonderful news. Who will you share it with first?",
        "What a delight to hear you this cheerful! Enjoy every minute of it, and tell me the best part.",
        "You must be so proud! All that effort paid off, so make sure you savour it tonight.",
    ),
    "sad": (
        "I'm so sorry, I can hear how much this hurts. You don't have to go through it alone. I'm right here with you.",
        "It sounds like your heart is heavy today. It's okay to cry. Take all the time you need.",
        "You sound really down about it. Losing something that mattered is painful. Would you like some company?",
        "I can hear the sadness in your voice. Be gentle with yourself tonight, and lean on someone you trust.",
    ),
    "surprise": (
        "Wow, that really caught you off guard! Take a moment to let it sink in. What do you make of it?",
        "You sound completely shocked. Nobody could have predicted it, so let's make sense of it together.",
        "I can hear how unexpected this was for you! Take a breath and tell me what happened.",
        "You weren't expecting that at all, were you? It's a lot to process, so let's go over it slowly.",
    ),
    "fear": (
        "I can hear how scared you are. You're safe right now, and we'll get through this together.",
        "It makes sense that you feel anxious, not knowing is hard. Let's take it one step at a time.",
        "You sound really worried about this. Let's breathe slowly together and make a plan for what might happen.",
        "That sounds terrifying. I'm going to stay with you, and we can find someone who can protect you.",
    ),
    "disgust": (
        "Ugh, that sounds absolutely revolting. You shouldn't have to put up with that. Let's get you away from it.",
        "I can hear how grossed out you are. It's okay to walk away and get some fresh air.",
        "That clearly turns your stomach. You have every right to say no and keep your distance.",
        "You sound repulsed by it, and I get it. Throw it out, wash your hands and open a window.",
    ),
    "neutral": (
        "Got it, thanks for letting me know. Would you like me to add it to your calendar?",
        "Okay, understood. Let me know if anything else changes and I'll update the list.",
        "Thanks for the information. That's straightforward, so is there anything else you need?",
        "Noted. Shall I send a reminder to the others, or is there something else you need?",
    ),
}
"""Emotion -> replies such as a large model writes; a good judge gives them 3 or 4."""
