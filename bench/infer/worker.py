"""One runtime with one model, in a process of its own: reads lines "run N" and answers with the seconds of N runs.

The first answer is a line of JSON: {"outputs": [files], "memory": bytes, "version": ..}. Started by run.py.
"""
import ctypes
import json
import pathlib
import re
import sys
import time

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from object_lists import DTYPES, INPUT, RESULT, STATE, WEIGHTS, ArgInfo, TensorInfo, aligned, rows_of
from rows import ROWS, FLOATS, input_value, weight


class Weft:
    file = "model.so"

    def __init__(self, row, folder, threads):
        header = (folder / self.file).with_suffix(".h").read_text()
        library = ctypes.CDLL(str(folder / self.file))
        self.glue = ctypes.CDLL(str(folder.parent / "glue.so"))
        for name, result in [("glue_pool", ctypes.c_void_p), ("glue_exec", ctypes.c_void_p), ("glue_calls", ctypes.c_double)]:
            getattr(self.glue, name).restype = result
        entry = row.target.split(":")[-1]
        weights, self.params = self.fill(library, "weights", True)
        library.model_prepare_weights(ctypes.c_void_p(weights.ctypes.data))
        state, _ = self.fill(library, "state", False)
        self.pool = ctypes.c_void_p(self.glue.glue_pool(threads))
        size = self.workspace_size(library, header, entry, row)
        self.keep, self.results, args = [weights, state, aligned(size)], [], []
        for a in rows_of(library, f"model_{entry}_args", ArgInfo):
            if a.role in (WEIGHTS, STATE):
                args.append((weights, state)[a.role].ctypes.data)
                continue
            shape = [a.shape[i] for i in range(a.rank)]
            value = input_value(a.name.decode(), shape, DTYPES[a.dtype], row.ints) if a.role == INPUT else numpy.zeros(shape or [1], DTYPES[a.dtype])
            value = numpy.ascontiguousarray(value)
            self.keep.append(value)
            if a.role == RESULT:
                self.results.append(value)
            args.append(value.ctypes.data)
        self.args = (ctypes.c_void_p * len(args))(*args)
        self.call = getattr(library, f"model_{entry}_call")
        self.version = "weft"

    @staticmethod
    def fill(library, kind, packs):
        """The block, and how many numbers are in its tensors."""
        size = getattr(library, f"model_{kind}_size")
        size.restype = ctypes.c_size_t
        block, count = aligned(size()), 0
        infos = list(rows_of(library, f"model_{kind}_info", TensorInfo))
        raw = (ctypes.c_void_p * (len(infos) + 1))()
        keep = []
        for i, info in enumerate(infos):
            shape = [info.shape[k] for k in range(info.rank)]
            count += int(numpy.prod(shape))
            dtype = DTYPES[info.dtype]
            value = weight(info.name.decode(), shape, dtype) if dtype in FLOATS.values() else numpy.zeros(shape, dtype)
            value = numpy.ascontiguousarray(value)
            if packs:
                keep.append(value)
                raw[i] = value.ctypes.data
            else:
                block[info.offset:info.offset + info.bytes] = value.reshape(-1).view(numpy.uint8)
        if packs and library.model_pack_weights(raw, ctypes.c_void_p(block.ctypes.data)) != 0:
            raise SystemExit("the weights cannot be packed")
        return block, count

    def workspace_size(self, library, header, entry, row):
        names = re.search(rf"size_t model_{entry}_workspace\((.*?)\);", header, re.S).group(1)
        sizes = [ctypes.c_int64(row.shapes[n]) for n in re.findall(r"int64_t (\w+)", names)]
        function = getattr(library, f"model_{entry}_workspace")
        function.restype = ctypes.c_size_t
        return function(*sizes, ctypes.c_void_p(self.glue.glue_exec(self.pool)))

    def run(self, n):
        seconds = self.glue.glue_calls(self.call, self.args, ctypes.c_void_p(self.keep[2].ctypes.data), self.pool, n)
        if seconds < 0:
            raise SystemExit(f"the entry returns code {-seconds}")
        return seconds

    def outputs(self):
        return self.results


class WeftDirect(Weft):
    file = "direct.so"


def model_inputs(path, row):
    import onnx
    model = onnx.load(path, load_external_data=False)
    return {v.name: input_value(v.name, [d.dim_value for d in v.type.tensor_type.shape.dim],
                                onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type), row.ints) for v in model.graph.input}


class Timed:
    """A peer: `once` runs the model."""

    def run(self, n):
        begun = time.perf_counter()
        for _ in range(n):
            self.last = self.once()
        return time.perf_counter() - begun

    def outputs(self):
        return [numpy.asarray(x) for x in self.last]


class OnnxRuntime(Timed):
    def __init__(self, row, folder, threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = str(folder / "model.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = model_inputs(path, row)
        self.once = lambda: session.run(None, inputs)
        self.version = "onnxruntime " + onnxruntime.__version__


class OpenVino(Timed):
    def __init__(self, row, folder, threads):
        import openvino
        path = str(folder / "model.onnx")
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY",
                    "ENABLE_CPU_PINNING": False}
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
        inputs = model_inputs(path, row)
        count = len(request.model_outputs)

        def once():
            request.infer(inputs, share_inputs=True, share_outputs=True)
            return [request.get_output_tensor(i).data for i in range(count)]
        self.once = once
        self.version = "openvino " + openvino.__version__.split("-")[0]


class Torch(Timed):
    compiled = False

    def __init__(self, row, folder, threads):
        import torch
        import onnx_torch
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        path = str(folder / "model.onnx")
        model, inputs = onnx_torch.load(path), [torch.from_numpy(x) for x in model_inputs(path, row).values()]
        if self.compiled:
            model = torch.compile(model)
        self.once = lambda: model(*inputs)
        self.version = "torch " + torch.__version__ + (" compiled" if self.compiled else "")

    def outputs(self):
        return [x.numpy() for x in self.last]


class TorchCompiled(Torch):
    compiled = True


RUNNERS = {"weft": Weft, "weft-direct": WeftDirect, "ort": OnnxRuntime, "openvino": OpenVino, "torch": Torch, "torch-compiled": TorchCompiled}


def peak_memory():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text()).group(1))


def main():
    kind, row_name, folder, threads = sys.argv[1:]
    folder = pathlib.Path(folder)
    runner = RUNNERS[kind](ROWS[row_name], folder, int(threads))
    runner.run(1)
    files = []
    for i, value in enumerate(runner.outputs()):
        files.append(str(folder / f"out-{kind}-{i}.npy"))
        numpy.save(files[-1], value)
    print(json.dumps({"outputs": files, "version": runner.version, "params": getattr(runner, "params", None)}), flush=True)
    for line in sys.stdin:
        word, _, n = line.partition(" ")
        if word == "run":
            print(runner.run(int(n)), flush=True)
        elif word.strip() == "memory":
            print(peak_memory(), flush=True)


if __name__ == "__main__":
    main()
