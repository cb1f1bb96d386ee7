"""What all tests share: hypothesis without deadlines (machines are shared), the same examples in every CI run."""

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Scripts that trained and measured the shipped networks: they need torch, and are no tests.
collect_ignore = ["networks"]
