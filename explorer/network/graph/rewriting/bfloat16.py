"""bfloat16 networks as float32 ones: onnxruntime computes bfloat16 on few processors, and float32 holds every value."""

from typing import TYPE_CHECKING

from explorer.network.graph.traversal import stored_tensors, subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto

_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})  # of Cast, EyeLike, random and quantizing operators


def convert_bfloat16(model: "ModelProto") -> int:
    """Replace, in place, bfloat16 by float32: stored tensors, casts, inputs and outputs; return the number of tensors.

    Raises:
        ValueError: a tensor has more or fewer bytes than its shape needs.
    """
    from onnx import AttributeProto, TensorProto, numpy_helper

    wide, count = TensorProto.FLOAT, 0
    for tensor in stored_tensors(model):
        if tensor.data_type == TensorProto.BFLOAT16:
            values = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            count += 1
    for graph in subgraphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = wide
        for node in graph.node:
            for attribute in node.attribute:
                is_type = attribute.name in _TYPE_ATTRIBUTES and attribute.type == AttributeProto.INT
                if is_type and attribute.i == TensorProto.BFLOAT16:
                    attribute.i = wide
    return count
