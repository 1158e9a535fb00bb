"""mkdocs hooks: the generated pages, the benchmarks' results, and links between what lies in docs/ and what lies beside it.

Links in the repository are those of its files, so that they work wherever the files are read; here they are turned into those of the site. A link to a
file that is not part of the site is an error. Runs in `.venv/docs`: the standard library and mkdocs only.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
RESULTS = "benchmarks/results"
# A file beside the results that pages link to: what the cost model is reckoned from.
PRICES = "benchmarks/prices.json"
PROJECT = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?P<title>\s+\"[^\"]*\")?(?=\))")
FENCE = re.compile(r"^(```.*?^```|~~~.*?^~~~)", re.S | re.M)


def generated() -> Path:
    """Where `python -m website` has put what it makes."""
    folder = os.environ.get("WEBSITE_GENERATED")
    if not folder:
        raise PluginError("the site is built by `make docs`, which makes the reference pages first")
    return Path(folder)


def on_config(config: Any) -> Any:
    """Complete the navigation: a folder stands for all its pages."""
    config.nav = _completed(config.nav, Path(config.docs_dir))
    return config


def _completed(nav: list[Any], docs: Path) -> list[Any]:
    found: list[Any] = []
    for item in nav:
        if isinstance(item, str):
            found.append(item)
            continue
        (title, value), *_ = item.items()
        if isinstance(value, list):
            found.append({title: _completed(value, docs)})
        elif value.endswith("/"):
            pages = sorted(path.relative_to(docs).as_posix() for path in (docs / value).glob("[0-9]*.md"))
            found.append({title: [f"{value}index.md", *pages]})
        else:
            found.append(item)
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, the results and the prices."""
    made = generated()
    for path in sorted(made.rglob("*.md")):
        files.append(File.generated(config, path.relative_to(made).as_posix(), abs_src_path=str(path)))
    for path in [*sorted((ROOT / RESULTS).glob("*.json")), ROOT / PRICES]:
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    place = page.file.src_uri
    origin = (
        f"{place.removeprefix('project/').removesuffix('.md').upper()}.md"
        if place.startswith("project/")
        else f"docs/{place}"
    )

    def turned(match: re.Match[str]) -> str:
        path = match["path"]
        if "://" in path or path.startswith("mailto:"):
            return match[0]
        target = _in_site(posixpath.normpath(posixpath.join(posixpath.dirname(origin), path)))
        if target is None or files.get_file_from_path(target) is None:
            raise PluginError(f"{origin} links to {path}, which is not part of the site")
        return (
            posixpath.relpath(target, posixpath.dirname(place) or ".")
            + (match["anchor"] or "")
            + (match["title"] or "")
        )

    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else LINK.sub(turned, part) for i, part in enumerate(parts))


def _in_site(path: str) -> str | None:
    """Where a file of the repository is in the site; None when it is not."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith(f"{RESULTS}/") or path == PRICES:
        return f"results/{posixpath.basename(path)}"
    if path in PROJECT:
        return f"project/{path.lower()}"
    return None
