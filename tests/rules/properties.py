"""A property with its negative control: a wrong variant of the function that it must reject."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


class Property(NamedTuple):
    """`check(function, *case)` asserts; it must pass with `right` and fail with `wrong`."""

    check: Callable[..., None]
    right: Callable[..., Any]
    wrong: Callable[..., Any]
    cases: tuple[st.SearchStrategy[Any], ...]

    def holds(self) -> None:
        """Look for a counterexample; there must be none."""
        self._search(self.right, settings(deadline=None, database=None, max_examples=100))

    def rejects_the_wrong(self) -> None:
        """Look for a counterexample of the wrong variant; there must be one, on every run."""
        found = settings(
            deadline=None,
            database=None,
            derandomize=True,
            max_examples=1000,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow],
        )
        with pytest.raises(AssertionError):
            self._search(self.wrong, found)

    def _search(self, function: Callable[..., Any], how: settings) -> None:
        @how
        @given(st.tuples(*self.cases))
        def run(case: tuple[Any, ...]) -> None:
            self.check(function, *case)

        run()


def each(properties: list[Property]) -> pytest.MarkDecorator:
    """One test per property, named after its check."""
    return pytest.mark.parametrize("prop", properties, ids=lambda prop: prop.check.__name__)
