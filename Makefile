# The project's commands. Each works on a fresh clone: what it needs is installed first.
.DEFAULT_GOAL := help
.PHONY: help demo test check test-vm bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## start lambdad, deploy and invoke two functions, stop, prove that nothing is left
	@scripts/system-packages.sh demo
	@scripts/demo.sh

test: ## everything: lint, types, contracts, all suites, the guest with cgroup v2
	@scripts/system-packages.sh test
	@scripts/venv.sh dev
	@.venv/bin/python scripts/run_tests.py

check: ## the quick part of it: lint, types, contracts, architecture
	@scripts/venv.sh dev
	@.venv/bin/python scripts/run_tests.py lint types contracts architecture

test-vm: ## the kernel, conformance and hostile suites in a QEMU guest with cgroup v2 alone
	@scripts/system-packages.sh test
	@scripts/venv.sh dev
	@.venv/bin/python -m tests.vm

bench: ## measure every promise, side by side; ARGS="--quick --only warm" for less
	@scripts/system-packages.sh bench
	@scripts/venv.sh dev bench
	@.venv/bin/python -m bench $(ARGS)

clean: ## remove the virtual environment and what tools have cached
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
