"""What an engine reuses from earlier requests, and that it does not change the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from statistics import median

import pytest

from model_runtime.api import Chunk, CompletionRequest, Dtype, ModelOptions, OutOfMemory, Quantize, Usage
from model_runtime.decoding import Sampler, generate
from model_runtime.engine.engine import DELIVERY_SECONDS, Engine, EngineOptions
from model_runtime.hardware.threads import ThreadTuner
from model_runtime.models import resolve
from model_runtime.tokenization.tokenizer import Tokenizer
from model_runtime.torch_decoder import Acceleration
from tests.model_runtime.engine.typing_session import typing_session
from tests.model_runtime.factory import write_checkpoint
from tests.model_runtime.torch_decoder.tape import Recorder
from tests.model_runtime.watching import watch

PLAIN = EngineOptions(chunk=16, background=False, draft=False, heal=False)
FULL = EngineOptions(chunk=16)
TEXT = "for index, value in enumerate(values):\n    if value is None:\n        continue\n" * 4
REQUEST = CompletionRequest(prefix=TEXT, suffix="\n", max_tokens=6, session="a")


class Ticking:
    """A clock on which every look takes a millisecond, and so does every pass of a model."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def open_engine(
    folder: Path | None,
    dtype: Dtype,
    engine_options: EngineOptions = PLAIN,
    clock: Callable[[], float] | None = None,
    quantize: Quantize = "none",
) -> Engine:
    model = str(folder) if folder else None
    options = ModelOptions(model=model, device="cpu", dtype=dtype, quantize=quantize)
    return Engine(options, lambda share, what: None, engine_options, clock or Ticking())


def answer(engine: Engine, request: CompletionRequest) -> tuple[str, Usage]:
    chunks = list(engine.complete(request))
    assert chunks[-1].usage is not None
    return "".join(chunk.text for chunk in chunks), chunks[-1].usage


def new_tokens(usage: Usage) -> int:
    return usage.prompt_tokens - usage.reused_tokens


@pytest.fixture
def engine(checkpoint_folder: Path, dtype: Dtype) -> Engine:
    return open_engine(checkpoint_folder, dtype)


@pytest.mark.parametrize(
    ("model", "quantize", "dtype"),
    [
        ("tiny", "none", "fp32"),
        ("tiny", "none", "fp16"),
        ("tiny", "none", "bf16"),
        ("tiny", "int8", "fp32"),
        ("tiny", "int8", "fp16"),
        ("tiny", "int8", "bf16"),
        ("default", "none", "fp32"),
        ("default", "int8", "fp32"),
    ],
)
@pytest.mark.parametrize("draft", [False, True], ids=["", "drafting"])
def test_at_every_key_the_answer_is_that_of_an_empty_cache_for_the_same_prompt(
    checkpoint_folder: Path, model: str, quantize: Quantize, dtype: Dtype, draft: bool
) -> None:
    folder = checkpoint_folder if model == "tiny" else None
    engine = open_engine(folder, dtype, replace(FULL, heal=False, draft=draft), quantize=quantize)
    tokenizer = Tokenizer(resolve(str(folder) if folder else None))
    decoder = engine.decoder
    watched = watch(engine)
    for request in typing_session(16, replace(REQUEST, max_tokens=5)):
        text, usage = answer(engine, request)
        cold = generate(decoder, decoder.new_cache(), watched.prompt(usage), Sampler(), max_tokens=5)
        tokens = [token for token in cold if token is not None]
        expected = tokenizer.decode(takewhile(lambda token: not tokenizer.is_control(token), tokens))
        assert text == expected or watched.is_rounding(usage)
        while engine.work_in_background():
            pass


def test_with_graphs_answers_are_those_of_an_engine_without(
    checkpoint_folder: Path, dtype: Dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots copied, rewound and drafted into: no graph may read what was there when it was recorded."""
    eager = open_engine(checkpoint_folder, dtype, replace(FULL, heal=False))
    recorder = Recorder()
    monkeypatch.setattr(
        "model_runtime.torch_decoder.decoder.acceleration", lambda devices, of: Acceleration(capture=recorder)
    )
    engine = open_engine(checkpoint_folder, dtype, replace(FULL, heal=False))
    watched = watch(engine)
    for at, request in enumerate(typing_session(12, replace(REQUEST, max_tokens=8))):
        request = replace(request, session="ab"[at % 2])
        text, usage = answer(engine, request)
        assert text == answer(eager, request)[0] or watched.is_rounding(usage)
        while engine.work_in_background():
            pass
    assert len(recorder.replayed) > len(recorder.tapes) > 0


def test_a_key_costs_a_few_tokens() -> None:
    engine = open_engine(None, "fp32", replace(FULL, draft=False))
    costs = []
    for request in typing_session(40, replace(REQUEST, max_tokens=1)):
        costs.append(new_tokens(answer(engine, request)[1]))
        while engine.work_in_background():
            pass
    assert median(costs) <= 3
    assert sum(cost > 20 for cost in costs) <= 4  # the first one, and where the cursor jumped


def test_two_concurrent_completions_are_those_of_each_alone(engine: Engine) -> None:
    requests = [replace(REQUEST, session=name, prefix=TEXT + name) for name in ("a", "b")]
    alone = [answer(engine, request)[0] for request in requests]
    watched = watch(engine)
    streams = [engine.complete(replace(request, session=request.session * 2)) for request in requests]
    texts, usages = ["", ""], [Usage(0, 0, 0)] * 2
    for chunks in zip(*streams, strict=True):
        texts = [text + chunk.text for text, chunk in zip(texts, chunks, strict=True)]
        usages = [chunk.usage or usage for usage, chunk in zip(usages, chunks, strict=True)]
    assert texts == alone or all(watched.is_rounding(usage, at) for at, usage in enumerate(usages))


def test_another_session_copies_the_cache_and_leaves_the_original(engine: Engine) -> None:
    _, first = answer(engine, REQUEST)
    _, other = answer(engine, replace(REQUEST, session="b", prefix=TEXT + "x"))
    _, again = answer(engine, replace(REQUEST, prefix=TEXT + "x"))
    assert new_tokens(first) == first.prompt_tokens
    assert new_tokens(other) <= 3
    assert new_tokens(again) <= 3


def test_an_interrupted_prefill_is_continued(engine: Engine) -> None:
    stream = engine.complete(REQUEST)
    next(stream)
    next(stream)
    stream.close()
    assert answer(engine, REQUEST)[1].reused_tokens == 32


def test_a_completion_ends_before_its_deadline(checkpoint_folder: Path, dtype: Dtype) -> None:
    clock = Ticking()
    engine = open_engine(checkpoint_folder, dtype, clock=clock)
    answer(engine, replace(REQUEST, max_tokens=1))
    deadline = clock.now + DELIVERY_SECONDS + 0.04
    chunks = list(engine.complete(replace(REQUEST, max_tokens=100, deadline=deadline)))
    assert chunks[-1].finish == "deadline"
    assert chunks[-1].usage is not None
    assert 3 < chunks[-1].usage.decoded_tokens < 40
    assert clock.now <= deadline - DELIVERY_SECONDS + 1e-9


def test_what_there_was_no_time_for_is_computed_in_the_background(
    checkpoint_folder: Path, dtype: Dtype
) -> None:
    clock = Ticking()
    engine = open_engine(checkpoint_folder, dtype, replace(PLAIN, background=True), clock)
    hasty = replace(REQUEST, deadline=clock.now + DELIVERY_SECONDS + 0.005)
    [*_, last] = engine.complete(hasty)
    assert (last.finish, last.usage and last.usage.decoded_tokens) == ("deadline", 0)
    passes = 0
    while engine.work_in_background():
        passes += 1
    assert passes >= 2
    assert new_tokens(answer(engine, REQUEST)[1]) == 1


def test_after_the_deadline_a_request_ends_at_once(engine: Engine) -> None:
    watched = watch(engine)
    assert [chunk.finish for chunk in engine.complete(replace(REQUEST, deadline=-1.0))] == ["deadline"]
    assert watched.passes == 0


def test_there_is_no_background_prefill_for_requests_without_a_session(
    checkpoint_folder: Path, dtype: Dtype
) -> None:
    engine = open_engine(checkpoint_folder, dtype, replace(PLAIN, background=True))
    engine.complete(replace(REQUEST, session="")).close()
    list(engine.complete(replace(REQUEST, session="", deadline=-1.0)))
    assert not engine.work_in_background()


def test_out_of_memory_idle_slots_are_evicted_and_the_pass_is_retried(engine: Engine) -> None:
    answer(engine, REQUEST)
    expected, _ = answer(engine, REQUEST)  # computed as it is below, and so rounded in the same way
    answer(engine, replace(REQUEST, session="b", prefix="x = 1\n" * 20))
    watch(engine, failures=1)
    assert answer(engine, REQUEST)[0] == expected
    _, other = answer(engine, replace(REQUEST, session="b", prefix="x = 1\n" * 20))
    assert other.reused_tokens <= 2  # its slot is gone


def test_a_request_for_which_there_is_no_memory_fails_alone(engine: Engine) -> None:
    watch(engine, failures=2)
    with pytest.raises(OutOfMemory, match="smaller model"):
        answer(engine, REQUEST)
    assert answer(engine, REQUEST)[0]


def test_background_prefill_ends_when_out_of_memory(checkpoint_folder: Path, dtype: Dtype) -> None:
    engine = open_engine(checkpoint_folder, dtype, replace(PLAIN, background=True))
    list(engine.complete(replace(REQUEST, deadline=-1.0)))
    watch(engine, failures=2)
    while engine.work_in_background():
        pass
    assert answer(engine, REQUEST)[0]


def test_threads_are_retuned_in_the_background(checkpoint_folder: Path, dtype: Dtype) -> None:
    clock = Ticking()
    engine = open_engine(checkpoint_folder, dtype, replace(PLAIN, background=True), clock)
    engine.threads = ThreadTuner(lambda threads: None, 2, Ticking())
    engine.threads.prefill = 2  # which gains nothing by its clock
    assert not engine.work_in_background()
    clock.now += 60
    answer(engine, REQUEST)
    while engine.work_in_background():
        answer(engine, REQUEST)  # a request between two passes does not interfere
    assert engine.threads.prefill == 1
    assert not engine.work_in_background()


def test_a_word_is_completed_although_its_tokens_differ_from_training(tmp_path: Path, dtype: Dtype) -> None:
    write_checkpoint(tmp_path)
    engine = open_engine(tmp_path, dtype, FULL)
    text, usage = answer(engine, replace(REQUEST, prefix=TEXT + "for ind", max_tokens=6))
    assert usage.decoded_tokens >= 6
    assert not text.startswith("ind")


def test_a_completion_that_was_made_before_costs_fewer_passes(checkpoint_folder: Path, dtype: Dtype) -> None:
    engine = open_engine(checkpoint_folder, dtype, replace(PLAIN, draft=True))
    request = replace(REQUEST, prefix="x = 1\n" * 3, max_tokens=24)
    first = watch(engine)
    previous, _ = answer(engine, request)
    again = watch(engine)
    text, usage = answer(engine, request)
    assert text == previous or again.is_rounding(usage)
    assert again.passes < first.passes / 2


def test_chunks_have_the_usage_so_far(engine: Engine) -> None:
    chunks: list[Chunk] = list(engine.complete(REQUEST))
    decoded = [chunk.usage.decoded_tokens for chunk in chunks if chunk.usage]
    assert decoded == sorted(decoded)
    assert decoded[0] == 0  # a prefill chunk
    assert decoded[-1] == 6
