"""The claims of the TELL paper, and the rule that decides each, written down before anything was run.

Below, B is the smallest task budget that was run and "score" the task's own metric (token F1 for free answers). A rule
looks at the 95 % interval of an effect (see `lowres.claims`): wholly beyond the boundary is a yes, wholly short of it
a no, anything else unclear.
"""

from __future__ import annotations

from lowres.claims import Claim, Deviation

MARGIN = 0.02

CLAIMS = (
    Claim(
        name="tell-1",
        statement="With about 10 entries of task data, SFT alone gains nothing visible over the untouched model, while "
        "TELL gains and reaches what SFT reaches with ten times the task data.",
        source="second-hand summary of the paper; the authors' repository says that 10 entries suffice",
        reported="no table could be recovered; budgets from 10,000 tokens",
    ),
    Claim(
        name="tell-2",
        statement="With 100,000 to 1,000,000 task tokens, TELL is clearly better than SFT on the same task data.",
        source="second-hand summary of the paper",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-3",
        statement="TELL saves up to nearly an order of magnitude of task data.",
        source="abstract",
        reported="up to nearly 10 times less task data",
    ),
    Claim(
        name="tell-4",
        statement="Both ingredients are needed: the anchor prompt and the shuffled general data.",
        source="repository README; figure names with and without prefix",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-5",
        statement="With fixed task data, the score first stays flat and then jumps as general data grow (emergence).",
        source="second-hand summary of the paper",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-6",
        statement="Order matters: shuffling task and general data beats training on one after the other.",
        source="the quantisation-hypothesis argument of the paper",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-7",
        statement="The model may write its own anchor prompt.",
        source="second-hand summary of the paper; the name of one of its figures",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-8",
        statement="TELL helps across models, sizes and tasks.",
        source="second-hand summary of the paper",
        reported="no table could be recovered",
    ),
    Claim(
        name="tell-9",
        statement="The gain of TELL over SFT is leverage, not merely more optimisation: SFT with as many updates stays "
        "behind.",
        source="implied by the paper, which reports no such control",
        reported="not reported",
    ),
)

DEVIATIONS = (
    Deviation(
        "Models of 7 billion parameters (Gemma-7B-instruct, Llama-2-7B-chat)",
        "SmolLM2-135M-Instruct by default, any model by name; in the world, models of tens to hundreds of thousands "
        "of parameters",
        "unknown: a small model has fewer skills that general data could call upon, so TELL may look weaker here",
    ),
    Deviation(
        "The published weights",
        "the bundled model is the 4-bit release, de-quantised to fp32",
        "a slightly worse start for every arm alike",
    ),
    Deviation(
        "Icelandic-English translation and hallucination detection with reasoning in JSON",
        "short descriptions of encyclopaedia articles by default; DisflQA, BoolQ and a moral-choice task by name; in "
        "the world, reversing, sorting, evidence and forms",
        "unknown: the default task teaches mostly a format, which favours plain SFT",
    ),
    Deviation(
        "The general data are not named in any source that could be found",
        "a pool of nine public question-answering and summarisation sets, heavy in yes/no questions; in the world the "
        "text that its models were pretrained on",
        "against TELL, if the original pool was broader; in the world for TELL, where it keeps what was known",
    ),
    Deviation(
        "Ratios of general to task data were not found",
        "a grid of powers of two in tokens; ratio 4 for the ablations",
        "unknown",
    ),
    Deviation(
        "LoRA settings were not found; the toolkit's defaults of the time are rank 8, alpha 32, dropout 0.05 on "
        "attention layers",
        "rank 8, alpha 32, no dropout, all linear layers, two epochs, batches of four (in the world five, of eight), "
        "rate chosen on validation data",
        "in favour of every arm; small budgets see more updates",
    ),
    Deviation(
        "Budgets from 10,000 to 1,000,000 task tokens, documents of about 1,000 tokens each",
        "budgets count the bare prompt and target; examples have 60 tokens, so 1,000 tokens are about 15 entries; in "
        "the world 250 and 1,000 tokens of examples of some ten to thirty",
        "matched in entries rather than tokens: the smallest budget of the paper is 10 entries",
    ),
    Deviation("Whether plain SFT saw the anchor is unknown", "both are run: sft (bare) and sft+anchor", "none"),
    Deviation(
        "One run, or number of runs unknown",
        "several seeds, each with its own subset of the task data; paired over seeds and items",
        "none",
    ),
)
