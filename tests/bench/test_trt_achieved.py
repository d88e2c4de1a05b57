"""Achieved precision is read off the inspector's JSON in the forms that TensorRT 8.6 and 10 write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.backends._achieved import achieved, layer_precision

INT8 = "sm90_xmma_fprop_implicit_gemm_i8i8_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_nchw_vect_c_32_tilesize128x128x64"
TF32 = "sm90_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize128x128x32_warpgroupsize1x1x1"
FP32 = "sm80_xmma_fprop_implicit_gemm_f32f32_f32f32_f32_nhwckrsc_nhwc_tilesize128x64x8_stage3"
FP16 = "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x32_stage4"


def layer_86(name: str, form: str, weights: str, kernel: str, *, channels: int = 64) -> dict[str, Any]:
    """Return a 3x3 convolution as 8.6's inspector writes it with detailed verbosity."""
    shape = [1, channels, 32, 32]
    return {
        "Name": name,
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "in", "Location": "Device", "Dimensions": shape, "Format/Datatype": form}],
        "Outputs": [{"Name": "out", "Location": "Device", "Dimensions": [1, 64, 32, 32], "Format/Datatype": form}],
        "ParameterType": "Convolution",
        "Kernel": [3, 3],
        "PaddingMode": "kEXPLICIT_ROUND_DOWN",
        "OutMaps": 64,
        "Groups": 1,
        "Weights": {"Type": weights, "Count": 64 * channels * 9},
        "Bias": {"Type": "Float", "Count": 64},
        "TacticName": kernel,
        "TacticValue": "0x11bde0e1d9f2f35d",
    }


def reformat(name: str) -> dict[str, Any]:
    """Return the copy that TensorRT puts before a convolution, which carries the convolution's name too."""
    text = f"Reformatting CopyNode for Input Tensor 0 to {name}"
    return {"Name": text, "LayerType": "Reformat", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]}


def layer_10(nodes: str, word: str, kind: str = "correlation") -> dict[str, Any]:
    """Return a convolution as 10's inspector writes those that Myelin compiles."""
    return {
        "Name": "__myl_Conv_myl0_3",
        "LayerType": kind,
        "Inputs": [{"Name": "in", "Dimensions": [1, 64, 32, 32], "Format/Datatype": word}],
        "Outputs": [{"Name": "out", "Dimensions": [1, 64, 32, 32], "Format/Datatype": word}],
        "TacticName": "__myl_kernel",
        "StreamId": 0,
        "Metadata": "\x1e".join(f"[ONNX Layer: {node}]" for node in nodes.split()),
    }


def text(*layers: Any) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["image", "logits"]})


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        (layer_86("c", "Thirty-two wide channel vectorized row major Int8 format", "Int8", INT8), "int8"),
        (layer_86("c", "Channel major INT8 format where channel % 16 == 0", "Int8", INT8), "int8"),
        (layer_86("c", "Channel major FP16 format where channel % 8 == 0", "Half", FP16), "fp16"),
        (layer_86("c", "Row major linear FP32", "Float", FP32), "fp32"),
        (layer_86("c", "Channel major FP32 format where channel % 4 == 0", "Float", TF32), "tf32"),
        (layer_86("c", "N/A due to dynamic shapes", "Half", FP16), "fp16"),
        (layer_86("c", "N/A due to dynamic shapes", "Float", "trt_ampere_h16816cudnn_256x64_relu"), "fp16"),
        (layer_86("c", "Row major linear FP32", "Float", "trt_ampere_scudnn_winograd_128x128_ldg1_tile148t"), "fp32"),
        (layer_86("c", "Row major Int8 format", "Half", "a_kernel"), "fp16"),
        (layer_10("/inc/Conv", "Half"), "fp16"),
        (layer_10("/inc/Conv", "BFloat16"), "bf16"),
        (layer_10("/inc/Conv", "Int8"), "int8"),
        (layer_10("/inc/Conv", "Float"), "fp32"),
    ],
)
def test_the_format_of_one_convolution(layer: dict[str, Any], precision: str) -> None:
    assert layer_precision(layer) == precision


def test_convolutions_weigh_by_their_flops_in_the_graph() -> None:
    eight = layer_86("/up/Conv + /up/Relu", "Thirty-two wide channel vectorized row major Int8 format", "Int8", INT8)
    half = layer_86("w + QuantizeLinear + /inc/Conv + /inc/Relu", "Channel major FP16 format", "Half", FP16)
    found = achieved(text(reformat("/inc/Conv"), eight, half), {"/up/Conv": 3.0, "/inc/Conv": 1.0})
    assert found == {"fp16": 0.25, "int8": 0.75}


def test_a_convolution_that_no_layer_names_is_unknown() -> None:
    layer = layer_10("/inc/Conv /inc/Relu", "Half")
    assert achieved(text(layer), {"/inc/Conv": 3.0, "/lost/Conv": 1.0}) == {"fp16": 0.75, "unknown": 0.25}


def test_names_are_not_mistaken_for_longer_ones() -> None:
    layers = [layer_10("/inc/Conv_1", "Int8"), layer_10("/inc/Conv", "Half")]
    assert achieved(text(*layers), {"/inc/Conv": 1.0}) == {"fp16": 1.0}


def test_a_convolution_inside_another_fusion_is_found_after_the_convolution_layers() -> None:
    fused = layer_10("/inc/Conv /up/Resize", "Half", kind="fusion")
    plain = layer_10("/inc/Conv", "Int8")
    assert achieved(text(fused, plain), {"/inc/Conv": 1.0}) == {"int8": 1.0}
    assert achieved(text(fused), {"/inc/Conv": 1.0}) == {"fp16": 1.0}


def test_pooling_fused_into_a_convolution_counts_as_the_convolution() -> None:
    layer = layer_86("/inc/Conv + pool", "Row major Int8 format", "Int8", INT8) | {"LayerType": "CaskConvActPool"}
    assert achieved(text(layer), {"/inc/Conv": 1.0}) == {"int8": 1.0}


def test_layers_with_names_of_their_own_weigh_by_their_dimensions() -> None:
    wide = layer_86("up1.conv:0:CONVOLUTION:GPU", "Channel major FP16 format", "Half", FP16, channels=192)
    narrow = layer_86("inc.0:0:CONVOLUTION:GPU", "Row major Int8 format", "Int8", INT8, channels=64)
    assert achieved(text(wide, narrow), {}) == {"fp16": 0.75, "int8": 0.25}


def test_a_transposed_convolution_with_a_name_of_its_own_weighs_what_it_multiplies() -> None:
    up = layer_86("up:0:DECONVOLUTION:GPU", "Channel major FP16 format", "Half", FP16)
    up |= {"LayerType": "CaskDeconvolutionV2", "Kernel": [2, 2]}
    up["Outputs"][0]["Dimensions"] = [1, 32, 64, 64]
    same = layer_86("conv:0:CONVOLUTION:GPU", "Int8 format", "Int8", INT8)
    multiplied = {"fp16": 64 * 32 * 32 * 32 * 2 * 2, "int8": 64 * 32 * 32 * 64 * 3 * 3}
    found = achieved(text(up, same), {"/elsewhere/Conv": 1.0})
    wanted = pytest.approx({name: each / sum(multiplied.values()) for name, each in multiplied.items()})
    assert found == wanted
    product = up | {"LayerType": "gemm", "ParameterType": "Deconvolution"}
    assert achieved(text(product, same), {}) == wanted


def test_a_convolution_that_tells_no_dimensions_weighs_as_the_others_do() -> None:
    told = layer_86("inc.0:0:CONVOLUTION:GPU", "Row major Int8 format", "Int8", INT8)
    assert achieved(text(told, layer_10("", "Half"), layer_10("", "Half")), {}) == pytest.approx(
        {"fp16": 2 / 3, "int8": 1 / 3}
    )
    assert achieved(text(layer_10("", "Half")), {}) == {"fp16": 1.0}


def test_names_that_myelin_adds_to_are_the_graph_s() -> None:
    layer = layer_10("", "Half") | {"Name": "/inc/Conv_myl0_4"}
    longer = layer_10("", "Int8") | {"Name": "/inc/Conv_1_myl0_3"}
    assert achieved(text(longer, layer), {"/inc/Conv": 1.0}) == {"fp16": 1.0}


def test_what_is_no_image_among_a_layer_s_inputs_does_not_count() -> None:
    layer = layer_10("/inc/Conv", "Int8")
    layer["Inputs"].insert(0, {"Name": "l2_cache_policy_inputs_0", "Dimensions": [], "Format/Datatype": "N/A"})
    assert achieved(text(layer), {"/inc/Conv": 1.0}) == {"int8": 1.0}


def test_a_convolution_run_as_a_product_is_not_taken_for_the_move_before_it() -> None:
    moved, product = layer_10("/last/Conv", "Half", kind="kgen"), layer_10("/last/Conv", "Int8", kind="gemm")
    assert achieved(text(moved, product), {"/last/Conv": 1.0}) == {"int8": 1.0}


def test_types_as_tensorrt_11_tells_them_are_read() -> None:
    layer = layer_10("/inc/Conv", "Half")
    for end in (*layer["Inputs"], *layer["Outputs"]):
        end |= {"Datatype": end.pop("Format/Datatype"), "Format": "Linear"}
    assert achieved(text(layer), {"/inc/Conv": 1.0}) == {"fp16": 1.0}


def test_an_engine_without_layer_details_proves_nothing() -> None:
    assert achieved(text("/inc/Conv + /inc/Relu"), {"/inc/Conv": 1.0}) == {"unknown": 1.0}
    assert achieved("{}", {}) == {"unknown": 1.0}


@pytest.mark.parametrize("name", ["int8", "tf32"])
def test_what_tensorrt_8_6_said_of_its_engines_on_an_h200_is_understood(name: str) -> None:
    recorded = Path(__file__).parent / "recorded"
    flops = json.loads((recorded / "convolution_flops.json").read_text(encoding="utf-8"))
    layers = (recorded / f"tensorrt-8.6-{name}.json").read_text(encoding="utf-8")
    assert achieved(layers, flops) == {name: 1.0}
