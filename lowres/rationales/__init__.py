"""Rationales: what a big frozen model writes about an input before a small one answers (FIAT, arXiv 2309.04663).

    request = Request("smollm2-135m-instruct", "privacy-qa")
    path = write(request, load_task("privacy-qa").train[:100])

The file can be named in a recipe; `lowres.data.rationales` reads it.
"""

from lowres.rationales.teaching import Teaching, traces
from lowres.rationales.writing import Request, complete, missing, named_by_content, take_over, write
