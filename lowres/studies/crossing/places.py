"""Where the crossing is asked: twelve tasks of the world, four real ones, and the budgets of each."""

from lowres.studies.crossing.params import REAL_TASKS

ASKED_TASKS = ("world-form", "world-correction", "world-relations", "world-explanation")
READ_TASKS = (
    *("world-reverse", "world-place", "world-length", "world-sort", "world-less"),
    *("world-evidence", "world-told-relation", "world-swap"),
)
BUDGETS, REAL_BUDGETS, TUNERS = (250, 1_000, 4_000), (1_000,), ("full", "lora", "loreft")
MODEL, REAL_MODEL = "world-s", "smollm2-135m-instruct"
ASKED_PLACES = tuple({"model": MODEL, "task": task} for task in ASKED_TASKS)
WORLD = (*ASKED_PLACES, *({"model": MODEL, "task": task} for task in READ_TASKS))
REAL = tuple({"model": REAL_MODEL, "task": task} for task in REAL_TASKS)
