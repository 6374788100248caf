"""Dialogue turns made from templates: somebody feels something because of something, a friend replies.

No real empathetic dialogues were found in any package. These teach the form, and to say back in the second person
what was told in the first; they are no evidence of anything about people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

SEED = "consoling-reply"
TURNS_PER_EVENT = 14

PEOPLE = (
    "sister",
    "brother",
    "best friend",
    "flatmate",
    "cousin",
    "neighbour",
    "colleague",
    "uncle",
    "aunt",
    "teacher",
)
TIMES = ("yesterday", "last night", "this morning", "on Monday", "last week", "two days ago", "at the weekend")
OPENINGS = ("", "I still think about it.", "I do not know what to do.", "Nobody has asked me about it yet.")

# What happened, in the first person and said back in the second; {person} and {time} are filled in.
EVENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "sad": (
        ("My {person} moved to another country {time}", "your {person} moved so far away"),
        ("Our old dog had to be put to sleep {time}", "you lost a dog that you had loved for years"),
        ("I found out {time} that my {person} is seriously ill", "your {person} is so ill"),
        ("The house where I grew up was pulled down {time}", "the house of your childhood is gone"),
        ("My {person} and I said goodbye for good {time}", "you had to say goodbye to your {person}"),
        ("I broke the watch that my {person} left me {time}", "you broke what your {person} had left you"),
        ("The village choir sang for the last time {time}", "your choir has come to an end"),
        ("I read the last letter from my {person} again {time}", "you miss your {person} so much"),
    ),
    "lonely": (
        ("I ate alone on my birthday {time}", "you spent your birthday by yourself"),
        ("I moved to a town where I know nobody {time}", "you are new in a town without friends"),
        ("My {person} stopped answering my calls {time}", "your {person} does not answer you any more"),
        ("Everybody but me was invited to the party {time}", "you were the only one without an invitation"),
        ("My {person} left for a long voyage {time}", "your {person} will be away for so long"),
        ("I sat by myself at the wedding of my {person} {time}", "nobody sat with you at the wedding"),
        ("The last of my old friends left town {time}", "all your old friends have gone"),
        ("I talked to nobody all day {time}", "you had nobody to talk to for a whole day"),
    ),
    "afraid": (
        ("I heard steps in the empty flat above me {time}", "you heard steps where nobody lives"),
        ("The doctor found a lump in my neck {time}", "you do not know yet what the doctor has found"),
        ("A stranger followed me home {time}", "somebody followed you to your door"),
        ("My {person} was in a car crash {time}", "your {person} was in an accident"),
        ("A storm tore off part of our roof {time}", "the storm damaged your home"),
        ("I saw a snake in the garden where we play {time}", "there was a snake where you play"),
        ("Somebody tried to open our door {time}", "somebody tried to get into your home"),
        ("The brakes of my bicycle failed on a hill {time}", "your brakes failed when you needed them"),
    ),
    "angry": (
        ("My {person} read my diary {time}", "your {person} read what was meant for you alone"),
        ("My {person} told everybody my secret {time}", "your {person} gave away your secret"),
        ("Somebody scratched my new car {time}", "somebody damaged your new car"),
        ("My {person} took the praise for my work {time}", "your {person} was praised for what you did"),
        ("The shop refused to take back a broken kettle {time}", "the shop would not make up for its mistake"),
        ("My {person} borrowed my camera and lost it {time}", "your {person} lost your camera"),
        ("The landlord raised the rent without warning {time}", "your rent went up without a word"),
        ("My {person} laughed at my accent {time}", "your {person} made fun of how you speak"),
    ),
    "ashamed": (
        ("I forgot the birthday of my {person} {time}", "you forgot a day that matters to your {person}"),
        ("I shouted at my {person} for nothing {time}", "you shouted at your {person}"),
        ("I failed the driving test for the third time {time}", "the driving test went wrong again"),
        ("I lied to my {person} about money {time}", "you did not tell your {person} the truth"),
        ("I fell asleep at the concert of my {person} {time}", "you slept while your {person} was playing"),
        ("I spilled wine over the dress of my {person} {time}", "you spoiled the dress of your {person}"),
        ("I forgot my lines on the stage {time}", "your mind went blank in front of everybody"),
        ("I called my {person} by the wrong name {time}", "you mixed up a name that you know well"),
    ),
    "worried": (
        ("My {person} did not come home {time}", "you do not know where your {person} is"),
        ("I have had no reply about the job since my interview {time}", "you are still waiting to hear about the job"),
        ("Our cat ran away {time}", "your cat is still missing"),
        ("The bank sent me a letter about my debts {time}", "the bank is asking for its money"),
        ("My {person} fainted at work {time}", "your {person} fainted and nobody knows why"),
        ("I learnt {time} that my firm will close", "you may lose your work"),
        ("My {person} started to drink again {time}", "your {person} is drinking again"),
        ("I lost my passport {time} and I travel soon", "your passport is gone just before a journey"),
    ),
    "disappointed": (
        ("The trip that I had planned with my {person} was called off {time}", "your trip will not take place"),
        ("My {person} cancelled our dinner at the last minute {time}", "your {person} cancelled so late"),
        ("I was not chosen for the team {time}", "the team was picked without you"),
        ("My {person} did not come to my exhibition {time}", "your {person} missed your exhibition"),
        ("My first novel was turned down {time}", "your novel was turned down"),
        ("The cake that I baked for my {person} was left untouched {time}", "nobody tried the cake that you baked"),
        ("I lost the final by a single point {time}", "you came so close to winning"),
        ("The concert that I had waited for all year was cancelled {time}", "your concert was cancelled"),
    ),
    "exhausted": (
        ("I looked after my sick {person} all night {time}", "you cared for your {person} without any sleep"),
        ("I worked two shifts in a row {time}", "you worked twice as long as anybody should"),
        ("The baby cried until the morning again {time}", "the baby kept you awake once more"),
        ("I finished moving house all by myself {time}", "you carried everything without help"),
        ("I sat the last of nine examinations {time}", "you have all those examinations behind you"),
        ("I drove my {person} across the whole country {time}", "you drove your {person} such a long way"),
        ("I repaired the flooded cellar until midnight {time}", "you fought the water until midnight"),
        ("I answered complaints on the telephone all day {time}", "you listened to complaints the whole day"),
    ),
}

SYMPATHY: dict[str, tuple[str, str]] = {
    "sad": ("I am so sorry that {said}.", "How sad that {said}."),
    "lonely": ("I am sorry that {said}.", "It must hurt that {said}."),
    "afraid": ("No wonder that you are afraid now that {said}.", "How frightening that {said}."),
    "angry": ("You have every right to be angry that {said}.", "It is not fair that {said}."),
    "ashamed": ("Do not be too hard on yourself because {said}.", "I can see how it weighs on you that {said}."),
    "worried": ("I understand that you worry when {said}.", "It is hard to keep calm when {said}."),
    "disappointed": ("What a pity that {said}.", "You must be let down now that {said}."),
    "exhausted": ("No wonder that you are worn out: {said}.", "You have done so much: {said}."),
}
QUESTIONS: dict[str, tuple[str, str]] = {
    "sad": ("Would you like to tell me more about it?", "What do you remember most fondly?"),
    "lonely": ("Shall we do something together soon?", "Is there somebody you would like to see?"),
    "afraid": ("Are you safe now?", "Is there somebody who can stay with you tonight?"),
    "angry": ("Have you told them how you feel?", "What would put it right for you?"),
    "ashamed": ("Have you thought of saying sorry?", "What would you say to a friend in your place?"),
    "worried": ("When do you expect to know more?", "Is there anything that I can do until then?"),
    "disappointed": ("Will there be another chance?", "What had you looked forward to most?"),
    "exhausted": ("When can you rest at last?", "Could somebody take over for a day?"),
}


@dataclass(frozen=True)
class Turn:
    """What somebody feels and tells, and what a friend replies; `event` is the sentence that it is made from."""

    feeling: str
    situation: str
    reply: str
    event: str


def turns() -> tuple[Turn, ...]:
    """Fourteen turns per event, all different, the same in every run."""
    random = Random(SEED)
    return tuple(
        turn
        for feeling, events in EVENTS.items()
        for event in events
        for turn in random.sample(list(_turns(feeling, *event)), TURNS_PER_EVENT)
    )


def _turns(feeling: str, told: str, said: str) -> Iterator[Turn]:
    """Every way to tell the event; the wording of the reply goes with what was told, so that it can be learnt."""
    for person in PEOPLE if "{person}" in told else PEOPLE[:1]:
        for when in TIMES:
            for number, more in enumerate(OPENINGS):
                situation = f"{told.format(person=person, time=when)}. {more}".strip()
                sympathy = SYMPATHY[feeling][number % 2].format(said=said.format(person=person))
                yield Turn(feeling, situation, f"{sympathy} {QUESTIONS[feeling][number // 2]}", told)
