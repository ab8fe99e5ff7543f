"""What of the documentation is made from the code is as the code is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aurora_kerberos import errors
from local import error_reference
from local.docs import documents

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("path", "content"), documents().items(), ids=lambda value: getattr(value, "name", ""))
def test_made_documents_are_up_to_date(path: Path, content: str) -> None:
    assert path.read_text() == content, "run `make docs`"


def test_every_error_of_the_code_and_of_the_state_machines_has_its_remedy() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    named = {name for name, value in vars(errors).items() if isinstance(value, type) and not value.__subclasses__()}
    assert error_reference.ends() == set(error_reference.ENDS)
    for name in named | error_reference.ends():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        _, _, meaning, remedy, where, _ = re.split(r"(?<!\\)\|", row)
        assert min(len(meaning), len(remedy), len(where)) > len("  x")


def test_the_readme_names_every_function_and_only_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in ROOT.glob("functions/*/"):
        assert f"`{folder.name}`" in readme
    for target in re.findall(r"\]\(([^)#]+)\)|(scenarios/[\w-]+\.yaml)", readme):
        assert (ROOT / "".join(target)).exists()
