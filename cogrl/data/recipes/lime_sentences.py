"""The 42 statements of LIME-mini: six scenarios, seven sentences each, none of which tells how the speaker feels.

The sentences of a scenario share three topic nouns, so that what is learned about a scenario in one split applies to
the sentences of another.
"""

SENTENCES: dict[str, tuple[str, ...]] = {
    "workplace": (
        "The meeting starts at ten.",
        "My manager read the report.",
        "They moved the meeting to Friday.",
        "The report is on the desk.",
        "My manager came to the meeting.",
        "We sent the report today.",
        "The manager asked for my report.",
    ),
    "family": (
        "My sister called this morning.",
        "My father is on his way.",
        "My sister wrote us a letter.",
        "My father read the letter.",
        "The letter came from my sister.",
        "My sister is with my father.",
        "My father sent a letter.",
    ),
    "health": (
        "The doctor called me back.",
        "The test results are here.",
        "I go to the clinic on Monday.",
        "The doctor looked at the results.",
        "The clinic sent the results.",
        "My doctor is at the clinic.",
        "They did the test again.",
    ),
    "travel": (
        "The train leaves at noon.",
        "I have the ticket here.",
        "The flight goes out tonight.",
        "We are on the last train.",
        "They changed the flight to Sunday.",
        "The ticket is for this train.",
        "He gave me a flight ticket.",
    ),
    "school": (
        "The exam is next week.",
        "The teacher asked about the exam.",
        "The class has a new teacher.",
        "My exam paper came back.",
        "The whole class was there.",
        "The teacher spoke to the class.",
        "We had the exam in class.",
    ),
    "home": (
        "The neighbor is at the door.",
        "They sold the house.",
        "There is a box at the door.",
        "The neighbor came to the house.",
        "Someone painted the door.",
        "The house has a new door.",
        "I saw the neighbor last night.",
    ),
}
