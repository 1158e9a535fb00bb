"""The mutants: each entry of the catalogue still is a mutation of the project. `make mutants` plants them and says which test notices."""

from __future__ import annotations

import pytest

from stack.settings import ROOT
from tests.dbt import mutation


@pytest.mark.parametrize("mutant", mutation.catalogue(), ids=lambda mutant: mutant.id)
def test_a_mutant_changes_its_file_at_one_place(mutant: mutation.Mutant) -> None:
    sound = (ROOT / "dbt" / mutant.file).read_text()
    assert mutation.mutated(mutant, sound) != sound
    assert mutation.downstream_first(mutant)


def test_there_are_enough() -> None:
    assert len(mutation.catalogue()) >= 40


def test_a_text_that_is_gone_is_an_error() -> None:
    mutant = mutation.Mutant("stale", "models/x.sql", "was", "is", "a rule")
    with pytest.raises(mutation.CatalogueError, match="mutant stale: the text to replace occurs 0 times"):
        mutation.mutated(mutant, "it has been")
    with pytest.raises(mutation.CatalogueError, match="occurs 2 times"):
        mutation.mutated(mutant, "it was what it was")
