"""Decision: selection rules, the weighted sum over alpha, and the selected design on a device."""
