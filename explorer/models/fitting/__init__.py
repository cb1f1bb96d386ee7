"""Fit of one form: at the mode of its posterior or sampled, with residual Gaussian process and calibration."""
