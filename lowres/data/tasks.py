"""The bundled tasks by name, in the order of listing."""

import functools
from collections.abc import Callable

from lowres.data import adaptation_tasks, fiat_tasks, form_tasks, made_tasks, plain_tasks, stream_tasks
from lowres.examples import Task

TASKS: dict[str, Callable[[], Task]] = {
    "disflqa": plain_tasks.disflqa,
    "wiki-description": plain_tasks.wiki_description,
    "abstract-narrative": plain_tasks.abstract_narrative,
    "boolq": plain_tasks.boolq,
    **stream_tasks.TASKS,
    "commonsense": functools.cache(lambda: adaptation_tasks.commonsense(plain_tasks.boolq)),
    "siqa-csqa": adaptation_tasks.siqa_csqa,
    "arithmetic": adaptation_tasks.arithmetic,
    "arithmetic-steps": made_tasks.arithmetic_steps,
    "instruction-following": form_tasks.instruction_following,
    "privacy-qa": adaptation_tasks.privacy_qa,
    "wiki-topic": adaptation_tasks.wiki_topic,
    "factual-consistency": adaptation_tasks.factual_consistency,
    **made_tasks.RECITATIONS,
    **made_tasks.TELLINGS,
    **fiat_tasks.TASKS,
}
