"""Trials: what one is and leaves (`spec`), what it is trained on (`material`), and how it is run (`running`)."""

from lowres.trial.running import run
from lowres.trial.spec import (
    RESULT_VERSION,
    Evaluation,
    Recipe,
    Record,
    Stage,
    Trial,
    fingerprints,
    from_dict,
    trial_from,
)
