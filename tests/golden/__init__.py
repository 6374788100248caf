"""Tiny trials whose outcomes are stored: what the record-making half must produce.

`python -m tests.golden` runs them and prints what differs; `--write` records. A result may move only together with
`RESULT_VERSION`, and that number may rise only when a result moved: see `verdict.py`.
"""
