"""The claims as experiments: what the arms of each one are, how one is measured, what follows from them."""
