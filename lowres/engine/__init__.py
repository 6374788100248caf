"""Run trials in one or several processes, show them as a table, plan them, verify published ones."""

from lowres.engine.checks import told_before
from lowres.engine.planning import plan
from lowres.engine.pool import run
from lowres.engine.tables import headline, table
from lowres.engine.verification import verify
