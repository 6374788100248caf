"""The claims of the LoReFT paper with its numbers, and where we deviate from it; `rules` says what decides each."""

from __future__ import annotations

from lowres.claims import Claim, Deviation

MARGIN = 0.02  # of a score

CLAIMS = (
    Claim(
        name="loreft-1",
        statement="On commonsense questions LoReFT beats LoRA with a small part of its parameters.",
        source="Wu et al. 2024, Table 1",
        reported="LLaMA-7B, mean of eight sets: LoReFT 80.2 with 0.031 %, LoRA 74.7 with 0.826 % (copied, not re-run)",
    ),
    Claim(
        name="loreft-2",
        statement="Long generation is its weakness: an edit of the prompt alone is diluted.",
        source="Wu et al. 2024, Table 2 and section 4.3",
        reported="arithmetic with worked steps, LLaMA-7B: LoReFT 42.6, LoRA 46.9, prefix tuning 35.0",
    ),
    Claim(
        name="loreft-3",
        statement="In following instructions LoReFT is ahead of LoRA, RED and full tuning.",
        source="Wu et al. 2024, Table 3",
        reported="win rate on Alpaca-Eval: LoReFT 85.60, RED 81.69, LoRA 81.48, full tuning 80.93 (a model judged)",
    ),
    Claim(
        name="loreft-4",
        statement="Half of the rank, or a small part of the data, loses little.",
        source="Wu et al. 2024, Table 3",
        reported="win rate 85.60; at half rank 84.12; with 1,000 examples instead of tens of thousands 81.91",
    ),
    Claim(
        name="loreft-5",
        statement="On classification LoReFT is on a par with LoRA, not better.",
        source="Wu et al. 2024, Table 4",
        reported="GLUE, RoBERTa-base: LoReFT 84.2, LoRA 84.7; RoBERTa-large: 88.2 and 88.1",
    ),
    Claim(
        name="loreft-6",
        statement="DiReFT is slightly worse than LoReFT everywhere.",
        source="Wu et al. 2024, Tables 1 to 4",
        reported="commonsense 79.0 against 80.2, arithmetic 40.6 against 42.6, GLUE 83.2 against 84.2 (RoBERTa-base)",
    ),
    Claim(
        name="loreft-7",
        statement="The gain does not come from training longer.",
        source="Wu et al. 2024, Tables 14 and 15",
        reported="with 3 instead of 6 epochs commonsense 79.5 instead of 80.2, still above LoRA's 74.7",
    ),
    Claim(
        name="loreft-8",
        statement="The parametrisation hardly matters; that the edit depends on its input does.",
        source="Wu et al. 2024, Table 17 (LLaMA-7B, arithmetic)",
        reported="LoReFT 42.6, no subtraction 42.9, not orthogonal 42.4, constant 37.1, bias only 31.3",
    ),
    Claim(
        name="loreft-9",
        statement="The larger the model, the closer LoReFT comes to LoRA where it is behind.",
        source="Wu et al. 2024, Table 2 (difference computed here)",
        reported="arithmetic: LoRA ahead by 4.3 points at 7B, by 1.5 at 13B",
    ),
    Claim(
        name="loreft-10",
        statement="One edit of rank 1 at one position of one layer recalls a long text; of random words much less.",
        source="Wu et al. 2024, appendix F",
        reported="LLaMA-7B: 2,048 tokens of Alice in Wonderland, random tokens up to 128",
    ),
)

DEVIATIONS = (
    Deviation(
        "LLaMA 7B and 13B, Llama-2, Llama-3; RoBERTa for classification",
        "SmolLM2-135M-Instruct, and world models of tens to hundreds of thousands of parameters",
        "unknown; by the paper's own account, that scale helps, LoReFT should do less well here",
    ),
    Deviation(
        "170,000 commonsense questions, eight test sets",
        "SIQA and CommonsenseQA, about a thousand questions for training (published), five sources in the tier `gpu`",
        "towards tuners with few parameters: little data punishes the others more",
    ),
    Deviation(
        "MATH10K with written-out reasoning; GSM8K, AQuA, MAWPS, SVAMP",
        "a generator of problems in several steps, which SmolLM2 cannot do; long and short answers of the same kind in "
        "the world",
        "unknown; the world's answers are some twenty tokens long and need no calculation; only their length differs",
    ),
    Deviation(
        "Alpaca-Eval, judged by GPT-4",
        "constraints that can be checked, and the likelihood of held-out answers",
        "unknown: form is only a part of following instructions",
    ),
    Deviation(
        "GLUE",
        "BoolQ, PrivacyQA, topics of encyclopaedia articles, factual consistency of summaries",
        "none that is known",
    ),
    Deviation(
        "Answers generated, compared as strings",
        "choices scored by their likelihood where a task has choices",
        "towards arms that learn the form of an answer last: form does not count here",
    ),
    Deviation(
        "Baselines copied from other papers, with their recipes and their tuning",
        "every arm run here, with the same number of candidate rates on validation data",
        "towards the baselines",
    ),
    Deviation(
        "Hyper-parameters of LoReFT chosen on the last 300 training rows of GSM8K with a large grid",
        "rank, positions and layers as the paper has them; only the rate is chosen, for every arm",
        "against LoReFT, whose ranks and positions are not tuned here (the curves show what there was to gain)",
    ),
    Deviation(
        "Positions counted in prompts of a plain template",
        "prompts in the model's chat format: the first positions stand on the same system text in every prompt",
        "against LoReFT: edits of constant tokens are constant",
    ),
    Deviation(
        "Three seeds of training on one subset",
        "three seeds or more, each with its own subset, order and initialisation; in the world its own model too",
        "none; intervals are wider and honest",
    ),
)
