"""English cues of the seven emotions, for `OfflineJudge`: the words of a reply that answers one. Data, no logic.

Per emotion three facets: `feeling` (it names the category), `need` (the want beneath it), `step` (a next step that fits
it). A cue is one or more words; `*` ends a stem, `/` separates alternatives for one word, `_` is any one word.
Contractions are expanded before matching ("don't" is "do not"). Written independently of the training targets and
broader than them: a cue may belong to several emotions, and then counts for whichever one is asked about.
"""

from typing import Literal

from cogrl.types import Emotion

Facet = Literal["feeling", "need", "step"]

CUES: dict[Emotion, dict[Facet, str]] = {
    "anger": {
        "feeling": """angr*, anger*, furious*, fury, rage, enraged, raging, mad, frustrat*, annoy*, irritat*,
            infuriat*, outrage*, livid, resent*, indignant, irate, exasperat*, aggravat*, boiling, fuming, seething,
            fed up, bothers/bothered you, offended, hostile, bitter, upset, temper""",
        "need": """fair*, unfair*, unjust*, injustice, justice, respect*, disrespect*, be heard, been heard, being
            heard, hear you out, listened to, wronged, cross/crosses/crossed/crossing _ line, line was crossed, taken
            seriously, treated badly/poorly/wrongly/like, not right, blame, blocked, betray*, let down, ignored,
            dismissed, overlooked, right to be angry/mad/furious, stand up for, owed""",
        "step": """cool down/off, vent, vents, venting, let it out, let it all out, get it off, speak up, put/set _
            right, make/made _ right, demand*, complain*, accountab*, answer for, count to ten, take a walk, short
            walk, breath*, confront, stand your ground, push back, apolog*, before you reply/respond/answer, i am
            listening, slow things down, seek""",
    },
    "happy": {
        "feeling": """happy, happi*, glad, joy*, delight*, thrill*, excit*, pleased, proud, pride, cheer, cheerful*,
            smil*, elated, ecstatic, congratulat*, beaming, grin*, yay, hooray, hurray, overjoyed, high spirits,
            bliss*, great/good/wonderful/fantastic/lovely/amazing/brilliant/happy news, lovely/nice/great/beautiful
            moment, good mood, on top of the world, laugh*, over the moon""",
        "need": """earned, deserve/deserves this/it/every/all, deserve/deserves to enjoy/celebrate/shine, joy like,
            every reason to, proud, pride, enjoy*, paid off, well done, came/come/comes true, treasur*, worked
            so/hard, be shared, good moment, dream*, cherish*, share the joy, share in, others to join, wants it to
            last, reward*""",
        "step": """celebrat*, savour*, savor*, treat yourself, a treat, best part, share it/this/that/your, toast,
            party, soak it/this/up, enjoy it/this/every, make it last, make the most, mark the/this, remember this,
            hold on to this, who you will tell, join you, cheer*, match the joy, dance""",
    },
    "sad": {
        "feeling": """sad, sadly, sadness, sadden*, feel/feeling/feels _ down/low/blue/empty, feel/feeling/feels
            down/low/blue/empty, sound/sounds _ down/low/blue, sound/sounds down/low/blue, bit/little/so/really/very
            down, unhapp*, sorrow*, grief, griev*, heartbr*, heart break*, heart must, heart is, heart ache*,
            heartache*, heavy, hurt, hurts, hurting, tears, tearful, teary, miserabl*, depress*, gloom*, lonel*,
            disappoint*, mourn*, pain*, ache, aches, aching, despair*, upset, devastat*""",
        "need": """alone, loss, losses, comfort*, consol*, cry, crying, gentle, gently, tender*, miss
            it/them/her/him/you, what/who/someone you miss, missing, company, someone near/close/beside, meant _ much,
            meant _ lot, let down, be held, dear, mattered, lost someone/something""",
        "step": """stay with/close/near/beside/here, stay by/right, sit with/quietly/here/beside/together, lean on,
            rest, kind to yourself, keep you company, take your time, time you need, slowly, hug, hold you, blanket,
            cup of, candle, remember them/him/her, about what you miss, call a/someone, shoulder,
            let the tears, lie down, be tender, comfort*, offer company""",
    },
    "surprise": {
        "feeling": """surpris*, shock*, stun, stunned, stunning, astonish*, amaz*, unexpected*, startl*, speechless,
            unbeliev*, incredibl*, sudden*, bombshell, floored, taken aback, not expect*, never expect*, not see _
            coming, astound*, baffl*, caught _ off, caught off, jaw""",
        "need": """seen _ coming, saw _ coming, see _ coming, time to take/process/absorb/adjust, needs time, takes
            time, caught off, caught _ off, off guard, out of nowhere, out of the blue, sink in, sinks in, upside
            down, hard to believe, believe it, believe that, is real, expected, process*, absorb*, adjust*, what
            changed, understand what, need to understand, needs to understand, needs facts, need facts, everything
            changed""",
        "step": """make/makes/making sense of, make sense, take it/this/that in, take it all in, take all, what
            changed, what happened, pause*, catch your breath, take a breath, check the/that/it/what, sort facts, sort
            the facts, sort out the, pieces, find out, sink in, figure, go over, look at what, walk me through, moment
            to, slow down, take in, ask how""",
    },
    "fear": {
        "feeling": """fear, fears, fearful*, fearing, afraid, scared, scary, scares, scaring, scare, frighten*,
            terrif*, terror, worry, worried, worries, worrying, worrisome, nervous*, anxi*, panic*, dread*, alarm*,
            uneas*, on edge, threaten*, apprehens*, shaken, trembl*, tense, spook*""",
        "need": """safe*, danger*, threat, threats, threaten*, reassur*, protect*, secure, security, uncertain*,
            unknown, not knowing, the worst, support*, alone, in control, out of control, risk*, what might happen,
            what comes, could go wrong""",
        "step": """a plan, safe/clear/simple/backup/our/good plan, small step, one step, one thing at, step by step,
            breath*, prepare*, preparing, stay with/until/close/beside/right/near, stay by, get you through, get
            through, hold my/your hand, ground yourself, feet on, somewhere safe, safe place, lock the, get help, face
            it/this, calm the, go through it together, check that it is""",
    },
    "disgust": {
        "feeling": """disgust*, gross*, revolt*, repuls*, repel*, nasty, nastiness, sicken*, sick of, make/makes/made
            you sick, make/makes/made you feel sick, feel/feeling sick, nause*, yuck*, ugh, eww, ew, icky, foul, vile,
            filth*, stomach*, put/puts you off, off-putting, distast*, creep*, appall*, gag, rotten, stink*, abhor*,
            loath*""",
        "need": """distance, boundar*, put/putting up with, walk away, not have to touch/see/look, space from, away
            from, contaminat*, keep it/that/this away/far, no part of, right to refuse/say/leave/walk, standards,
            clean, cleaner, wants/want out, unclean, have to stand/touch/face, dirty""",
        "step": """step away/back/outside/out, fresh air, clean/fresh break/start, clean it/up, cleans*, start clean,
            wash*, walk away, far from, far away, throw it/that/this, get rid of, leave it/that behind, say no,
            set/draw a/_ boundary, distance, rinse, open a window, move away, boundar*, turn away, shake it off, get
            away, scrub*, clean break""",
    },
    "neutral": {
        "feeling": """noted, got it, understood, thanks/thank for, thank you for, is clear, perfectly clear, clear to
            me, i understand the/it/that/what, understand the situation, thanks that, good to know, i see,
            acknowledg*, calm, level, no strong, settled, factual, plain*, matter-of-fact""",
        "need": """straightforward, simple*, simply, no rush/hurry, facts, fact, information, info, details, detail,
            practical*, plain*, routine, as usual, nothing unusual/urgent/special, easy, ordinary, report*, note,
            standard, settled""",
        "step": """you need, need anything, anything else, next, write _ down, write down, take/make a note, note it,
            remind*, help with/you, let me know, schedul*, calendar, list, arrang*, organi*, would you like, shall i,
            should i, keep it/this simple, update*, confirm*, details, go ahead, practical*, move on""",
    },
}

IDIOMS = """happy to help/assist/hear, glad to help/assist/hear, i am afraid i/we/that/not/there, no worries, fair
    enough, pleased to help/assist, no wonder, no doubt, do not worry"""
"""Phrases that would look like a cue and are none. They claim their words before any cue may."""

DISMISSALS = """get over it, cheer up, overreact*, no big deal, not a big deal, not that bad, stop
    being/crying/worrying, stop complain*, could be worse, bright side, toughen up, man up, grow up, do not be so,
    shut up, stupid, idiot*, just calm down, please calm down, who cares, do not care, too sensitive"""

PLATITUDES = (
    "here for you, your feelings, feelings are, is valid, are valid, a lot, sorry, so hard, get through this, not alone"
)
"""Comfort that fits any feeling, and so does not fit a voice without one."""

DIRECTIONS: dict[str, str] = {
    "negative": """sorry, hard, tough, difficult*, rough, awful, terribl*, horribl*, bad, unpleasant, struggl*,
        stress*, tiring, burden*, troubl*""",
    "positive": "great, wonderful*, good, nice, lovely, fantastic, awesome, brilliant, cool, beautiful, congrats",
    "startling": "wow, oh, no way, goodness, gosh",
    "plain": "okay, ok, alright, sure, fine, all right",
}
"""Broad valence or arousal, without a category."""

DIRECTION_OF: dict[Emotion, str] = {
    "anger": "negative",
    "happy": "positive",
    "sad": "negative",
    "surprise": "startling",
    "fear": "negative",
    "disgust": "negative",
    "neutral": "plain",
}

SCENES: dict[str, str] = {
    "workplace": "work*, job*, boss*, office*, colleague*, meeting*, project*, team*, manager*, career*",
    "family": """famil*, mother*, father*, mom*, dad*, parent*, sister*, brother*, son, daughter*, grand*, relative*,
        aunt*""",
    "health": "health*, doctor*, clinic*, hospital*, test*, medic*, symptom*, nurse*, treatment*, diagnos*",
    "travel": "travel*, trip*, flight*, train*, hotel*, airport*, journey*, ticket*, bus, route*, holiday*",
    "school": "school*, class*, teacher*, exam*, student*, homework*, course*, grade*, lesson*",
    "home": "home*, house*, kitchen*, room*, neighbour*, neighbor*, apartment*, flat, garden*, door*",
}

MOVES: dict[str, str] = {
    "Intent": "want*, need*, hope*, hoping, ask*, seek*, wish*, looking for, would like, expect*, tries, trying",
    "Psychology": """feel*, need*, fear*, hope*, sense*, mood, believe*, think*, thinks, find*, expected, expect*,
        crossed, gone, builds, came true, is hurt, is afraid, worries, longs, miss*""",
    "Strategy": """hear*, name*, comfort*, offer*, share*, celebrat*, cheer*, calm*, reassur*, acknowledg*, accept*,
        support*, stay*, help*, give*, slow*, listen*, let them, validat*, match*, be tender, keep*, confirm*, agree*,
        ask*, invite*, side with, stand*, encourag*, suggest*, note*, respond*, thank*, guide*, plan*, set*""",
}
"""What kind of move each thought step makes: a goal, a state, an act."""
