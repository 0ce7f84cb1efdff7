"""A stand-in for CUDA graphs on a CPU: it replays operations, not the function that called them.

What a graph has frozen is frozen here too: addresses, shapes, and every number that Python computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode,
)
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The operations of one graph, with the tensors of its recording.

    Attributes:
        touched: the tensors that it reads or writes and has not made itself, by the address of their memory.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.touched: dict[int, Tensor] = {}
        self._made: dict[int, Tensor] = {}  # kept, so that no address is used twice
        self._operations: list[tuple[Callable[[], Any], list[tuple[int, Tensor]]]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self.perform(function, args, kwargs or {})

    def perform(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a function and record the call."""
        assert function is not torch.ops.aten._local_scalar_dense.default, "a graph cannot wait for a number"
        given = {address(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for where, tensor in given.items():
            if where not in self._made:
                self.touched.setdefault(where, tensor)
        result = function(*args, **kwargs)
        new = [
            (place, leaf)
            for place, leaf in enumerate(tree_leaves(result))
            if isinstance(leaf, Tensor) and address(leaf) not in given
        ]
        self._made |= {address(tensor): tensor for _, tensor in new}
        self._operations.append((lambda: function(*args, **kwargs), new))
        return result

    def replay(self) -> None:
        """Do it all again, and write what is new to where it was written in the recording."""
        for where, tensor in self.touched.items():
            assert address(tensor) == where, "a tensor has been moved since the recording"
        for operation, new in self._operations:
            results = tree_leaves(operation())
            for place, tensor in new:
                tensor.copy_(results[place])


class Recorder:
    """Records steps on tapes.

    Attributes:
        tapes: all of them.
        replayed: the tape of each step, in order.
    """

    def __init__(self) -> None:
        self.tapes: list[Tape] = []
        self.replayed: list[Tape] = []

    def __call__(self, run: Callable[[], object]) -> Callable[[], None]:
        tape = Tape()
        with tape:
            run()
        self.tapes.append(tape)

        def replay() -> None:
            self.replayed.append(tape)
            tape.replay()

        return replay


def perform(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call something that is no operation of torch's, and record it where a tape is running."""
    tape = _get_current_dispatch_mode()
    if not isinstance(tape, Tape):
        return function(*args, **kwargs)
    with _disable_current_modes():
        return tape.perform(function, args, kwargs)


def address(tensor: Tensor) -> int:
    """Of the memory that a tensor is a view of."""
    return tensor.untyped_storage().data_ptr()
