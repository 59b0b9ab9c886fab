# A fresh machine with Python 3.11.5 to 3.14, git and make will do: each target makes the environment it needs.  More is
# needed by release and slides (a Chromium, or PDF=no), links and grade (the network) and test-slurm (SLURM).
SHELL   := /bin/bash
PYTHON  ?= python3
EDITION ?= world
PORT    ?= 8000
VENV    := .venv
RUN     := $(VENV)/bin/python
LOCK    := requirements.lock

# A variable as one word of the shell, whatever is in it: spaces, quotes, &, and $, which make leaves alone in a value.
quoted   = '$(subst ','\'',$(value $(1)))'

.DEFAULT_GOAL := help
.PHONY: help env packages lock book preview record release course slides grade serve compare site links lab test test-quick \
	test-faults test-slurm bench bench-quick lint clean

help:  ## list the targets
	@echo "make TARGET [EDITION=world|preview|smoke|path/to/edition.yaml]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(VENV)/.complete  ## make the environment (.venv): the packages of requirements.lock, and no others

$(VENV)/.complete: pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 15))' \
		|| { echo "error: PYTHON=$(PYTHON): Python 3.11.5 or newer, up to 3.14, is needed"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@$(MAKE) --no-print-directory packages
	@touch $@

# Of 20,000 modules a few thousand are ever imported: pip would take minutes to compile all, and Python compiles each
# when it is first imported, unless it is told to write none.
INSTALL = -m pip install --quiet --no-deps $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)

# torch by itself: some registries hold a build for CPUs under its version, which the lock knows by its hash, and which
# needs none of CUDA's packages.  pip, left alone, takes what PyPI has.
packages:  ## install these packages into the Python that RUN names, such as a conda environment's or Colab's
	@set -e; torch=$$(grep -o '^torch==[^ ]*' $(LOCK)); folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	echo "installing $(LOCK) for $(RUN): a few minutes"; \
	$(RUN) -m pip download --quiet --no-deps --only-binary :all: --dest "$$folder" "$$torch"; \
	grep -qF -e "$$($(RUN) -m pip hash "$$folder"/torch-*.whl | tail -n 1)" $(LOCK) \
		|| { echo "error: $$(cd "$$folder" && ls): $(LOCK) does not know this build; is PIP_EXTRA_INDEX_URL set?"; exit 2; }; \
	$(RUN) $(INSTALL) --no-index --find-links "$$folder" "$$torch"; \
	case "$$(ls "$$folder")" in *+cpu*) cuda='^(nvidia-|cuda-|triton==)' ;; *) cuda='^$$' ;; esac; \
	awk -v cuda="$$cuda" '/^[^ #]/ { keep = $$0 !~ cuda } keep' $(LOCK) >"$$folder/requirements.txt"; \
	$(RUN) $(INSTALL) --only-binary :all: --require-hashes --requirement "$$folder/requirements.txt"; \
	$(RUN) $(INSTALL) --no-build-isolation --editable .; \
	$(RUN) -m pip check

lock: env  ## resolve all packages again into requirements.lock; those that it names stay as they are
	$(RUN) -m pip install --quiet --target $(VENV)/uv uv
	$(VENV)/uv/bin/uv pip compile --quiet --universal --all-extras --generate-hashes --python-version 3.11.5 \
		--custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml

book: env  ## build the book of one edition; open book/_build/<edition>/html/index.html
	$(RUN) -m w2s_lib.book --edition $(call quoted,EDITION) $(if $(WORKERS),--workers $(call quoted,WORKERS))
	@if [ "$$(ls -d book/_build/*/html 2>/dev/null | wc -l)" -gt 1 ]; then \
		$(RUN) -m w2s_lib.book.compare --all $(call quoted,EDITION); fi

preview:  ## build a preview of the book from one study seed that comes with it: trains nothing, a minute
	@$(MAKE) --no-print-directory book EDITION=preview

record: env  ## add study seeds to the record that comes with an edition (SEEDS=500-507), from where it was
	@test -n $(call quoted,SEEDS) || { echo "error: SEEDS=: name the record's seeds, such as SEEDS=500-507"; exit 2; }
	OMP_NUM_THREADS=1 $(RUN) -m w2s_lib.book.record --edition $(call quoted,EDITION) --seeds $(call quoted,SEEDS) $(if $(filter-out undefined,$(origin BESIDE)),--beside=$(call quoted,BESIDE)) $(if $(WORKERS),--workers $(call quoted,WORKERS))

# PDFs are printed by a Chromium of this machine; PDF=no does without
NO_PDF = $(if $(filter no,$(PDF)),--no-pdf)

release: env  ## put the built book, as site and PDF, exercises, record and results into one folder, with checksums
	$(RUN) -m w2s_lib.book.release --edition $(call quoted,EDITION) $(NO_PDF)

course: env  ## write hand-outs, solutions and graders of a built book: CHAPTERS="01 05" (all without)
	@$(RUN) -m w2s_lib.book.course --edition $(call quoted,EDITION) --chapters $(foreach name,$(value CHAPTERS),$(call quoted,name))

slides: env  ## write slides of a built book, as pages and PDF (PDF=no: pages alone): CHAPTERS="01 05" (all without)
	@$(RUN) -m w2s_lib.book.slides --edition $(call quoted,EDITION) $(NO_PDF) --chapters $(foreach name,$(value CHAPTERS),$(call quoted,name))

# otter-grader wants another wrapt than the book: it gets an environment of its own, which sees the book's packages
$(VENV)/otter/.complete: | env
	$(RUN) -m venv $(VENV)/otter
	$(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(echo $(VENV)/otter/lib/python*/site-packages)/book.pth"
	$(VENV)/otter/bin/python -m pip install --quiet otter-grader==7.0.0
	@touch $@

grade: $(VENV)/otter/.complete  ## mark a notebook that was handed in: GRADER=path/to/01_tour.zip NOTEBOOK=path/to/it.ipynb
	@test -f $(call quoted,GRADER) || { echo error: GRADER=$(call quoted,GRADER)': no such file; make course writes graders'; exit 2; }
	@test -f $(call quoted,NOTEBOOK) || { echo error: NOTEBOOK=$(call quoted,NOTEBOOK)': no such file'; exit 2; }
	@folder="$$(mktemp -d)" && $(VENV)/otter/bin/otter run --no-logo -a $(call quoted,GRADER) -o "$$folder" $(call quoted,NOTEBOOK)

serve: env  ## serve the built book on http://localhost:8000 (PORT=8000)
	@html="$$($(RUN) -m w2s_lib.book --edition $(call quoted,EDITION) --where)" \
		&& exec $(RUN) -m http.server $(call quoted,PORT) --bind 127.0.0.1 --directory "$$html"

compare: env  ## lay built books side by side, on a page and as CSV: EDITIONS="world smoke"
	@$(RUN) -m w2s_lib.book.compare $(foreach edition,$(value EDITIONS),$(call quoted,edition))

site: env  ## put built books into one folder, with a switch between editions on every page: EDITIONS="world smoke"
	@$(RUN) -m w2s_lib.book.site $(foreach edition,$(value EDITIONS),$(call quoted,edition))

links: env  ## ask whether all that the built book links to is still there
	$(RUN) -m w2s_lib.book --edition $(call quoted,EDITION) --links

lab: env  ## open the notebooks in JupyterLab
	$(RUN) -m jupyter lab notebooks

# files in their order, not those with most tests first: the slow ones have few, and would come last, one core idle
test: env  ## run all tests but rehearsals, the smoke edition and its book among them, a process a core
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n logical --dist loadfile --no-loadscope-reorder --durations=20 -m "not rehearsal"

test-quick: env  ## run all but what is slow, for everyday work: three minutes on two cores
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n logical --dist loadfile --no-loadscope-reorder -m "not slow"

test-faults: env  ## rehearsals, then kill, fill, cut off and corrupt: 50 kills of builds and all else, for hours; writes book/tried.csv
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m rehearsal
	OMP_NUM_THREADS=1 W2S_FAULTS=$(or $(FAULTS),50) $(RUN) -m pytest tests/faults

test-slurm: env  ## run the smoke edition through a SLURM of one node (root; apt-get install slurm-wlm munge)
	$(RUN) -m pytest tests/slurm

bench: env  ## measure set-up, training, scoring, look-up; then how often intervals cover planted truth (two hours)
	$(RUN) -m tests.benchmarks.runs
	$(RUN) -m tests.benchmarks.workers
	$(RUN) -m tests.benchmarks.load
	$(RUN) -m tests.benchmarks.throughput
	$(RUN) -m tests.benchmarks.cost
	$(RUN) -m tests.benchmarks.coverage

bench-quick: env  ## fail where today is slower than the last release: five minutes on two cores
	$(RUN) -m tests.benchmarks.quick

lint: env  ## check style and imports
	$(RUN) -m ruff check . && $(RUN) -m ruff format --check .

clean:  ## remove built books and caches; keep the environment and the store of results
	rm -rf book/_build build *.egg-info .pytest_cache .ruff_cache
