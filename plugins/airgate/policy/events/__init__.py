"""Events: what happened somewhere, told once, and known again when it is told twice."""
