"""The twenty interaction scenarios of LIME: what each is about, and eight things somebody may speak of in it.

Source: figure 2 of arXiv:2606.06940 names four (family life, workplace, medical care, social relations) and an "etc.";
the paper's other sixteen are not public, those here are cogrl's: everyday settings in which one remark can be meant in
any mood. Data, no logic.

`about` is part of the prompt of a language model that writes sentences, `phrase` is how thoughts call the scenario,
`things` are singular noun phrases without any feeling in them, for the offline grammar.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One setting; `named` says that the paper's figure names it."""

    about: str
    phrase: str
    things: tuple[str, ...]
    named: bool = False


def _scenario(about: str, phrase: str, things: str, named: bool = False) -> Scenario:
    return Scenario(about, phrase, tuple(thing.strip() for thing in things.split(",")), named)


SCENARIOS: dict[str, Scenario] = {
    "family_life": _scenario(
        "daily life and events among relatives",
        "this family matter",
        "the wedding, the family dinner, my sister's new job, my brother's plan, the visit from my parents, "
        "the letter from my uncle, our old house, my cousin's phone call",
        named=True,
    ),
    "workplace": _scenario(
        "colleagues, tasks and decisions at work",
        "this thing at work",
        "the project, the new schedule, my contract, the office move, the talk with my manager, the budget, "
        "the team meeting, my application",
        named=True,
    ),
    "medical_care": _scenario(
        "doctors, clinics, examinations and treatment",
        "this health matter",
        "the blood test, the operation, the doctor's letter, my new prescription, the scan, the appointment, "
        "the second opinion, the hospital stay",
        named=True,
    ),
    "social_relations": _scenario(
        "friends, acquaintances and gatherings",
        "this matter among friends",
        "the party, the group chat, my friend's move, the class reunion, the message from Robin, the invitation, "
        "our weekend together, the photo of us",
        named=True,
    ),
    "education": _scenario(
        "schools, courses, exams and teachers",
        "this school matter",
        "the exam, my thesis, the scholarship, the group presentation, the school trip, the final grade, "
        "the language course, the teacher's note",
    ),
    "finance": _scenario(
        "money, banks, taxes and insurance",
        "this money matter",
        "the loan, the tax bill, my savings account, the insurance claim, the interest rate, the bank transfer, "
        "the stock price, the yearly bonus",
    ),
    "travel": _scenario(
        "journeys, bookings and places far away",
        "this travel plan",
        "the flight, the hotel booking, our trip to the coast, the visa, the night train, my suitcase, the ferry, "
        "the guided tour",
    ),
    "customer_service": _scenario(
        "orders, deliveries, repairs and support lines",
        "this order",
        "the delivery, the refund, the support call, my order number, the warranty, the repair, the exchange, "
        "the answer from the shop",
    ),
    "romance": _scenario(
        "dating, couples and marriage",
        "this love story",
        "the engagement, our first date, the ring, the letter from Alex, our anniversary, the talk with my husband, "
        "the dance, the wedding guest list",
    ),
    "sports": _scenario(
        "matches, training, teams and results",
        "this game",
        "the match, the final score, the new coach, the marathon, my training plan, the penalty, the season ticket, "
        "the team list",
    ),
    "hobbies": _scenario(
        "crafts, music, collecting and pastimes",
        "this hobby",
        "the choir, my painting, the garden show, the guitar, the photo contest, the stamp collection, the pottery "
        "class, the chess club",
    ),
    "housing": _scenario(
        "flats, landlords, neighbours and moving house",
        "this matter at home",
        "the lease, the new kitchen, the rent, the flat upstairs, the moving date, the heating, the house next door, "
        "the key to the cellar",
    ),
    "technology": _scenario(
        "phones, computers, software and gadgets",
        "this device",
        "the update, my new phone, the backup, the robot vacuum, the test version, the server, the smart lock, "
        "the video call",
    ),
    "public_service": _scenario(
        "offices, permits, police and elections",
        "this official matter",
        "the permit, the passport, the vote, the town hall letter, the parking ticket, the hearing, the census form, "
        "the new regulation",
    ),
    "food": _scenario(
        "cooking, restaurants and eating",
        "this meal",
        "the recipe, the soup, the reservation, the birthday cake, the new menu, the fish market, the cooking show, "
        "the corner bakery",
    ),
    "shopping": _scenario(
        "stores, bargains and purchases",
        "this purchase",
        "the sale, the red coat, the auction, the voucher, the last pair of shoes, the second-hand sofa, "
        "the market stall, the receipt",
    ),
    "commuting": _scenario(
        "buses, roads, cars and bicycles",
        "this way to work",
        "the bus line, the car, my bicycle, the road works, the driving test, the bridge, the early tram, "
        "the garage's offer",
    ),
    "pets": _scenario(
        "animals at home and their keepers",
        "this matter with the animal",
        "the puppy, my neighbour's cat, the vet's call, the aquarium, the parrot, the dog school, the rabbit hutch, "
        "the horse",
    ),
    "media": _scenario(
        "films, books, news and broadcasts",
        "this story",
        "the last episode, the interview, the film, the novel, the podcast, the front page, the concert recording, "
        "the quiz show",
    ),
    "community": _scenario(
        "clubs, neighbourhoods, volunteering and local events",
        "this local matter",
        "the street festival, the library, the new playground, the clean-up day, the village shop, the choir concert, "
        "the fire drill, the flea market",
    ),
}
