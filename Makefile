# Each line calls cargo or xtask; they say what they do.
.PHONY: run test check bench fuzz

run: ; @echo "building a release, about 3 minutes on two cores the first time"; cargo run --release --bin tidegate -- dev
test: ; cargo xtask tools && cargo test --workspace
check: ; cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings && cargo xtask tools && cargo xtask check && cargo deny check bans licenses sources
bench: ; cargo xtask bench
fuzz: ; cargo test --workspace fuzz
