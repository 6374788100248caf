"""The tasks of known words: every word of their prompts, targets and instructions is shown in pretraining.

So a tuner that leaves the words' vectors alone can learn them, and what is learnt is a rule, not words. Every rule
settles the answer: the best score is 1. All but two are scored by the whole answer; for these two there are choices.
"""

from __future__ import annotations

from lowres.world import known_facts, known_lists, stream
from lowres.world.casting import PEOPLE, Known

STREAM = {
    "world-simplification": Known(
        stream.simplification,
        "the passage says what is true of one and what it was like when it was late . take less from it and tell who "
        "it is and that one came to , met , saw or has what it says .",
        chance=0.0,
        room=8,
    ),
    "world-dialogue": Known(
        stream.dialogue,
        "one who is hungry , tired , lost , angry , ill or proud has said what it is because of . make it right : tell "
        "another what is on the list for it , and name who has said it .",
        chance=0.0,
        room=12,
    ),
    "world-question": Known(
        stream.question,
        "the passage says what is true of one , and it says what is right . make what one has to ask for that : who is "
        "it , what is it or where is it .",
        chance=0.0,
        room=12,
    ),
    "world-explanation": Known(
        stream.explanation,
        "it says what one has and what goes with it . tell if that is true , yes or no , and because of what : name "
        "what one has and the country , tool , sound or kind that goes with it .",
        chance=1 / 4,
        room=8,
    ),
    "world-headline": Known(
        stream.headline,
        "the passage says who came to a city and what it was like . tell it with less , in order : it is from the city "
        "or from the name , as it says .",
        chance=0.0,
        room=8,
    ),
}
LISTS = {
    "world-reverse": Known(
        known_lists.reverse,
        "the list has four in order . name every one of the four in another order : who is at four in the list is at "
        "one , and who is at one is at four .",
        chance=1 / 24,
        room=6,
    ),
    "world-place": Known(
        known_lists.place,
        "the list has four in order , and it says which of the four to name . name who it is at that one : at one , "
        "at two , at three or at four .",
        chance=1 / 4,
        room=3,
    ),
    "world-length": Known(
        known_lists.length,
        "a list has one or two or three in it , and it has six if it has that . take the sum of who is on the list "
        ": one , two , three , four , five or six .",
        chance=1 / 6,
        room=3,
    ),
    "world-sort": Known(
        known_lists.sort,
        "a list has three of what is from one to twenty . name every one of the three in order : two , three , five is "
        "right , and five , three , two is another order .",
        chance=1 / 6,
        room=5,
    ),
    "world-less": Known(
        known_lists.less,
        "it says what sum one has and what sum another has , from one to ten . name who of the two has less : two is "
        "less when another has three .",
        chance=1 / 2,
        room=3,
    ),
    "world-relations": Known(
        known_lists.relations,
        "it says what is with one : a city , a job , a pet or a food . name for every one of the two what goes "
        "with it : the country , the tool , the sound or the kind of food .",
        chance=0.0,
        room=5,
    ),
}
PASSAGES = {
    "world-evidence": Known(
        known_lists.evidence,
        "the passage says of two what is true , and it says of who and of what to tell . tell what the passage says of "
        "that , and tell it as it is in the passage .",
        chance=1 / 4,
        room=8,
    ),
    "world-told-relation": Known(
        known_lists.told_relation,
        "the passage says what is true of three . take from it what is true of the one that it is to tell of , and "
        "name the country , tool , sound or kind that goes with that .",
        chance=1 / 3,
        room=3,
    ),
    "world-code": Known(
        known_lists.code,
        "tell it in another order : a sound for what one does , what it is for , and who . the sound is moo for came , "
        "buzz for met , hoot for saw and hiss for has .",
        chance=0.0,
        room=10,
    ),
    "world-swap": Known(
        known_lists.swap,
        "the passage says what is true of one and of another . tell it as if every one of the two has the name of "
        "another , in the order in which it is in the passage .",
        chance=0.0,
        room=14,
    ),
    "world-meant": Known(
        known_lists.meant,
        "two met , and one of the two is she and another is he . it says what is true of she or he : tell that with "
        "the name of who it is .",
        chance=1 / 2,
        room=8,
    ),
}
FACTS = {
    "world-form": Known(
        known_facts.form,
        "a list has the name of one and of another , and it says what it is a list of . name the city , job , pet or "
        "food that is true for the one and for another .",
        chance=0.0,
        room=5,
        who=PEOPLE,
    ),
    "world-correction": Known(
        known_facts.correction,
        "it says what is true of one , and that is right or it is no . tell yes if it is right and no if it is another "
        ", and name the city , job , pet or food that is true .",
        chance=1 / 4,
        room=7,
        who=PEOPLE,
    ),
}
KNOWN = {**STREAM, **LISTS, **PASSAGES, **FACTS}
