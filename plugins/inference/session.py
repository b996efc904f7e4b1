"""The only door to onnxruntime in the running hub: a model given as bytes, one thread, an arena as small as the model, no file in reach."""

from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.inference.model_file import INPUT, OUTPUTS, facts_in
from plugins.inference.refusal import ModelFailed

WIDEST = 2.0
"""Log return: a forecast of a seven-fold price is no forecast."""


class Model:
    """A model that is loaded, and says what comes."""

    def __init__(self, content: bytes, nowhere: Path) -> None:
        """`nowhere`: an empty folder, where a model that names other files finds none. ModelFailed where it cannot be loaded."""
        try:
            self._session = _session(content, nowhere)
        except Exception as error:
            raise ModelFailed(f"it cannot be loaded: {_words(error)}") from error
        self.facts = facts_in(self._session.get_modelmeta().custom_metadata_map)

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """[window, features] to [log_return, low, high, p_up] x [horizons]. ModelFailed where it fails, or says what cannot be."""
        try:
            answers = self._session.run(OUTPUTS, {INPUT: rows[None]})
            expected, low, high, p_up = said = [
                answer[0].tolist() for answer in answers
            ]  # a dozen numbers: numpy's calls would take longer
        except Exception as error:
            raise ModelFailed(f"its run failed: {_words(error)}") from error
        if {answer.shape for answer in answers} != {(1, len(self.facts.horizons))}:
            raise ModelFailed(f"it answers in the shape {answers[0].shape}, and its metadata names {len(self.facts.horizons)} horizons")
        for four in zip(low, expected, high, p_up, strict=True):
            _refuse(*four)
        return np.array(said)


def _refuse(low: float, expected: float, high: float, p_up: float) -> None:
    """A number that is none is in no order with any other."""
    if not all(-WIDEST <= level <= WIDEST for level in (low, expected, high)) or not isfinite(p_up):
        raise ModelFailed("it says a number that cannot be")
    if not low <= expected <= high or not 0.0 <= p_up <= 1.0:
        raise ModelFailed("its numbers contradict each other: low, price, high must ascend, and P(up) lies in 0 to 1")


def _session(content: bytes, nowhere: Path) -> Any:
    import onnxruntime  # 45 MB and a third of a second: only where a model runs

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(nowhere))
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _words(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
