"""The counter-based random stream that every back end of the kernels shares."""

from fastinv.kernels.random.philox import Purpose, philox4x32, split_seed, uniform32, uniform53

__all__ = ["Purpose", "philox4x32", "split_seed", "uniform32", "uniform53"]
