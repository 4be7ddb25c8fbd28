"""Sentences written for this purpose: each with a paraphrase and with another statement about the same subject."""

from typing import NamedTuple


class Paraphrase(NamedTuple):
    """A sentence, one that says the same in other words, and one that says something else of the same subject."""

    sentence: str
    same: str
    related: str


PARAPHRASES = tuple(
    Paraphrase(*one)
    for one in (
        (
            "The committee rejected the proposal because it would have cost too much money.",
            "Since the plan was far too expensive, the panel turned it down.",
            "The committee meets on the first Monday of each month in the town hall.",
        ),
        (
            "Heavy rain flooded the streets of the old town last night.",
            "Yesterday evening a downpour put the roads of the historic centre under water.",
            "The old town is known for its narrow streets and its market.",
        ),
        (
            "A young woman discovered a new comet with a small telescope in her garden.",
            "Using modest equipment behind her house, a girl found a comet that nobody had seen before.",
            "Comets are made of ice and dust and travel on long orbits around the sun.",
        ),
        (
            "The train to the coast was cancelled because of a broken signal.",
            "A faulty signal meant that the coastal service did not run.",
            "The train to the coast takes three hours and has a dining car.",
        ),
        (
            "Doctors recommend that adults walk for at least half an hour each day.",
            "Physicians advise grown people to take a daily walk of thirty minutes or more.",
            "Doctors at the new hospital treat more than two hundred patients each day.",
        ),
        (
            "The company will close its factory in the north and dismiss four hundred workers.",
            "Four hundred people lose their jobs as the firm shuts its northern plant.",
            "The company was founded in the north by two brothers a century ago.",
        ),
        (
            "Nobody knows who painted the portrait that hangs in the castle.",
            "The artist behind the picture in the castle remains unknown.",
            "The castle has forty rooms and a garden that visitors may walk through.",
        ),
        (
            "Bees find their way home by remembering the position of the sun.",
            "To return to the hive, bees keep in mind where the sun stands.",
            "Bees produce honey, which people have collected for thousands of years.",
        ),
        (
            "The goalkeeper saved two penalties and the team won the cup.",
            "Thanks to a keeper who stopped two spot kicks, the side took the trophy.",
            "The goalkeeper signed a contract with a new club in the summer.",
        ),
        (
            "Prices of bread rose sharply after the poor harvest.",
            "Bread became much dearer when the crops had failed.",
            "Bread is baked from flour, water, salt and yeast.",
        ),
        (
            "The river froze so hard that people could skate across it.",
            "Ice on the river was thick enough for skaters to reach the other bank.",
            "The river rises in the mountains and flows into the northern sea.",
        ),
        (
            "Scientists warn that the glacier could vanish within twenty years.",
            "In two decades the glacier may be gone, researchers caution.",
            "Scientists reached the glacier by helicopter and stayed for a week.",
        ),
        (
            "He forgot his keys at the office and had to sleep at a friend's house.",
            "Because his keys were still at work, he spent the night with a friend.",
            "He has worked at the office for ten years and likes his colleagues.",
        ),
        (
            "The novel tells the story of a sailor who never learned to swim.",
            "In this book a seaman who cannot swim is the hero.",
            "The novel was translated into twelve languages and sold a million copies.",
        ),
        (
            "The government wants every school to teach programming.",
            "According to the ministry, all pupils should learn to write code.",
            "The government was formed by three parties after long negotiations.",
        ),
        (
            "Only a few of the soldiers survived the long march through the desert.",
            "Most of the troops died while crossing the desert on foot.",
            "The soldiers were paid in silver at the end of every month.",
        ),
        (
            "The museum shows coins that farmers dug up by accident.",
            "Coins found by chance by people working in the fields are on display at the museum.",
            "The museum is closed on Mondays and free for children.",
        ),
        (
            "Cats sleep for most of the day to save energy for hunting.",
            "So as to have strength for the hunt, cats rest through much of the day.",
            "Cats were kept in ancient Egypt and buried with their owners.",
        ),
        (
            "The bridge was built of stone because wood had burned twice before.",
            "After two fires in wooden bridges, they chose stone for the new one.",
            "The bridge carries about ten thousand cars every day.",
        ),
        (
            "She turned down the prize since she did not agree with the jury.",
            "As she disagreed with the judges, she refused the award.",
            "She wrote the prize song in a single night at her piano.",
        ),
        (
            "The app warns drivers when they are about to fall asleep.",
            "Motorists who grow drowsy get an alert from the software.",
            "The app has been installed on more than a million phones.",
        ),
        (
            "Whales sing to each other across hundreds of kilometres of ocean.",
            "The songs of whales are heard by other whales far away in the sea.",
            "Whales were hunted for their oil until the trade was forbidden.",
        ),
        (
            "The court ruled that the contract was not valid.",
            "Judges declared the agreement void.",
            "The court sits in a building that was once a bank.",
        ),
        (
            "Tea was first drunk as a medicine and only later for pleasure.",
            "People began by taking tea as a remedy; enjoyment came afterwards.",
            "Tea grows on hillsides and is picked by hand in spring.",
        ),
    )
)
