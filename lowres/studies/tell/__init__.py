"""TELL (Zeng et al. 2024, arXiv 2404.00914): cheap general data beside scarce task data.

lowres plan tell
lowres run tell -p 'ratios=[0, 1, 2, 8]' -p 'seeds=[0, 1, 2]' --workers 2
"""

from lowres.studies.tell.arms import ARMS, Arm
from lowres.studies.tell.claims import CLAIMS, DEVIATIONS
from lowres.studies.tell.params import Params
from lowres.studies.tell.plan import insist_on_possible, left_out, trials, tuning

TITLE = "TELL: cheap general data for scarce task data"
NOTEBOOK = "notebooks/01_tell.ipynb"
