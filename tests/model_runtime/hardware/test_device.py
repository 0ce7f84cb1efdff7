"""Devices and formats: what the user asks for, on what the machine has."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from model_runtime.api import Device, Dtype, ModelOptions, Quantize
from model_runtime.decoding import MatrixFormat
from model_runtime.engine.engine import Engine
from model_runtime.hardware.device import (
    may_have_gpu,
    needs_torch,
    resolve_device,
    resolve_matrix_format,
)
from model_runtime.native import native_problem

ON_THE_CPU: MatrixFormat = "int8" if native_problem() is None else "float"


@pytest.mark.parametrize(
    ("device", "dtype", "quantize", "expected"),
    [
        ("cpu", "auto", "auto", ON_THE_CPU),
        ("cpu", "fp32", "auto", "float"),
        ("cpu", "bf16", "auto", "float"),
        ("cpu", "auto", "none", "float"),
        ("cpu", "fp32", "int8", "int8"),
        ("cpu", "auto", "int4", "int4"),
        ("cuda", "auto", "auto", "stored"),
        ("cuda", "fp16", "auto", "stored"),
        ("cuda", "auto", "none", "float"),
        ("cuda", "auto", "int8", "int8"),
        ("mps", "auto", "auto", "float"),
        ("mps", "auto", "int8", "int8"),
    ],
)
def test_matrices_are_int8_where_that_is_faster_or_requested(
    device: Device, dtype: Dtype, quantize: Quantize, expected: MatrixFormat
) -> None:
    options = ModelOptions(device=device, dtype=dtype, quantize=quantize)
    assert resolve_matrix_format(options, device) == expected


@pytest.mark.parametrize(
    ("dtype", "quantize", "said"),
    [
        ("auto", "auto", "int8" if ON_THE_CPU == "int8" else "fp32"),
        ("auto", "none", "fp32"),
        ("fp32", "auto", "fp32"),
        ("bf16", "int8", "bf16"),  # no kernel takes it: the weights are restored
    ],
)
def test_an_open_model_says_what_it_computes_with(
    checkpoint_folder: Path, dtype: Dtype, quantize: Quantize, said: str
) -> None:
    options = ModelOptions(str(checkpoint_folder), "cpu", dtype, quantize)
    assert Engine(options, lambda share, what: None).info.dtype == said


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (ModelOptions(), ON_THE_CPU == "float"),
        (ModelOptions(device="cpu", quantize="int4"), ON_THE_CPU == "float"),
        (ModelOptions(quantize="none"), True),
        (ModelOptions(dtype="fp32"), True),
        (ModelOptions(dtype="bf16", quantize="int8"), True),
        (ModelOptions(device="cuda"), True),
    ],
)
def test_torch_is_needed_for_floats_and_other_devices(
    options: ModelOptions, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_runtime.hardware.device.may_have_gpu", lambda: False)
    assert needs_torch(options) == needed


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac always has a GPU")
@pytest.mark.parametrize(
    ("version", "driver", "expected"),
    [
        ("2.9.0", False, False),
        ("2.9.0", True, True),
        ("2.9.0+cu130", True, True),
        ("2.9.0+cpu", True, False),
        ("2.9.0+rocm6.4", False, True),
    ],
)
def test_a_gpu_takes_a_driver_and_a_torch_that_was_built_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, driver: bool, expected: bool
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    monkeypatch.setattr("model_runtime.hardware.device.CUDA_DRIVER", "libnothing.so.1")
    monkeypatch.setattr("model_runtime.hardware.device.AMD_DRIVER", tmp_path / "kfd")
    if driver:
        (tmp_path / "kfd").touch()
    assert may_have_gpu() == expected
    assert expected or resolve_device("auto") == "cpu"


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert may_have_gpu() == (sys.platform == "darwin")


def test_a_gpu_that_torch_knows_of_is_never_overlooked() -> None:
    assert may_have_gpu() or not torch.cuda.is_available()
