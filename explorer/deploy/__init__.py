"""Deployment of a chosen design: bundle, device scripts, verification."""
