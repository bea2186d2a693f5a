"""Two import rules that import-linter does not have: who alone may import a library, and what is pure."""

import ast
import re
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyHere(Contract):
    """Some packages may be imported by modules of certain names only.

    `packages`: what is imported. `allowed`: patterns of full module names, with `*`.
    """

    type_name = "only_here"

    packages = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find direct imports from elsewhere."""
        found = []
        for package in self.packages:  # type: ignore[attr-defined]
            importers = graph.find_modules_that_directly_import(package) if package in graph.modules else set()
            for importer in sorted(importers):
                if not any(fnmatchcase(importer, pattern) for pattern in self.allowed):  # type: ignore[attr-defined]
                    found.append(f"{importer} imports {package}")
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that is not allowed."""
        for line in check.metadata["found"]:
            output.print_error(line)


class Pure(Contract):
    """Pure modules cannot reach the world, over any chain of imports.

    Pure is what matches `modules` (patterns with `*`), and what says "Pure." or
    "Pure:" in its docstring. `forbidden`: what none of them may reach.
    """

    type_name = "pure"

    modules = fields.ListField(subfield=fields.StringField())
    forbidden = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the shortest chain from each pure module to each forbidden one."""
        found = []
        worlds = [name for name in self.forbidden if name in graph.modules]  # type: ignore[attr-defined]
        for module in sorted(name for name in graph.modules if self._is_pure(name, graph)):
            for world in worlds:
                chain = graph.find_shortest_chain(module, world, as_packages=not graph.is_module_squashed(world))
                if chain:
                    found.append(f"{module} is pure, but reaches {world}: {' -> '.join(chain)}")
        return ContractCheck(kept=not found, metadata={"found": found})

    def _is_pure(self, name: str, graph: ImportGraph) -> bool:
        if graph.is_module_squashed(name):
            return False
        listed = any(fnmatchcase(name, pattern) for pattern in self.modules)  # type: ignore[attr-defined]
        return listed or says_pure(name)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each chain."""
        for line in check.metadata["found"]:
            output.print_error(line)


def says_pure(name: str) -> bool:
    """Say whether a module calls itself pure in its docstring; the file is read, not imported."""
    top, _, _ = name.partition(".")
    spec = find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]).parent.joinpath(*name.split(".")).with_suffix(".py") if places else Path()
    if not path.is_file():
        return False
    return bool(re.search(r"\bPure[.:]", ast.get_docstring(ast.parse(path.read_text())) or ""))
