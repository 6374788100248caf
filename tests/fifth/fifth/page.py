"""What the notebook of the fifth study shows."""

from lowres.studies.fifth.rules import PLACES  # type: ignore[import-not-found]

from lowres.claims.rules import UNTOUCHED
from lowres.page import drawing
from lowres.page.drawing import level
from lowres.page.markup import Shown


def scores() -> Shown:
    """The score of each rank beside the untouched model."""
    cells = {"untouched": UNTOUCHED, "rank 1": {"arm": "rank-1"}, "rank 4": {"arm": "rank-4"}}
    rows = {name: level(cell) for name, cell in cells.items()}
    return drawing.forest(drawing.evidence("fifth"), "fifth-scores", "Scores.", rows, places=PLACES, x="score")
