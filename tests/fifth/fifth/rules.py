"""How the claim of the fifth study is decided."""

from lowres.claims import Rule
from lowres.claims.rules import Asked, SecondRule, difference

PLACES = ({},)  # wherever it was run
GAIN = difference("rank 4 - rank 1", {"arm": "rank-4"}, {"arm": "rank-1"}, Rule("above", 0.02))
RULES = (
    SecondRule(
        "fifth-1",
        "There was none.",
        {"world": "the toy knows no world", "real": Asked((GAIN,), PLACES, 3, 6, "six items", 0.1, (0.1, 0.1, 0.1))},
    ),
)
