# What a developer does here. `make help` lists it.
SHELL := /bin/bash

.PHONY: help demo cluster cluster-down cluster-smoke images product-images test-crds

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Tell the whole story on this machine, without a cluster (root for containers and eBPF)
	@tests/demo/run.sh

cluster: ## Bring a one-node test cluster up (root; see tests/cluster/README.md)
	@echo "cluster: bringing it up"
	@tests/cluster/up.sh

cluster-down: ## Take the test cluster away, without a trace
	@echo "cluster-down: taking it away"
	@tests/cluster/down.sh

cluster-smoke: ## Check the test cluster itself
	@echo "cluster-smoke: up, pods, crash, down"
	@tests/cluster/smoke.sh

images: ## Build the test images; into the cluster too when it is up
	@echo "images: building the test images"
	@tests/cluster/images.sh

test-crds: ## Test the definitions of our kinds on an API server of its own (no root)
	@echo "test-crds: schemas, rules, columns, apply"
	@tests/crds/test.sh

BIN ?= target/release
PRODUCTS ?= stella-operator stella-zastava stella-webhook
product-images: ## Make the product's images from the programs in BIN (default target/release)
	@echo "product-images: from $(BIN)"
	@for name in $(PRODUCTS); do scripts/images/product.sh $$name $(BIN)/$$name || exit 1; done
