"""Decoders of the Llama family by hand: rows without padding, one forward and one backward step per half block.

    decoder = fast.Decoder(network)         # where fast.supports(network); weights are read anew for every update
    loss = decoder.accumulate(rows)         # rows: `Encoded` (anything with `ids` and `prompt_length`)

`accumulate` is all that a training loop needs: it adds the gradient of the rows' mean negative log-likelihood per
target token to `.grad` of the parameters that are trained, and returns that mean (nats). The loop clips, steps and
zeroes as ever. `fast.reader(model, autocast)` scores choices and texts; `unchanged` keeps its layout of the weights.

- The tokens of all rows stand in one [tokens, width]; attention alone sees rows, in buckets of similar length.
- Products that read the same vector are one: queries, keys and values; gate and up. The weight of the norm before them
  is folded in. Rows of queries and keys are reordered so that the rotation is one complex product.
- Low-rank adapters are added to small weights, once per update; beside large ones they ride in the same product,
  [x | x A'] [W | s B]'. The chain from there to the parameters is autograd's, on weights, once per update.
- Under autocast, products and attention are in bfloat16, the stream of hidden states in float32.
"""

from __future__ import annotations

from lowres.fast.decoder import Decoder
from lowres.fast.scoring import Reader, reader, unchanged
from lowres.fast.support import supports, switched_off
