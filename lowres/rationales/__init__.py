"""Rationales: what a big frozen model writes about an input before a small one answers (FIAT, arXiv 2309.04663).

    request = Request("smollm2-135m-instruct", "privacy-qa")
    path = write(request, load_task("privacy-qa").train[:100])

The file can be named in a recipe; `lowres.data.rationales` reads it.
"""

<<<<<<< HEAD
from lowres.rationales.endpoint import KEY, Endpoint, EndpointError
from lowres.rationales.parsing import CONCLUSION, Parsed, final_answer, parse, vote
from lowres.rationales.prompts import Exemplar, ReasoningPrompt, check_leaks
from lowres.rationales.teaching import Teaching, taught, traces
from lowres.rationales.writing import Request, complete, missing, named_by_content, place, take_over, write

__all__ = [
    "CONCLUSION",
    "KEY",
    "Endpoint",
    "EndpointError",
    "Exemplar",
    "Parsed",
    "ReasoningPrompt",
    "Request",
    "Teaching",
    "check_leaks",
    "complete",
    "final_answer",
    "missing",
    "named_by_content",
    "parse",
    "place",
    "take_over",
    "taught",
    "traces",
    "vote",
    "write",
]
=======
from lowres.rationales.teaching import Teaching, traces
from lowres.rationales.writing import Request, write

__all__ = ["Request", "Teaching", "traces", "write"]
>>>>>>> main
