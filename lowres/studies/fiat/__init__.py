"""FIAT (Wang et al. 2023, arXiv 2309.04663): in-context learning, fine-tuning, and both fused.

lowres plan fiat -p tier=gpu
lowres run fiat -p 'arms=[R0, R1, R2, R3]' -p 'examples=[100]' -p 'seeds=[0, 1]' --workers 2
"""

from lowres.studies.fiat.arms import ARMS, Arm
from lowres.studies.fiat.claims import CLAIMS, DEVIATIONS
from lowres.studies.fiat.params import Params
from lowres.studies.fiat.plan import trials, tuning
from lowres.studies.fiat.settings import left_out
from lowres.studies.fiat.writing import prepare, to_prepare

TITLE = "FIAT: reasoning in, tuning on top"
NOTEBOOK = "notebooks/02_fiat.ipynb"
