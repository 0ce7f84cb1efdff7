"""A decoder whose blocks are on several devices.

Without a GPU the devices are make-believe: every tensor computes on the CPU and carries the name of the
device it would be on, and an operation on tensors of two devices fails as it would there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from model_runtime.decoding import DecoderConfig, weight_shapes
from model_runtime.torch_decoder import Acceleration, Decoder
from tests.model_runtime.torch_decoder.steps import LLAMA

CONFIG = replace(LLAMA, context_length=64, layers=4)
LEARNED = replace(
    CONFIG,
    rotary=None,
    block="parallel",
    norm="layernorm",
    mlp="plain",
    biases=frozenset({"qkv", "mlp"}),
    tied_head=True,
)
configs = pytest.mark.parametrize("config", [CONFIG, LEARNED], ids=["rotary", "learned and tied"])

PROMPT = [3, 14, 15, 9, 26, 5]


def device_of(weight: str, first: str, second: str) -> torch.device:
    """The embedding and the earlier blocks on one device, what follows on the other one."""
    early = ("embedding.", "positions.", "blocks.0.", "blocks.1.")
    return torch.device(first if weight.startswith(early) else second)


def split(
    config: DecoderConfig,
    weights: dict[str, Tensor],
    places: tuple[str, str],
    accelerated: Acceleration | None = None,
) -> Decoder:
    placed = {name: tensor.to(device_of(name, *places)) for name, tensor in weights.items()}
    return Decoder(config, placed, accelerated)


def random_weights(config: DecoderConfig) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) / 4 for name, shape in weight_shapes(config).items()
    }


def steps(decoder: Decoder) -> Tensor:
    """All logits of a prompt in two pieces and of a token after it."""
    cache = decoder.new_cache(capacity=32)
    pieces = (PROMPT[:4], PROMPT[4:], [7])
    return torch.cat([decoder.forward(piece, cache, "all") for piece in pieces])


class MakeBelieveDevices(TorchFunctionMode):
    """Lets tensors be on devices that are not there, and lists the moves between them."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[str, str]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func == Tensor.device.__get__:
            return place_of(args[0])
        kwargs = dict(kwargs or {})
        places = {place_of(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        assert len(places) < 2, f"{func} on tensors of different devices: {places}"
        place = next(iter(places), torch.device("cpu"))
        target = (
            next((each for each in args if isinstance(each, torch.device)), kwargs.get("device")) or place
        )
        if func is Tensor.to and target != place:
            self.moves.append((str(place), str(target)))
            args = (args[0].clone(), *args[1:])
        args = tuple(torch.device("cpu") if isinstance(each, torch.device) else each for each in args)
        result = func(*args, **(kwargs | {"device": "cpu"} if "device" in kwargs else kwargs))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                vars(each)["place"] = target
        return result


def place_of(tensor: Tensor) -> torch.device:
    place: torch.device = vars(tensor).get("place", torch.device("cpu"))
    return place


@pytest.fixture
def devices() -> Iterator[MakeBelieveDevices]:
    with MakeBelieveDevices() as mode:
        yield mode


@configs
@pytest.mark.parametrize("places", [("cuda:0", "cpu"), ("cuda:0", "cuda:1"), ("cpu", "cuda:0")])
def test_a_decoder_on_two_devices_gives_the_logits_of_one_on_one(
    config: DecoderConfig, places: tuple[str, str], devices: MakeBelieveDevices
) -> None:
    weights = random_weights(config)
    whole = steps(Decoder(config, weights))
    decoder = split(config, weights, places, Acceleration())
    first, second = map(torch.device, places)
    assert decoder.devices == [first, first, second, second]
    logits = steps(decoder)
    assert logits.device == (first if config.tied_head else second)
    assert logits.tolist() == whole.tolist()


@configs
def test_keys_and_values_are_where_their_layer_is(config: DecoderConfig, devices: MakeBelieveDevices) -> None:
    decoder = split(config, random_weights(config), ("cuda:0", "cpu"), Acceleration())
    cache = decoder.new_cache()
    for layer, device in enumerate(decoder.devices):
        assert [view.device for view in cache.layer_views(1)[layer]] == [device] * 3


@configs
def test_a_step_changes_the_device_only_where_its_blocks_do(
    config: DecoderConfig, devices: MakeBelieveDevices
) -> None:
    decoder = split(config, random_weights(config), ("cuda:0", "cpu"), Acceleration())
    cache = decoder.new_cache()
    devices.moves.clear()
    decoder.forward(PROMPT, cache)
    back = [("cpu", "cuda:0")] if config.tied_head else []
    assert devices.moves == [("cuda:0", "cpu"), *back]


@configs
def test_a_decoder_on_one_device_moves_nothing(config: DecoderConfig, devices: MakeBelieveDevices) -> None:
    decoder = split(config, random_weights(config), ("cuda:0", "cuda:0"), Acceleration())
    devices.moves.clear()
    steps(decoder)
    assert not devices.moves


def test_a_missing_move_would_be_seen(devices: MakeBelieveDevices) -> None:
    decoder = split(CONFIG, random_weights(CONFIG), ("cuda:0", "cpu"), Acceleration())
    decoder.devices[2] = torch.device("cuda:0")
    with pytest.raises(AssertionError, match="different devices"):
        steps(decoder)


@configs
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("places", [("cuda:0", "cpu"), ("cpu", "cuda:0")])
def test_on_a_gpu_a_split_decoder_gives_the_logits_of_a_whole_one(
    config: DecoderConfig, places: tuple[str, str]
) -> None:
    weights = random_weights(config)
    whole = steps(Decoder(config, weights))
    torch.testing.assert_close(steps(split(config, weights, places)).cpu(), whole, atol=1e-4, rtol=1e-4)
