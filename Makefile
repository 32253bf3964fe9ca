# A thin front of CMake: what to type on a fresh Debian 12. Everything else is in CMakePresets.json.
PRESET ?= release

PACKAGES = gcc clang cmake ninja-build mold pkg-config flex bison llvm-19-dev libopenblas-dev libyaml-dev libcmocka-dev \
           libjansson-dev libprotobuf-c-dev protobuf-c-compiler libedit-dev libpng-dev libjpeg-dev zlib1g-dev dataset-fashion-mnist clang-format

.PHONY: build deps test demo bench parity format golden install clean

build: build/$(PRESET)/build.ninja
	cmake --build --preset $(PRESET)

build/$(PRESET)/build.ninja:
	cmake --preset $(PRESET)

# Installs what is missing and does nothing, not even ask for a password, when everything is there.
deps:
	@missing=""; \
	for p in $(PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" = 0 ]; then sudo=""; else sudo=sudo; fi; \
	    echo "installing$$missing"; \
	    $$sudo apt-get update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y --no-install-recommends $$missing; \
	fi

test: deps
	$(MAKE) build
	ctest --preset $(PRESET)

demo: deps
	$(MAKE) build
	driver/demo.sh build/$(PRESET)/weft

# Inference against other runtimes from PyPI, in a virtual environment of its own: hours, on a machine that does nothing else.
# Rows that have a result in build/bench/infer are kept; the table goes to docs/benchmarks.md.
bench: deps
	$(MAKE) build
	test -x .venv/bin/python || python3 -m venv .venv
	.venv/bin/pip install --quiet onnx onnxruntime openvino numpy
	.venv/bin/pip install --quiet torch || echo "torch does not install: its column stays empty"
	.venv/bin/python bench/infer/run.py --missing
	.venv/bin/python bench/infer/run.py --table --write

# Random cases against PyTorch and JAX, in the same environment: some minutes. The table goes to docs/parity.md.
parity: deps
	$(MAKE) build
	test -x .venv/bin/python || python3 -m venv .venv
	.venv/bin/pip install --quiet torch jax optax numpy
	.venv/bin/python tests/parity/run.py --write

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

# Rewrites the expected part of every golden test; the difference is reviewed as code.
golden: build
	WEFT_GOLDEN=1 ctest --preset $(PRESET)

install: build
	cmake --install build/$(PRESET)

clean:
	rm -rf build
