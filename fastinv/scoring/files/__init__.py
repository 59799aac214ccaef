"""Reading sample files that others made, without trusting them."""

from fastinv.scoring.files.arrays import SampleFileError
from fastinv.scoring.files.reading import FORMATS, SampleFile, read_samples

__all__ = ["FORMATS", "SampleFile", "SampleFileError", "read_samples"]
