"""Many clients at once against two worker processes: what each promises is in the tests' own words."""
