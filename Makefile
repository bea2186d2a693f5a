# Two commands matter: `make up` runs Porchlight here, `make test` tests it.
# Needed: python3 (3.11 or newer) with venv, git. uv is used when it is there.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
LANGGRAPH := bench/handoff_safety/langgraph
LITELLM := bench/litellm
LOCK := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate pyproject.toml --extra build

.PHONY: up test check format bench bench-cma bench-conversations bench-handoff bench-handoff-safety bench-stampede bench-cache bench-cache-replay bench-cache-seed protos docs pictures lock clean

up: $(RUNTIME)       # stores, migrations, all services, until Ctrl-C; prints `ready` and the URLs
	@exec $(BIN)/porchlight up

test: $(DEV)         # every test, and the reason for each one skipped; TESTS="tests/unit -k name" for some
	@$(BIN)/python -m pytest $(if $(TESTS),$(TESTS),-n $(WORKERS))

check: $(DEV)        # lint, format, types, import rules, contracts
	@PATH="$(abspath $(BIN)):$$PATH" tools/check

format: $(DEV)       # put the source into its one format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(DEV)        # measure against a bare gRPC echo; rewrites bench/RESULTS.md
	@$(BIN)/python -m bench

bench-cma: $(DEV)    # measure the CMA on King County's sales of 2015; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.cma --write

bench-conversations: $(DEV)  # play the authored conversations against the whole system, rules only
	@$(BIN)/python -m bench.conversations

bench-handoff: $(DEV) $(LANGGRAPH)/.venv/.installed  # handoffs beside a bare echo, a durable commit and LangGraph; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.handoff --write

bench-cache: $(DEV) $(LITELLM)/.venv/.installed  # cached answers beside a bare echo, a Redis GET and LiteLLM's proxy; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.cache_latency --write

bench-stampede: $(DEV)  # how often Claude is asked when everybody asks the same; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.stampede --write

.PHONY: bench-cache-faults
bench-cache-faults: $(DEV)  # what an emptied, a hanging and a stopped Redis cost; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.cache_faults --write

bench-handoff-safety: $(DEV) $(LANGGRAPH)/.venv/.installed  # what holds when handoffs go wrong, here and in LangGraph; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.handoff_safety --write

bench-cache-replay: $(DEV)  # replay property dialogues (../shared/data/sgd_homes) beside other caches; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.cache_replay --write

bench-cache-seed: $(DEV)  # what the labels that ship teach, on ways and texts that they do not hold; rewrites its part of bench/RESULTS.md
	@$(BIN)/python -m bench.cache_seed --write

.PHONY: load-cache
load-cache: $(DEV)  # 10,000 near-duplicate pairs, 10,000 contacts with canaries, 1,000 mutations of every bad answer; SEED=7 for one again
	@$(BIN)/python -m tests.support.near_duplicates --pairs 10000 $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.support.mutations --mutations 1000 $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.support.canaries --contacts 10000 $(if $(SEED),--seed $(SEED))

.PHONY: mutants-handoff load-handoff stateful-handoff tickets kills mutants-rules
mutants-rules: $(DEV)    # change the arbiter's rules, routes, policy and tickets at every place, and count the changes that no test notices
	@$(BIN)/mutmut run --max-children $(WORKERS) && $(BIN)/mutmut results

mutants-handoff: $(DEV)  # take the mechanisms behind the guarantees out one at a time; see docs/guarantees.md
	@$(BIN)/python -m tools.mechanisms $(MECHANISMS)

load-handoff: $(DEV)  # 100,000 random requests over 5,000 contacts and 4 arbiters, judged from the database; ARGS="--seed 7" for one again
	@$(BIN)/python -m tests.support.handoff_load $(ARGS)

stateful-handoff: $(DEV)  # 10,000 sequences of what can happen to a contact, in Postgres and in a model; ARGS="--seed 7" for them again
	@$(BIN)/python -m tests.support.handoff_sequences $(ARGS)

tickets: $(DEV)      # 10,500 forged and 1,080 used tickets at the arbiter's doors, and 10,000 forged ones offline
	@PORCHLIGHT_TEST_ROUNDS=15 $(BIN)/python -m pytest -o timeout=900 tests/service/test_tickets_over_the_wire.py tests/unit/test_tickets.py

kills: $(DEV)        # SIGKILL at every named point of a handoff, and of every process while people text; says how soon each was made good
	@PORCHLIGHT_TEST_POINTS=all $(BIN)/python -m pytest -rP tests/flow/test_handoff_faults.py tests/flow/test_kills.py

protos: $(DEV)       # generate protos/gen from the contracts
	@$(BIN)/python -m tools.protos

docs: $(DEV)         # write docs/reference from the code
	@$(BIN)/python -m tools.reference

pictures: $(DEV)     # take the README's pictures anew from the phone page; needs Chromium
	@$(BIN)/python -m pytest -q tests/flow/test_phone_page.py -k "stand-in or verdict" && cp build/pictures/handoff.png build/pictures/buyer-story.png build/pictures/seller-story.png docs/pictures/

lock:                # choose versions anew where pyproject.toml asks for it; `make lock UPGRADE=--upgrade` for all
	$(LOCK) $(UPGRADE) -o requirements.lock
	$(LOCK) $(UPGRADE) --extra dev --extra quality -o requirements-dev.lock

clean:               # remove what was installed and built; the state directory stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis mutants

$(RUNTIME): requirements.lock pyproject.toml tools/install
	@tools/install $(PYTHON) $(VENV) requirements.lock && touch $@

$(DEV): requirements-dev.lock pyproject.toml tools/install
	@tools/install $(PYTHON) $(VENV) requirements-dev.lock && touch $@ $(RUNTIME)

# What is measured beside ours lives in an environment of its own and is no dependency.
$(LANGGRAPH)/.venv/.installed $(LITELLM)/.venv/.installed: %/.venv/.installed: %/requirements.lock
	@$(PYTHON) -m venv $*/.venv && $*/.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r $< && touch $@
