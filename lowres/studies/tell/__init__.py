"""TELL: can plenty of cheap general data stand in for scarce task data? (Zeng et al. 2024, arXiv 2404.00914)

    lowres plan tell
    lowres run tell -p 'task_tokens=[1000]' -p 'ratios=[0, 1, 2, 4, 8]' -p 'seeds=[0, 1, 2]' --workers 2
"""

from lowres.studies.tell.arms import ARMS, Arm, trials, tuning
from lowres.studies.tell.claims import CLAIMS, DEVIATIONS
from lowres.studies.tell.params import Params

TITLE = "TELL: token-efficient leverage learning"
NOTEBOOK = "notebooks/01_tell.ipynb"

__all__ = ["ARMS", "CLAIMS", "DEVIATIONS", "NOTEBOOK", "TITLE", "Arm", "Params", "trials", "tuning"]
