"""Functional forms of targets: input scaling, terms and laws, physics with priors, candidates."""
