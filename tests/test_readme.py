"""Runs what the documentation shows: a page's python and console blocks, in order, are one program.

A `console` block types each line after `$ ` into one POSIX shell a page, in a temporary directory with this environment's
commands on PATH and `examples/embedded.py`; what follows is its output, where `...` stands for anything. Python runs in the
folder where that shell is. Every command must succeed, except the last of a block tagged `console fails`, which must not.
`console no-run` installs, and `INSTALLS` lists it. The lessons run once more, one after the other in one shell.
"""

from __future__ import annotations

import re
import shutil
import socket
import sys
import types
from pathlib import Path

import pytest

from tests.helpers.console import Block, run_command, run_console, shell_in

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LESSONS = tuple(page for page in PAGES if re.match(r"docs/learn/\d", page))
RUN = ("python", "console", "console fails")
SHOWN = ("text", "json", "toml")
PORT = "8000"  # where `jwt serve` listens by default; whatever listens there on this machine is none of our business
INSTALLS = {
    "README.md": ["pip install 'admit[server,fastapi]'", "make demo"],
    "CONTRIBUTING.md": [
        "make test",
        "make test PYTHON=python3.13",
        "make unit ARGS='tests/jose -k thumbprint'",
        "make fuzz TARGETS='jws jwe' RUNS=10000000",
        "make mutate MUTANTS='admit.jose.jwe.*'",
    ],
}


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Block(fence[1].strip(), fence[2], text.count("\n", 0, fence.start()) + 2)
        for fence in re.finditer(r"^```(.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    assert 2 * len(found) == len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)), (
        "a fence is indented or not closed"
    )
    return found


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.once
@pytest.mark.parametrize(
    "pages", [*((page,) for page in PAGES), LESSONS], ids=lambda each: each[0] if len(each) == 1 else "lessons"
)
def test_what_a_page_shows_runs(pages: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "".join((ROOT / page).read_text(encoding="utf-8") for page in pages)
    for tool in ("curl", "jq"):
        if re.search(rf"\b{tool} ", shown) and not shutil.which(tool):
            pytest.skip(f"the page calls {tool}, and there is none here")
    port = free_port()
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "embedded.py", tmp_path)
    with shell_in(tmp_path, ADMIT_PORT=port, UVICORN_PORT=port) as shell:
        for page in pages:
            module = types.ModuleType("page")
            monkeypatch.setitem(sys.modules, "page", module)
            for typed in blocks(page):
                block = typed._replace(text=typed.text.replace(f":{PORT}", f":{port}"))
                if block.tag == "python":
                    source = "\n" * (block.line - 1) + block.text
                    exec(compile(source, ROOT / page, "exec", dont_inherit=True), module.__dict__)
                elif block.tag in RUN:
                    run_console(shell, block)
                    monkeypatch.chdir(run_command(shell, "pwd")[1].rstrip("\n"))


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ echo one; false\none\n"),
        ("console", "$ exit 0\n"),
        ("console fails", "$ true\n"),
        ("console", "one\n$ echo one\none\n"),
        ("console", "echo one\n"),
    ],
)
def test_a_block_that_does_not_do_what_it_shows_is_refused(tag: str, text: str, tmp_path: Path) -> None:
    with shell_in(tmp_path) as shell, pytest.raises(AssertionError):
        run_console(shell, Block(tag, text, 1))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    unknown = [block for block in blocks(page) if block.tag not in (*RUN, *SHOWN, "console no-run")]
    assert not unknown, "tag it: " + ", ".join((*RUN, *SHOWN))


def test_only_known_install_commands_are_left_unrun() -> None:
    unrun = {page: [b for b in blocks(page) if b.tag.endswith("no-run")] for page in PAGES}
    assert {page: [c for b in found for c, _ in b.commands] for page, found in unrun.items() if found} == INSTALLS


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


def test_the_first_application_of_the_readme_is_the_example() -> None:
    example = (ROOT / "examples" / "embedded.py").read_text(encoding="utf-8")
    assert blocks("README.md")[0].text == example.split('"""\n')[1].lstrip()


def test_the_readme_leads_to_every_page_of_the_docs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in ROOT.glob("docs/*.md") if f"(docs/{page.name})" not in readme] == []
