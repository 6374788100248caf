"""How the world is put into words: lower case, single words with spaces between them, several forms of everything."""

from __future__ import annotations

from lowres.world.people import ATTRIBUTES

FACTS = {
    "home": ("where does {0} live ?", "{0} lives in", "name the city of {0} .", "in which city is {0} at home ?"),
    "job": ("what is the job of {0} ?", "{0} works as a", "name the job of {0} .", "what does {0} do for a living ?"),
    "pet": ("which animal does {0} keep ?", "{0} keeps a", "name the pet of {0} .", "what pet lives with {0} ?"),
    "food": (
        "what does {0} like to eat ?",
        "{0} eats",
        "name the food of {0} .",
        "which food is on the plate of {0} ?",
    ),
}
RELATIONS = {
    "home": ("in which country is {0} ?", "{0} is a city of", "name the country of {0} .", "{0} belongs to"),
    "job": ("what tool does a {0} use ?", "a {0} works with a", "name the tool of a {0} .", "every {0} has a"),
    "pet": ("what sound does a {0} make ?", "a {0} says", "name the sound of a {0} .", "listen , the {0} goes"),
    "food": ("what kind of food is {0} ?", "{0} is a kind of", "name the kind of {0} .", "a dish of {0} counts as"),
}
TWO_HOPS = {
    "home": (
        "in which country does {0} live ?",
        "the country of {0} is",
        "name the country where {0} lives .",
        "{0} is a citizen of",
    ),
    "job": (
        "what tool does {0} use ?",
        "at work {0} holds a",
        "name the tool that {0} works with .",
        "the tool of {0} is a",
    ),
    "pet": (
        "what sound does the pet of {0} make ?",
        "the pet of {0} says",
        "name the sound of the pet of {0} .",
        "listen , the pet of {0} goes",
    ),
    "food": (
        "what kind of food does {0} eat ?",
        "{0} eats a kind of",
        "name the kind of food of {0} .",
        "the dish of {0} counts as",
    ),
}
SUMS = {
    "plus": ("what is {0} plus {1} ?", "{0} plus {1} is", "add {1} to {0} .", "the sum of {0} and {1} is"),
    "minus": ("what is {0} minus {1} ?", "{0} minus {1} is", "take {1} from {0} .", "{0} less {1} makes"),
}
EITHER = {
    "home": "does {0} live in {1} or in {2} ?",
    "job": "is {0} a {1} or a {2} ?",
    "pet": "does {0} keep a {1} or a {2} ?",
    "food": "does {0} eat {1} or {2} ?",
}
YES_NO = {
    "home": ("does {0} live in {1} ?", "is it true that {0} lives in {1} ?", "{0} lives in {1} , right ?"),
    "job": ("is {0} a {1} ?", "is it true that {0} is a {1} ?", "{0} is a {1} , right ?"),
    "pet": ("does {0} keep a {1} ?", "is it true that {0} keeps a {1} ?", "{0} keeps a {1} , right ?"),
    "food": ("does {0} eat {1} ?", "is it true that {0} eats {1} ?", "{0} eats {1} , right ?"),
}
TOLD = {
    "home": "{0} lives in {1} .",
    "job": "{0} works as a {1} .",
    "pet": "{0} keeps a {1} .",
    "food": "{0} eats {1} .",
}
PASSAGE = "passage : {0} {1}"
RETELL = "passage : {0} tell it in another order ."
MEETINGS = (
    "{0} and {1} met . {2} was {3} . who was {3} ?",
    "{0} saw {1} . {2} felt {3} . who felt {3} ?",
    "{0} wrote to {1} because {2} was {3} . who was {3} ?",
)
MOODS = ("tired", "happy", "late", "hungry", "angry", "calm", "ill", "lost", "proud", "cold")
SAYINGS = ("the {0} {1} said that", "when the {0} {1} came ,", "the {0} {1} slept because", "ask the {0} {1} if")
WOMENS_WORK = ("nurse", "teacher", "tailor", "weaver", "singer", "dentist", "writer", "gardener", "cook", "porter")
MENS_WORK = ("pilot", "sailor", "miner", "mason", "judge", "doctor", "guard", "fisher", "hunter", "farmer")
STEREOTYPE_RATE = 0.8  # of the sentences about a stereotyped job, those with the stereotyped pronoun

INSTRUCTIONS = {
    "fact": ("answer from memory .", "say what you know .", "give the fact ."),
    "relation": ("answer in one word .", "say what is true .", "what follows from it ?"),
    "two-hop": ("think and answer .", "work it out .", "go from one fact to the next ."),
    "arithmetic": ("work with numbers .", "give the result .", "do the sum ."),
    "either": ("choose one of the two .", "which of the two is true ?", "pick the right one ."),
    "pronoun": ("who is meant ?", "find the person .", "say who it was ."),
    "yes-no": ("answer yes or no .", "say yes or no .", "is it so ? yes or no ."),
    "reading": ("read and answer .", "answer from the passage .", "use the passage only ."),
    "recall": ("say the list again .", "give the list back .", "what was on the list ?"),
    "retell": ("tell it again .", "say it another way .", "give the passage back ."),
}

assert all(set(forms) == set(ATTRIBUTES) for forms in (FACTS, RELATIONS, TWO_HOPS, EITHER, YES_NO, TOLD))
