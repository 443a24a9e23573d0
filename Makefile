# Everything a fresh machine needs is set up by .ci/environment: Python 3.11+, make and git are enough.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench snapshots picture lock clean environment

BIN := .venv/bin
ARGS :=

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: environment ## start axiom-tui on its embedded Axiom (ARGS="--nodes 500")
	@$(BIN)/axiom-tui demo $(ARGS)

test: environment ## run all tests (ARGS="-k pools")
	@tests/prerequisites.sh
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

check: environment ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy axiom_tui screens tests bench
	$(BIN)/lint-imports

bench: environment ## measure the speed beside its peers
	@$(BIN)/python -m bench $(ARGS)

snapshots: environment ## draw the screens anew; look at the difference before you commit it
	AXIOM_UPDATE_SNAPSHOTS=1 $(BIN)/python -m pytest -n auto --dist loadgroup tests/screens $(ARGS)

# By the oldest Python that is supported, since newer ones need no more; in an environment of its own, so that
# the lock's maker is not in the lock.
picture: environment ## draw the picture of the README from the running program
	@$(BIN)/python -m docs.picture

lock: environment ## resolve pyproject.toml into requirements.lock, by python3.11 (ARGS="--upgrade")
	@test -x .venv/lock/bin/pip-compile || { python3.11 -m venv .venv/lock && .venv/lock/bin/python -m pip install -q pip-tools==7.6.2; }
	CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/pip-compile -q --allow-unsafe --extra=dev --generate-hashes \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras $(ARGS) \
		--output-file=requirements.lock pyproject.toml

clean: ## remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@.ci/environment
