"""Samplers for a user's own Optuna study: one proposes from a model, the other learns from measurements."""

from explorer.search.samplers.learning_sampler import LearningSampler
from explorer.search.samplers.model_sampler import ModelSampler

__all__ = ["LearningSampler", "ModelSampler"]
