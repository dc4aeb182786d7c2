"""The recipe of the probes, and one run of the whole pipeline on the cipher language, shared by most of them."""

import pytest

from in2x import stages
from in2x.recipe import load

RECIPE = """
seed = 3
threads = 1
folder = "{folder}/run"

[corpus]
similarity = 1.0
num_dev = 60
num_test = 200
max_held_out_group = 2
sources = [{{ name = "cipher", kind = "tsv", path = "{folder}/cipher.tsv", columns = ["en", "ja"] }}]

[pretrain]
step_tokens = 512
optimizer = {{ name = "muon" }}

[pretrain.scratch]
vocab_size = 380
hidden_size = 48
intermediate_size = 96
num_layers = 2
num_heads = 2
num_kv_heads = 1
head_dim = 24
max_position_tokens = 256

[[pretrain.phases]]
name = "knowledge"
tokens = 20_000
context_tokens = 64
lr = 4e-3
warmup_fraction = 0.1
mixture = {{ en = 0.4, ja = 0.4, pairs = 0.2 }}

[[pretrain.phases]]
name = "long"
tokens = 8_000
context_tokens = 128
lr = 4e-3
mixture = {{ documents = 1.0 }}

[[pretrain.phases]]
name = "anneal"
tokens = 8_000
context_tokens = 64
lr = 4e-3
schedule = "linear"
mixture = {{ pairs = 1.0 }}
select = {{ pool_documents = 400, keep_fraction = 0.5 }}

[instruct]
num_sft = 450
num_rl = 160
tasks = {{ translate = 1.0 }}
target_fraction = 1.0
difficulty_shares = [1, 1, 1, 1, 1]

[sft]
lr = 4e-3
step_tokens = 512
context_tokens = 64
optimizer = {{ name = "muon" }}

[reward]
lr = 1e-3
num_pairs = 120
max_completion_tokens = 32

[rl]
lr = 3e-4
length_normalise = "sequence-mean"
num_batches = 80
batch_completions = 128
mini_batch_completions = 32
group_size = 8
max_completion_tokens = 32
length_buffer_tokens = 8
dev_every_batches = 20
num_dev = 20

[merge]
num_dev = 60
num_saliency_segments = 32

[translate]
num_segments = 200
num_candidates = 8
temperature = 0.5
max_completion_tokens = 32
"""
REPORT = """
[evaluate]
num_resamples = 100
num_samples = 5

[report]
"""


@pytest.fixture(scope="session")
def cipher_run(tmp_path_factory, write_recipe):
    """The recipe of a complete run of all ten stages."""
    recipe = load(write_recipe(tmp_path_factory.mktemp("cipher"), REPORT))
    for name in recipe.stages:
        stages.run_stage(recipe, name)
    return recipe


@pytest.fixture(scope="session")
def write_recipe(cipher):
    """Write the cipher language and its recipe into a folder; `more` tables follow those up to [translate]."""

    def write(folder, more=""):
        cipher.write(folder / "cipher.tsv")
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder) + more, encoding="utf-8")
        return folder / "recipe.toml"

    return write


@pytest.fixture(scope="session")
def cipher():
    import importlib.util
    from pathlib import Path

    specification = importlib.util.spec_from_file_location("cipher", Path(__file__).with_name("cipher.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
