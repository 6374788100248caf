"""The kernel that executes notebooks: this interpreter, whatever kernels of the same name a machine has."""

from __future__ import annotations

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class OwnKernel(AsyncKernelManager):
    """Never looks into the folders of kernels: a "python3" there may be of another environment, or gone."""

    @default("kernel_spec_manager")
    def _without_folders(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])  # what it finds there is the ipykernel beside it
