"""Many clients at once against two worker processes; the tests say in words what each promises."""
