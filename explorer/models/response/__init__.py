"""Fitted responses: targets as functions of arbitrary knobs."""
