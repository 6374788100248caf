"""Forgetting (Luo et al. 2023, arXiv 2308.08747): what a stream of new tasks costs a model of its old abilities.

lowres plan forgetting
lowres run forgetting -p 'models=[world-s, world-m]' -p 'ablated=[world-s]' -p 'seeds=[0, 1, 2]' --workers 2
"""

from lowres.studies.forgetting.arms import ARMS, Arm
from lowres.studies.forgetting.claims import CLAIMS, DEVIATIONS
from lowres.studies.forgetting.params import Params
from lowres.studies.forgetting.plan import insist_on_possible, trials, tuning

TITLE = "Forgetting: what continual tuning costs"
NOTEBOOK = "notebooks/03_forgetting.ipynb"
