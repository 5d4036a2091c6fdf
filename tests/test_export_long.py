"""Long runs of checkpoints in others' engines, token by token; `make test-all` runs them."""

import pytest

from tests.stock import made, model_of
from tm2tf.export import formats
from tm2tf.machine.simulator import Simulation
from tm2tf.runtime.sparse import SparseRunner

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [
        ("gpt2", "float32"),
        ("gpt2", "bfloat16"),
        ("gpt2", "float16"),
        ("llama", "float32"),
    ],
)
def test_bb5_for_16_000_steps_in_transformers(architecture, dtype):
    """One to four minutes each, by `generate` with its cache."""
    pytest.importorskip("transformers", reason="the extra `export` is not installed")
    bundle = made("bb5", architecture, tape=512, steps=16_000, dtype=dtype)
    prompt = bundle.prompt(bundle.machine.initial([]))
    model = model_of(bundle)
    written = model.generate(torch.tensor([prompt]), max_new_tokens=16_000, do_sample=False)
    expected = bundle.expected(prompt, 16_000)
    assert len(expected) == 16_000
    assert written[0, len(prompt) :].tolist() == expected


def loaded(bundle, folder):
    """Return llama.cpp's session with a bundle."""
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    pytest.importorskip("llama_cpp", reason="the extra `llama-cpp` is not installed")
    from tm2tf.kat.engines.llama_cpp import LlamaCpp

    formats.write(bundle, formats.by_name("gguf"), folder)
    return LlamaCpp().load(folder)


def test_bb5_for_64_000_steps_in_llama_cpp(tmp_path):
    """A minute. The machine stays within 489 cells, most of them to the left."""
    bundle = made("bb5", "llama", tape=512, origin=480, steps=64_000)
    prompt = bundle.prompt(bundle.machine.initial([]))
    (written,) = loaded(bundle, tmp_path).generate([prompt], 64_000, bundle.ends)
    assert written == bundle.expected(prompt, 64_000)
    assert len(written) == 64_000


def test_a_million_steps_in_a_context_of_4096_in_llama_cpp(tmp_path):
    """Four minutes: after each summary the engine is given that alone, as a new prompt."""
    bundle = made(
        "counter",
        "llama",
        construction="summarised-addressed",
        tape=32,
        context=4096,
        origin=28,
    )
    session = loaded(bundle, tmp_path)
    start = bundle.machine.initial([])
    context = bundle.prompt(start)
    simulation, reference = (
        Simulation(bundle.machine, start),
        SparseRunner(bundle.compiled.weights, context),
    )
    opens = bundle.checkpoint.wiring.ids()["<summary>"]
    steps, stop = 0, {*bundle.cuts, *bundle.ends}
    while steps < 1_000_000:
        (written,) = session.generate([context], 4097 - len(context), stop)
        assert written == reference.advance(len(written), probe=False).tokens.tolist()
        assert written[-1] in bundle.cuts
        for token in written:
            if bundle.tokens[token].role == "step":
                simulation.step()
                steps += 1
        whole = [*context, *written]
        summary = max(place for place, token in enumerate(whole) if token == opens)
        context = [whole[0], *whole[summary:]]
        cells = [bundle.tokens[token].name.split("@")[0] for token in context[2:-1]]
        blank = bundle.machine.blank
        assert cells == [simulation.cells[0].get(cell - 28, blank) for cell in range(32)]
        state, head = bundle.tokens[context[-1]].name.removeprefix("</summary:")[:-1].split("@")
        assert (state, int(head)) == (simulation.state, simulation.heads[0] + 28)
