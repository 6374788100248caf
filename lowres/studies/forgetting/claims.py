"""The claims of the forgetting paper, and where this study departs from it.

R(0) is the accuracy on a probe before tuning, R(m) the one after m tasks. FG is the mean over the probes of a group and
over all checkpoints of (R(0) - R(m)) / R(0), the paper's equation 1.
"""

from __future__ import annotations

from lowres.claims import Claim, Deviation

MARGIN = 0.02  # of the chance-corrected loss: two percent of what was there

CLAIMS = (
    Claim(
        name="forgetting-1",
        statement="Continual tuning makes every model forget domain knowledge, reasoning and reading comprehension.",
        source="Luo et al. 2023, Tables 4 and 6",
        reported="FG above zero for all nine models in all three groups, from 6.5 to 34.6 percent",
    ),
    Claim(
        name="forgetting-2",
        statement="Reading comprehension suffers most, then domain knowledge, then reasoning.",
        source="Luo et al. 2023, Table 4 (all six models; not so in Table 6)",
        reported="BLOOMZ-7.1b: 26.75, 18.37 and 13.62 percent",
    ),
    Claim(
        name="forgetting-3",
        statement="Forgetting grows with the size of the model.",
        source="Luo et al. 2023, Table 4",
        reported="domain knowledge FG of BLOOMZ 1.1b, 1.7b, 3b, 7.1b: 9.54, 10.72, 14.63, 18.37 percent",
    ),
    Claim(
        name="forgetting-4",
        statement="A decoder-only model forgets less than an encoder-decoder of about its size.",
        source="Luo et al. 2023, Table 4, BLOOMZ-3b against mT0-3.7b",
        reported="reasoning FG 11.09 against 16.73 percent; at about 1b the sign reverses in the other two groups",
    ),
    Claim(
        name="forgetting-5",
        statement="General instruction tuning before the stream protects.",
        source="Luo et al. 2023, Table 6, LLaMA-7b against Alpaca-7b (BLOOM against BLOOMZ contradicts it)",
        reported="FG 34.57, 31.33, 31.72 percent for LLaMA-7b; 18.14, 7.56, 10.31 for Alpaca-7b",
    ),
    Claim(
        name="forgetting-6",
        statement="Mixing general data into every task mitigates forgetting.",
        source="Luo et al. 2023, MMLU-Human of LLaMA-7b",
        reported="34.72 at the start, 26.8 after the tasks alone, about 30 with 10,000 Alpaca samples mixed in",
    ),
    Claim(
        name="forgetting-7",
        statement="Continual tuning makes a model less biased.",
        source="Luo et al. 2023, Table 5",
        reported="FG of bias above zero for all six models, from 2.97 to 13.10 percent",
    ),
)

DEVIATIONS = (
    Deviation(
        "Models of 1.1 to 7.1 billion parameters from a hub",
        "a generated world and models of tens to hundreds of thousands of parameters pretrained on it; "
        "SmolLM2-135M-Instruct as the one real model",
        "unknown: a world model has little beside what the probes ask, so that tuning may overwrite it sooner",
    ),
    Deviation(
        "Five tasks with up to 100,000 examples each, three epochs at a batch of 16 or 32",
        "five tasks of the same kinds, 4,000 tokens each, 60 updates of 16 examples for every model and arm; more "
        "where general data are added, so that as much of the task is seen",
        "less forgetting per task, if it grows with the number of updates; none between arms",
    ),
    Deviation(
        "One learning rate (2e-5) for all models",
        "one for all sizes of the world (0.003), and a sweep to compare them at the same loss on the new tasks; the "
        "real model's rate is chosen on validation data",
        "none at the same loss on the new tasks",
    ),
    Deviation(
        "FG: of the score at the start, mean of ratios over all checkpoints",
        "the share of the skill above chance that is gone at the end, a ratio of sums over fixed probes; FG beside it",
        "FG is the larger the higher a model starts, whatever it loses",
    ),
    Deviation(
        "MMLU, six reasoning sets, RACE, CrowS-Pairs; MMLU with five solved examples",
        "probes of the world in the same four groups without solved examples; public sets for the real model",
        "the probes of the world are solved almost perfectly by the larger models: no floor, but a ceiling",
    ),
    Deviation(
        "BLOOMZ against mT0, which share instructions but neither text nor vocabulary",
        "Llama-like against T5-like, same text and vocabulary, stopped at the same level",
        "none that is known",
    ),
    Deviation(
        "LLaMA-7b against Alpaca-7b: other data and a chat format",
        "the same world model, trained on with a fraction of its steps on the same questions behind instructions",
        "towards protection: it was trained for longer, and the probes are not asked in the chat format of its tasks",
    ),
    Deviation(
        "10,000 samples of Alpaca mixed in",
        "30 percent of all training tokens from the text that the model was pretrained on, without the facts asked",
        "towards mitigation: Alpaca is not what LLaMA was pretrained on",
    ),
    Deviation(
        "One run in one order; optimiser state between tasks and schedule are partly unknown",
        "ten seeds, each with a pretraining of its own (four for the real model); a fresh AdamW, warm-up and linear "
        "decay for each task, loss on the answer alone",
        "unknown",
    ),
)
