"""What the crossing claims: six sentences of its own, each with the published result that it is nearest to."""

from __future__ import annotations

from lowres.claims import Claim, Deviation

CLAIMS = (
    Claim(
        name="crossing-1",
        statement="On a task that it has not seen, a guide fitted on other tasks chooses better than always taking the "
        "arm that was the best on those.",
        source="no paper scores a guide on tasks that it has not seen; nearest: Pu et al. 2023, a framework by task "
        "and data size",
        reported="advice by data size, without intervals or retention",
    ),
    Claim(
        name="crossing-2",
        statement="General data are an insurance: at equal updates TELL loses less of what the model knew than the "
        "task data alone.",
        source="Bethune et al. 2025: a share of one percent of pretraining data suffices",
        reported="forgetting falls with the share of general data",
    ),
    Claim(
        name="crossing-3",
        statement="General data are leverage: at equal updates TELL learns more of the task than the task data alone.",
        source="Zeng et al. 2024",
        reported="up to nearly 10 times less task data",
    ),
    Claim(
        name="crossing-4",
        statement="A rationale in the prompt gives less where a tuner edits the ends of the prompt alone: FIAT gains "
        "less under LoReFT than under LoRA.",
        source="nobody has crossed them; Wu et al. 2024 for where LoReFT edits",
        reported="nothing",
    ),
    Claim(
        name="crossing-5",
        statement="What TELL gains and what FIAT gains add up.",
        source="nobody has crossed them",
        reported="nothing",
    ),
    Claim(
        name="crossing-6",
        statement="A guide that was fitted in the generated world is of use on real tasks: it does no worse than "
        "always LoRA.",
        source="Schulman et al. 2025: LoRA is as good as full tuning on small data sets",
        reported="always LoRA, at about ten times the learning rate",
    ),
)
DEVIATIONS = (
    Deviation(
        "TELL compares with plain fine-tuning on bare inputs",
        "the task's instruction stands before every input in every arm",
        "against TELL and FIAT, whose instruction counts as part of them elsewhere; without it the sum of both would "
        "count it twice",
    ),
    Deviation(
        "FIAT's rationales are written by a much larger model",
        "by a model of about the same size, one step after the other; where no step can be asked for, FIAT is run with "
        "the rationale that comes with the task alone, which no user has for a new input, and no guide offers it",
        "against FIAT with a written rationale, in favour of FIAT with its own",
    ),
    Deviation(
        "Each paper tunes its own arm",
        "rates are tuned per tuner, family of recipes and budget, on three tasks, one rate for all; those that harm by "
        "themselves are not chosen",
        "unknown: a rate of its own for every task would favour the arms that are hard to tune",
    ),
    Deviation(
        "The general data of TELL are not named",
        "in the world the text that its models were pretrained on",
        "in favour of TELL's insurance, an upper bound there",
    ),
)
