"""What of the documentation is made from the code is as the code is."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from aurora_kerberos import errors
from tools.docs import errors as reference
from tools.docs.documents import documents

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("path", "content"), documents().items(), ids=lambda value: getattr(value, "name", ""))
def test_made_documents_are_up_to_date(path: Path, content: str) -> None:
    assert path.read_text() == content, "run `make docs`"


def test_every_error_of_the_code_and_of_the_state_machines_has_its_remedy() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    named = {name for name, value in vars(errors).items() if isinstance(value, type) and not value.__subclasses__()}
    assert reference.fail_state_errors() == set(reference.FAIL_STATES)
    for name in named | reference.fail_state_errors():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        _, _, meaning, remedy, where, _ = re.split(r"(?<!\\)\|", row)
        assert min(len(meaning), len(remedy), len(where)) > len("  x")


def test_every_error_is_raised_somewhere() -> None:
    """Only a person's silence can end an execution with an error that no function raises."""
    page = (ROOT / "docs" / "errors.md").read_text()
    unraised = [line.split("`")[1] for line in page.splitlines() if line.endswith(f"| {reference.BY_SILENCE} |")]
    assert unraised == ["ApprovalExpired"]


def test_the_readme_names_every_function() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in ROOT.glob("functions/*/"):
        assert f"`{folder.name}`" in readme


def test_the_changelog_begins_with_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version


def test_make_prints_every_target() -> None:
    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607  PATH's
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {line.split()[1] for line in said.splitlines()} == set(phony.split()) - {"packages"}  # a part of `setup`


def test_a_commit_is_checked_as_make_lint_does() -> None:
    recipes = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv/bin")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (mypy,) = [each["entry"] for each in hooks if each["id"] == "mypy"]
    assert f"@{mypy}\n" in recipes


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / ".github").rglob("*.md"))]
EXAMPLES = ("NAME", "check_backups", "check-backups", "event_topics", "<step>")  # which are not there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    for target, heading in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        assert not heading or heading in anchors(file.read_text()), f"{target}#{heading}"
    for named in re.findall(
        r"\b(?:deploy|functions|layers|local|scenarios|setup|statemachine|tests|tools)/[\w/-]+\.(?:py|yaml)", text
    ):
        assert (ROOT / named).exists() or any(example in named for example in EXAMPLES), named


def anchors(text: str) -> set[str]:
    """The headings of a page as a link names them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
