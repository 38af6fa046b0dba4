"""Ids: their form, their order, and that no two processes hand out the same one."""

import os

from service.kernel import ids


def test_an_id_has_its_prefix_and_26_characters() -> None:
    made = ids.new_id("crd")
    assert ids.is_id("crd", made)
    assert not ids.is_id("tpl", made)
    assert not ids.is_id("crd", made + "\n")
    assert not ids.is_id("crd", made.upper())


def test_ids_are_unique_and_sort_as_they_were_made() -> None:
    made = [ids.new_id("opn") for _ in range(20_000)]
    assert len(set(made)) == len(made)
    assert len({name[:14] for name in made}) < len(made)
    assert made == sorted(made)


def test_a_forked_process_makes_ids_of_its_own() -> None:
    """Negative control: without the fork hook parent and child would share the fetched numbers."""
    ids.new_id("opn")
    kept = list(ids._random)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, repr([ids._random80() for _ in range(10)]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(eval(os.read(reader, 65536)))  # noqa: S307  # our own child's numbers
    assert kept
    assert not theirs & set(kept)
    assert len(theirs) == 10
