"""Which function words English has, and which never stand side by side. Data for `wording`, no logic."""


def word_set(listing: str) -> frozenset[str]:
    """The words of a space-separated listing."""
    return frozenset(listing.split())


_BE = "am is are was were"
_MODAL = "will would can could should may might must"
_AUX = f"{_BE} be been do does did have has had {_MODAL}"
_SUBJECT = "i he she we they"
_OBJECT = "me him us them"
_PREPOSITION = "of to in on at for with from by about into"
_JOINT = "and or but because if than"
FUNCTION = word_set(
    f"""{_AUX} {_SUBJECT} {_OBJECT} {_PREPOSITION} {_JOINT} the a an my your his her its our their this that these
    those you it what how when why who which where all any some every no not so very too just now here there then first
    being really as up down out off over through until before after let would like more most much yes okay alright oh
    wow ugh together again still only even also both each such own one someone something nobody nothing everything"""
)
_NOMINAL = f"""away here there then now off again together too the a an my your our their every very {_SUBJECT} you it
    {_OBJECT} {_AUX} {_PREPOSITION} {_JOINT} not"""
# Exceptions ("all that is is change") are rarer than the one slip in thirty words that is allowed.
FOLLOWS_NEVER: dict[str, frozenset[str]] = {
    first: word_set(followers)
    for firsts, followers in (
        ("the a an my your our their every very", _NOMINAL),
        ("of for with from into at about", f"{_AUX} {_SUBJECT} and or but of"),
        ("to", f"{_BE} been did does had has {_MODAL} {_SUBJECT} of and or but to"),
        ("in on by", f"{_AUX} {_SUBJECT} of"),
        ("i", f"is are be been does has the a an my your {_PREPOSITION} {_JOINT} {_SUBJECT} you it {_OBJECT} not"),
        ("you", f"am is was been does has {_SUBJECT} him"),
        ("he she", f"am are be been do have the a an my your {_PREPOSITION} {_SUBJECT} {_OBJECT}"),
        ("we they", f"am is was be been does has the a an my {_PREPOSITION} {_SUBJECT} {_OBJECT} it"),
        ("it", "am are i my an do have me us been"),
        ("this", "am are were i a an the my me us him them do have"),
        (_OBJECT, f"{_BE} will would do does have has can could he she they my"),
        ("am", f"{_BE} be do does did have has had {_MODAL} {_OBJECT} you he she we they of"),
        ("is are was were", f"{_BE} be do does did have has had {_MODAL} me us him them"),
        ("be been", f"{_AUX} {_SUBJECT} you me us them"),
        (_MODAL, f"{_BE} been did does had has {_MODAL} {_OBJECT} of to and or"),
        ("do does did", f"{_BE} been had has {_MODAL} and or of me us him"),
        ("have has had", f"{_BE} be do does did {_MODAL} {_SUBJECT} and or of"),
        ("no", f"{_AUX} {_SUBJECT} {_OBJECT}"),
        ("not", f"{_BE} {_SUBJECT} of and or"),
        ("and or but", "and or but am"),
        ("if because than", "and or but am is are was were if because"),
    )
    for first in firsts.split()
}
BEFORE: dict[str, frozenset[str]] = {
    "let": word_set("and so but then please just first to not you i we will can could should do never now") | {""},
    "are": word_set(
        "you we they these those there how what who which where that and or so people not here all both also"
    )
    | {""},
    "am": word_set("i and that how where who what") | {""},
}
AFTER: dict[str, frozenset[str]] = {
    "let": word_set("us it me him her them the your my our this that yourself someone everyone people go in out")
}
QUESTION_STARTS = word_set("is are was were am can could will would should did does")
QUESTION_SUBJECTS = word_set(
    "i you he she it we they the a an my your his her our their this that there these those not"
)
ENDS_NEVER = word_set("the a an my your our their every very and or but because if i than let")
