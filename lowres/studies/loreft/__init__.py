"""LoReFT (Wu et al. 2024, arXiv 2404.03592): edits of hidden states against the usual ways of tuning few parameters.

lowres plan loreft -p tier=gpu
lowres run loreft -p 'arms=[untouched, lora, dora, loreft]' -p 'seeds=[0, 1, 2]' --workers 2
"""

from lowres.studies.loreft.arms import ARMS, Arm
from lowres.studies.loreft.checks import insist_on_possible
from lowres.studies.loreft.claims import CLAIMS, DEVIATIONS
from lowres.studies.loreft.params import Params
from lowres.studies.loreft.plan import trials, tuning

TITLE = "LoReFT: which tuner for which budget"
NOTEBOOK = "notebooks/04_loreft.ipynb"
