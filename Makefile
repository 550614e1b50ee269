# What a developer does here. `make help` lists it.
SHELL := /bin/bash
CACHE := $(or $(STELLA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stella)
export PATH := $(CACHE)/bin:$(PATH)
# One target directory for programs, tests and images. In CI it lies outside the checkout, so that the next run finds it.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)
PRODUCT := stella-operator stella-zastava stella-webhook

.PHONY: help demo test test-rust test-blobs test-policies test-formats test-attest test-oauth test-schema test-examples test-charts test-crds test-accounts test-bypass test-enforce test-podman e2e cluster cluster-down cluster-smoke images product-images build bench agreement soak fuzz generate lint audit prerequisites

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Tell the whole story on this machine, without a cluster (root for containers and eBPF)
	@tests/demo/run.sh

# The tests are built with the programs, with what both want of libraries: programs alone would be built a second time.
test: WITH_TESTS := --tests
test: prerequisites test-rust test-blobs test-policies test-formats test-attest test-oauth test-schema test-examples test-charts test-crds test-accounts test-bypass test-enforce test-podman e2e ## Everything, in its short form: units, charts, definitions, and the story on a real cluster

prerequisites: ## Install what building and testing need: Debian packages, kubectl, helm, nextest, PostgreSQL
	@echo "prerequisites: Debian packages, kubectl and helm, nextest, PostgreSQL"
	@scripts/install/debian.sh
	@scripts/install/kube-tools.sh
	@scripts/install/cargo-tools.sh nextest
	@scripts/install/postgres.sh

build: ## Build every program (dev profile)
	@echo "build: programs into $(TARGET)/debug"
	@cargo build --workspace --bins $(WITH_TESTS)

test-rust: ## Unit, property and conformance tests of the crates
	@echo "test-rust: the crates"
	@((EUID == 0)) || echo "test-rust: NOT TESTED without root: the agent in the kernel, images of containerd, full disks"
	@cargo build --workspace --bins --tests
	@STELLA_REQUIRE_DATA=$(words $(wildcard ../shared/data)) tests/postgres/with.sh cargo nextest run --workspace --no-fail-fast

test-blobs: ## Blobs in a folder and on a real S3 server (MinIO)
	@echo "test-blobs: a folder, MinIO"
	@scripts/install/go-tools.sh minio
	@STELLA_REQUIRE_S3=1 cargo test -q -p stella-blobs

test-policies: build ## The same Rego policies, and the same tests of policies, by us and by OPA
	@echo "test-policies: Rego, by regorus and by OPA"
	@scripts/install/go-tools.sh opa
	@STELLA_REQUIRE_OPA=1 cargo test -q --workspace --test opa
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/rego/compare.py

test-formats: build ## What we write, by the validators of the formats: SARIF, also in a code review, CycloneDX, SPDX, and HTML in a browser
	@echo "test-formats: SARIF, CycloneDX, SPDX, HTML"
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/sarif.sh
	@scripts/install/go-tools.sh reviewdog
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/sarif-review.sh
	@tests/conformance/sbom-validate
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/browser/run.sh

test-attest: build ## What we sign, by tools of others: cosign, registries, DSSE in Python, vectors of canonical JSON
	@echo "test-attest: cosign, referrers, DSSE, canonical JSON"
	@scripts/install/attest-tools.sh
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/attest/run.sh

test-oauth: build ## OAuth and JOSE libraries of other languages against the authority, and another issuer
	@echo "test-oauth: authlib, jwcrypto, oauth4webapi, jose, oidc-provider"
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/oauth/run.sh

test-schema: build ## The server against its own OpenAPI document, by schemathesis ($CASES of each operation, default 20)
	@echo "test-schema: every operation of the OpenAPI document"
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/schema/run.sh $(CASES)

test-examples: build ## The examples of the documents, against an operator
	@echo "test-examples: docs/api.md, docs/policies.md"
	@BIN="$(abspath $(TARGET))/debug" tests/conformance/examples/run.sh

test-charts: ## Test the charts, without a cluster
	@echo "test-charts: lint, schemas, rights, generated files"
	@scripts/install/go-tools.sh kubeconform
	@tests/charts/test.sh

test-crds: ## Test the definitions of our kinds, and the chart with its rights, on API servers of their own (no root)
	@echo "test-crds: schemas, rules, columns, apply; install, upgrade, rights, uninstall"
	@tests/cluster/build.sh
	@tests/crds/test.sh
	@tests/charts/api.sh

test-accounts: build ## Tokens of service accounts against the operator, looked at by a real API server (no root)
	@echo "test-accounts: TokenReview, the rules of the chart, the grant for service accounts"
	@tests/cluster/build.sh >/dev/null
	@BIN="$(abspath $(TARGET))/debug" tests/accounts/test.sh

test-bypass: build ## Try to get past the webhook in every known way, its ladder, and the backstop, on API servers of their own (no root)
	@echo "test-bypass: places, updates, names, claims, namespaces, waivers, sizes, the port"
	@tests/cluster/build.sh >/dev/null
	@BIN="$(abspath $(TARGET))/debug" tests/bypass/test.sh
	@BIN="$(abspath $(TARGET))/debug" tests/bypass/ladder.sh
	@BIN="$(abspath $(TARGET))/debug" tests/bypass/life.sh
	@BIN="$(abspath $(TARGET))/debug" tests/postgres/with.sh tests/bypass/leader.sh
	@tests/charts/backstop.sh

test-enforce: build ## Evict what policy refuses: dry run, rate, budgets, exemptions, withdrawal, on an API server of its own (no root)
	@echo "test-enforce: dry run, eviction, budgets, withdrawal"
	@tests/cluster/build.sh >/dev/null
	@BIN="$(abspath $(TARGET))/debug" tests/enforce/test.sh

test-podman: build ## Real containers of Podman: whose a program is, its storage as an image, drift (root and eBPF)
	@echo "test-podman: attribution, podman exec, containers-storage, libraries without an owner"
	@scripts/install/podman.sh
	@BIN="$(abspath $(TARGET))/debug" tests/podman/test.sh

e2e: build ## The whole story on a real cluster ($KUBECONFIG, else the test cluster)
	@echo "e2e: install, scan, observe, refuse, report, export, restart, uninstall"
	@BIN="$(abspath $(TARGET))/debug" tests/e2e/run.sh

cluster: ## Bring a one-node test cluster up (root; see tests/cluster/README.md)
	@echo "cluster: bringing it up"
	@tests/cluster/up.sh

cluster-down: ## Take the test cluster away, without a trace
	@echo "cluster-down: taking it away"
	@tests/cluster/down.sh

cluster-smoke: ## Check the test cluster itself
	@echo "cluster-smoke: up, pods, crash, down"
	@tests/cluster/smoke.sh

images: build ## Build the test images and the product's; into the registry of the test cluster when it is up
	@echo "images: the workload, and the product's from $(TARGET)/debug"
	@tests/cluster/images.sh
	@for name in $(PRODUCT); do scripts/images/product.sh $$name $(TARGET)/debug/$$name || exit 1; done

product-images: ## Build the product's images from release programs, and push them when $REGISTRY answers
	@echo "product-images: release programs, as images into the cache"
	@cargo build --workspace --release --bins
	@for name in $(PRODUCT); do scripts/images/product.sh $$name $(TARGET)/release/$$name || exit 1; done

generate: ## Make everything that is generated: definitions, OpenAPI, samples, chart files
	@echo "generate: definitions, OpenAPI, samples, charts"
	@STELLA_GENERATE=1 cargo test -q -p stella-attest -p stella-crds -p stella-operator -p stella-policy --test generated
	@charts/generate.sh
	@python3 tests/bypass/run.py --docs >docs/bypass.md

bench: ## Measure (release profile); see docs/benchmarks.md
	@tests/bench/run.sh

agreement: ## Compare what stella says of different images with syft and osv-scanner, see docs/agreement.md; and its scores of CVSS vectors with another implementation
	@tests/conformance/cvss/run.sh
	@tests/conformance/agreement/run.sh

fuzz: ## Feed parsers with invented bytes ($FUZZ_SECONDS for each of them, default 60)
	@echo "fuzz: every target"
	@fuzz/run.sh

soak: cluster-smoke ## What takes longer: crashes of the cluster and 200 of the operator ($STELLA_KILLS, $STELLA_SEED), load ($STELLA_STREAMS, $STELLA_RATE, $STELLA_SECONDS, $STELLA_TURNS), property tests with many more cases
	@echo "soak: the operator is killed, and its database"
	@STELLA_KILLS=$${STELLA_KILLS:-200} STELLA_SEED=$${STELLA_SEED:-$$RANDOM} tests/postgres/with.sh \
	  cargo nextest run --workspace --test served -E 'test(/^crashes::/)' --no-fail-fast --success-output final
	@echo "soak: 10,000 streams, slow clients, 100 tokens on two replicas"
	@STELLA_STREAMS=$${STELLA_STREAMS:-10000} STELLA_RATE=$${STELLA_RATE:-40} STELLA_SECONDS=$${STELLA_SECONDS:-10} STELLA_TURNS=$${STELLA_TURNS:-10} \
	  tests/postgres/with.sh cargo nextest run --workspace --release --test served -E 'test(/^(flood|rates)::/)' \
	  --no-fail-fast --success-output final
	@echo "soak: the evaluator of policies, changed in every way (2 hours)"
	@tests/mutants/run.sh
	@echo "soak: property tests with 20,000 cases each"
	@PROPTEST_CASES=20000 tests/postgres/with.sh cargo nextest run --workspace --release
	@STELLA_ENTRIES=10000000 cargo nextest run --workspace --release -E 'binary(hostile_entries)'

lint: ## Formatting, clippy, licences and sources of dependencies
	@scripts/install/cargo-tools.sh deny
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@cargo deny check bans licenses sources

audit: ## Advisories against our own dependencies (needs github.com)
	@scripts/install/cargo-tools.sh deny
	@cargo deny check advisories
