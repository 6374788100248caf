"""lowres: with little task data, which way of adapting a language model pays, and at what cost to what it knew.

The book's notebooks and the `lowres` command are thin; the studies, and everything they stand on, are in here.
"""
