"""Examples, tasks, probes, the general pool and mixing. Nothing is read before it is asked for."""

from lowres.data.adaptation_tasks import shares_items
from lowres.data.bundled import wheels
from lowres.data.load import catalogue, check_name, load_probe, load_task, probe_names, task_names
from lowres.data.mixing import ORDERS, mix, take_tokens
from lowres.data.overlap import touches_probe
from lowres.data.own import OwnTask, TaskOptions, misplaced_options
from lowres.data.pool import general_pool, pool_sources
from lowres.data.stream_tasks import STREAM
from lowres.examples import METRICS, SPLITS, Example, Probe, Task
