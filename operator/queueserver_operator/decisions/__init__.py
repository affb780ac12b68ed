"""The decisions that `decide` is made of: pure functions of what is observed, one concern each."""
