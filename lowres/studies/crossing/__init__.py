"""Which way pays: the recipes of TELL and FIAT crossed with tuners on the same tasks, and a guide judged by regret.

lowres plan crossing
lowres run crossing -p 'tasks=[world-sort]' -p 'recipes=[sft, tell]' -p 'seeds=[0, 1, 2]'
lowres advise --task jsonl:FILE
"""

from lowres.studies.crossing.arms import ARMS, UNHARMED
from lowres.studies.crossing.claims import CLAIMS, DEVIATIONS
from lowres.studies.crossing.params import Params
from lowres.studies.crossing.plan import competing, left_out, prepare, trials, tuning

TITLE = "Which way pays: recipes and tuners crossed"
NOTEBOOK = "notebooks/05_crossing.ipynb"
