"""The stand-in for CUDA graphs freezes what they freeze: a test with it fails where a GPU would err."""

from __future__ import annotations

import pytest
import torch

from tests.model_runtime.torch_decoder.tape import Recorder


def test_a_replay_reads_and_writes_at_the_addresses_of_the_recording() -> None:
    given, result = torch.ones(3), torch.zeros(3)
    replay = Recorder()(lambda: result.copy_((given * 2)[1:].sum() + given))
    given.fill_(5)
    replay()
    assert result.tolist() == [25, 25, 25]


def test_a_number_that_python_computed_stays_what_it_was() -> None:
    position, result = [1], torch.zeros(4)
    replay = Recorder()(lambda: result[: position[0]].fill_(position[0]))
    position[0] = 3
    replay()
    assert result.tolist() == [1, 0, 0, 0]


def test_a_tensor_that_was_moved_is_noticed() -> None:
    given, result = torch.ones(3), torch.zeros(3)
    replay = Recorder()(lambda: result.copy_(given))
    given.data = torch.ones(3)
    with pytest.raises(AssertionError, match="moved"):
        replay()


def test_a_graph_that_waits_for_a_number_cannot_be_recorded() -> None:
    given = torch.ones(3)
    with pytest.raises(AssertionError, match="wait"):
        Recorder()(lambda: given[: int(given.sum())].zero_())
