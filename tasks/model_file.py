"""A trained model as a file, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn


def read_weights(problem: Any, path: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a safetensors file, whatever stands beside them.

    Raises:
        DataError: The file is missing or damaged.
    """
    from cellzoo.system.tensor_file import read_tensors

    tensors, _ = read_tensors(path)
    return tensors


@dataclass(frozen=True)
class ModelFile:
    """A form in which models of a kind of problem are written; a problem here is one of that kind.

    Attributes:
        suffix: How the file's name ends.
        write: Writes a model that was trained on a problem.
        read: Reads the state of a model of this problem; refuses a file that is of another one.
        can_write: Whether a model of some settings can be written so.
    """

    suffix: str
    write: Callable[[Any, nn.Module, Path], None]
    read: Callable[[Any, Path], Mapping[str, Tensor]] = read_weights
    can_write: Callable[[Any], bool] = lambda settings: True

    def load(self, problem: Any, model: nn.Module, path: Path) -> None:
        """Put the weights of a file into a model of the same cell and settings.

        Raises:
            DataError: The file is missing or damaged, or holds another model.
        """
        try:
            model.load_state_dict(self.read(problem, path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise DataError(
                f"{path}: does not fit the cell and the settings that were asked for: {reason:.300}"
            ) from error
