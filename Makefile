# You need Python >= 3.11 with venv, and make. Everything else is fetched into .uv and .venv, nothing outside this folder.

UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' tools/uv.txt)
BIN := .venv/bin
# Half the time of one process. A file's tests stay together, because each process starts servers of its own.
PYTEST ?= -n 2 --dist loadfile

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
# Only locked tools build packages: a package whose builder would have to be fetched by name only is refused.
export UV_REQUIRE_BUILD_HASHES := 1
export UV_PREVIEW_FEATURES := build-dependency-hashes
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.PHONY: help run reset test check docs fmt bench torture openapi audit sbom clean
.DEFAULT_GOAL := help

help:     ## Show this list
	@sed -n 's/^\([a-z]*\): .*## */  make \1\t/p' Makefile | expand -t 18

run: .venv/.run     ## Serve on http://127.0.0.1:8080, with a database of its own unless DATABASE_URL names one
	@exec $(BIN)/python -I -S src/wallet/storage/embedded/child.py parent=$$PPID -- $(BIN)/wallet dev

reset: .venv/.run     ## Remove the data that make run keeps in .data
	@$(BIN)/wallet reset

test: .venv/.dev     ## Run all tests on a real PostgreSQL (TEST_DATABASE_URL, or one of their own)
	@$(BIN)/pytest $(PYTEST)

check: .venv/.dev     ## Lint, types, SQL lint, spelling, generated files, documentation, licences, known vulnerabilities
	@set -e; step() { echo "== $$*"; "$(BIN)/$$@"; }; \
	step ruff check; \
	step ruff format --check; \
	step mypy; \
	step sqlfluff lint src/wallet/storage; \
	step typos; \
	step wallet openapi --check; \
	step wallet configuration --check; \
	step python -m tools.guide --check; \
	step python -m tools.licences; \
	step python -m tools.advisories

docs: .venv/.dev     ## Build the documentation site, which the service serves at /docs/guide/
	@$(BIN)/python -m tools.guide

fmt: .venv/.dev     ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: .venv/.dev     ## Measure the service against the plain design
	@$(BIN)/python -m tests.bench

torture: .venv/.dev     ## Break the service in every way we know: MINUTES=10, and a SEED to repeat a run
	@$(BIN)/python -m tests.faults --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

openapi: .venv/.dev     ## Write docs/openapi.json anew
	@$(BIN)/wallet openapi

audit: .venv/.dev     ## Ask the advisory database about all dependencies; fails if it cannot be asked
	@$(BIN)/python -m tools.advisories --required

sbom: .venv/.dev     ## Write dist/sbom.cdx.json: the components of the service, as CycloneDX
	@$(BIN)/python -m tools.components dist/sbom.cdx.json

clean:     ## Remove what make fetched and built, and what the tools cached; no data
	@rm -rf .venv .uv src/wallet/http/open/static/guide* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The first Python >= 3.11 that works; `python3.12` may be a shim that only refuses, so each is tried.
define find_python
python=; for each in "$$PYTHON" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	python=$$("$$each" -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null) || python=; \
	[ -z "$$python" ] || break; \
done; \
[ -n "$$python" ] || { echo "Python 3.11 or newer is needed, and none is on the PATH: install one, or name it with PYTHON=..." >&2; exit 1; }
endef

# A uv on the PATH is used if it is the locked version; otherwise the locked one is fetched, by its hash.
define find_uv
uv=uv; case "$$(uv --version 2>/dev/null)" in "uv $(UV_VERSION)"|"uv $(UV_VERSION) "*) ;; *) uv=.uv/bin/uv;; esac; \
[ $$uv = uv ] || [ -e .uv/$(UV_VERSION) ] || { \
	echo "Fetching uv $(UV_VERSION)"; \
	"$$python" -m venv .uv && .uv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check \
			--require-hashes --only-binary :all: --no-deps -r tools/uv.txt \
		&& touch .uv/$(UV_VERSION) \
		|| { echo "uv could not be fetched: $$python needs its venv module, and the package index must be reachable" >&2; exit 1; }; \
}
endef

# If the home folder is read-only, as that of a service account is, the cache is here.
define find_cache
cache="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/uv}"; \
mkdir -p "$$cache" 2>/dev/null && [ -w "$$cache" ] || cache=.uv/cache
endef

# --inexact: what the tests need may stay when only the service is brought up to date.
.venv/.run: pyproject.toml uv.lock
	@$(find_python); $(find_uv); $(find_cache); \
	echo "Installing the service"; \
	UV_PYTHON="$$python" UV_CACHE_DIR="$$cache" $$uv sync --quiet --locked --no-default-groups --extra embedded --inexact
	@touch $@

.venv/.dev: .venv/.run
	@$(find_python); $(find_uv); $(find_cache); \
	echo "Installing what tests and checks need"; \
	UV_PYTHON="$$python" UV_CACHE_DIR="$$cache" $$uv sync --quiet --locked --group dev
	@touch $@
