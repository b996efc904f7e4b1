"""A hub in whose process every run of a model named `other` ends the process, as a fault inside onnxruntime would."""

import os
from typing import Any

from hub.cli import main
from plugins.inference.session import Model

real = Model.run


def run(model: Model, rows: Any) -> Any:
    if model.facts.name == "other":
        os.abort()
    return real(model, rows)


if __name__ == "__main__":
    Model.run = run  # type: ignore[method-assign]
    main()
