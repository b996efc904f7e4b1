"""The gallery shows every plugin, in its own words."""

import ast

from tests.hubs import ROOT


def test_every_plugin_is_in_the_gallery_with_its_own_sentence_and_hooks() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "plugins").glob("*/__init__.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [node.name.removeprefix("register_") for node in tree.body if isinstance(node, ast.FunctionDef)]
        hooks = [name for name in names if not name.startswith("_") and name != "settings"]
        row = f"| [{file.parent.name}](../plugins/{file.parent.name}/__init__.py) | {ast.get_docstring(tree)} | {', '.join(hooks)} |"
        assert row in page, file.parent.name
