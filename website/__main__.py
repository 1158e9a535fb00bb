"""`python -m website`: build the documentation site into LOCAL_DIR/docs/site, without the network. The Makefile's `docs` calls it.

What is generated (website/reference.py) is written first, in this environment; mkdocs then runs in `.venv/docs`, strictly: a link or a page that
is not there is an error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stack import settings
from stack.bootstrap import VENV
from stack.settings import ROOT
from website import reference

# Pages of the repository itself that are part of the site: {path in the repository: path in the site}.
PROJECT_PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}


class BuildError(RuntimeError):
    """mkdocs found something wrong; the message is what it said."""


def build(folder: Path) -> Path:
    """Build the site in `folder`, which it empties first. Returns the site's folder. Raises BuildError."""
    shutil.rmtree(folder, ignore_errors=True)
    generated, site = folder / "generated", folder / "site"
    pages = reference.pages() | {place: (ROOT / source).read_text() for source, place in PROJECT_PAGES.items()}
    for name, text in pages.items():
        path = generated / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run(
        [VENV / "docs" / "bin" / "mkdocs", "build", "--strict", "--quiet", "--site-dir", site],
        cwd=ROOT,
        env=os.environ | {"WEBSITE_GENERATED": str(generated), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError((done.stderr or done.stdout).strip())
    return site


def main() -> int:
    """Build, and say where it is. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m website", description=__doc__).parse_args()
    try:
        site = build(settings.for_command().local_dir / "docs")
    except (BuildError, OSError) as error:
        print(f"error: the site cannot be built: {error}", file=sys.stderr)
        return 1
    pages = sum(1 for _ in site.rglob("*.html"))
    print(
        f"{pages} pages in {site}; to read them: {sys.executable} -m http.server 8060 --bind 127.0.0.1 --directory {site}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
