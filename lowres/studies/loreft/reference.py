"""The same training by the book's LoReFT and by pyreft's, from the same first edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowres.tuners.representation import Edits

RATE = 1e-2
POSITIONS = "p3+s3"


def losses(model: str, task: str, updates: int, batch_size: int = 8) -> dict[str, tuple[float, ...]]:
    """Nats per target token of every update, by either; same examples in the same order, fp32."""
    import torch

    from lowres import models, tuners
    from lowres.data import load_task
    from lowres.optimisation import Optimisation
    from lowres.train import train
    from lowres.tuners.representation import edits_of

    pristine = models.load(model, "fp32")
    ours, theirs = models.fresh(pristine), models.fresh(pristine)
    book, pyreft = (
        tuners.apply(tuners.make(name, positions=POSITIONS), model, 0)
        for name, model in (("loreft", ours), ("loreft-pyreft", theirs))
    )
    edits = edits_of(book)
    assert edits is not None
    with torch.no_grad():
        hand_over(edits, pyreft)
    examples = load_task(task).train[: updates * batch_size]
    rows = [models.encode(pristine, example.prompt, example.target) for example in examples]
    how = Optimisation(RATE, batch_size=batch_size)
    return {
        "here": train(book, ours, rows, how, "LoReFT").losses,
        "pyreft": train(pyreft, theirs, rows, how, "LoReFT by pyreft").losses,
    }


def hand_over(edits: Edits, pyreft: Any) -> None:
    """Give pyreft's interventions the matrices R, W and b of edits that were not trained yet."""
    import torch

    assert edits.rotation is not None
    assert edits.source is not None
    assert edits.bias is not None
    for which, each in enumerate(pyreft.reft.interventions.values()):
        rotation, square = each.rotate_layer.parametrizations.weight, torch.eye(edits.width)
        reflectors, scales = (part[which].cpu() for part in (edits.rotation.reflectors, edits.rotation.scales))
        rotation[0].base = torch.ormqr(reflectors, scales, square).to(edits.bias.device)
        each.learned_source.weight.copy_(edits.source[which])
        each.learned_source.bias.copy_(edits.bias[which])
