"""Samplers for a user's own Optuna study: they propose from a model, or from what was measured so far."""

from explorer.search.samplers.learning_sampler import LearningSampler
from explorer.search.samplers.model_sampler import ModelSampler

__all__ = ["LearningSampler", "ModelSampler"]
