"""Exact samplers for CUDA: envelopes are built on the host, proposals are made and judged on the device."""

from fastinv.kernels.rejection.triton_gpu.launch import sample

__all__ = ["sample"]
