"""The model's line in the table of models; apart from the network, so that a list of names loads no torch."""

from fastinv.models import Entry, ModelInfo
from fastinv.models.settings import Settings

GAUSSIAN = Entry(
    ModelInfo(
        name="gaussian",
        title="Gaussian",
        family="one Gaussian per observation",
        invertibility="none",
        maximum_likelihood=True,
        supervised=False,
        equations="",
        addition=True,
    ),
    Settings(lr=3e-3, y_noise=0.02),
    "fastinv_example.gaussian:Gaussian",
)
