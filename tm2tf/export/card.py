"""The model card: what the model is, how to run it, how to read it, how far it is exact."""

from __future__ import annotations

from tm2tf.constructions.tokens import BEGIN, START, input_token
from tm2tf.export.bundle import Bundle
from tm2tf.export.certificate import certificate
from tm2tf.machine.spec import Example, Tape

SHOWN = 24
"""Tokens of a run that the card shows."""


def card(bundle: Bundle) -> str:
    """Return `README.md`, with a real run in it: an example of the machine, or a blank tape."""
    prompt, plain = shown_start(bundle)
    run = bundle.expected(prompt, SHOWN)
    ended = bundle.tokens[run[-1]].outcome
    sections = (
        _front(bundle),
        f"# {bundle.machine.name}: a Turing machine as a {_class(bundle)}\n\n{_about(bundle)}",
        f"## Run it\n\n{_python(bundle, plain)}",
        "## What it writes\n\n"
        f"After the prompt `{bundle.text(prompt)}` come\n\n```\n{bundle.text(run)}"
        f"{'' if ended else ' ...'}\n```\n\n{_reading(bundle)}",
        f"## How far it is exact\n\n{_bounds(bundle)}",
        f"## What is in it\n\n{_contents(bundle)}",
    )
    return "\n\n".join(sections) + "\n"


def shown_start(bundle: Bundle) -> tuple[list[int], str]:
    """Return a prompt to show, and a text without addresses that the tokenizer makes it from."""
    for example in bundle.machine.examples:
        if fits(bundle, example):
            break
    else:
        start = bundle.machine.initial([])
        return bundle.prompt(start), "<bos> <start>"
    start = bundle.machine.initial(example.tapes)
    return bundle.prompt(start), plain(bundle, start.tapes)


def fits(bundle: Bundle, example: Example) -> bool:
    """Return whether an example begins where plain input does, and fits on the tape."""
    return all(
        tape.origin == tape.head == 0 and bundle.origin + len(tape.contents) <= bundle.cells
        for tape in bundle.machine.initial(example.tapes).tapes
    )


def plain(bundle: Bundle, tapes: tuple[Tape, ...]) -> str:
    """Return a start whose heads are at address 0, where its contents begin, without addresses."""
    cells = [
        input_token(bundle.machine, t, symbol)
        for t, tape in enumerate(tapes)
        for symbol in tape.contents
    ]
    return " ".join([BEGIN, *cells, START])


def _class(bundle: Bundle) -> str:
    return {"gpt2": "GPT-2", "llama": "Llama"}[bundle.checkpoint.architecture]


def _front(bundle: Bundle) -> str:
    return (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
        "tags:\n- turing-machine\n- compiled\n- tm2tf\n---"
    )


def _about(bundle: Bundle) -> str:
    machine, made = bundle.machine, bundle.checkpoint
    told = f" {machine.description}" if machine.description else ""
    return (
        f"Nothing here was trained: every weight was computed from the machine.{told}\n\n"
        f"| | |\n|---|---|\n| machine | {len(machine.states)} states, {len(machine.symbols)} "
        f"symbols, {machine.tapes} tape(s) of {bundle.cells} cells |\n"
        f"| model | {len(made.layers)} layer(s), width {len(made.directions)}, "
        f"{len(bundle.tokens)} tokens, {made.parameters:,} parameters, {made.limits.dtype} |\n"
        f"| construction | {bundle.construction} |"
    )


def _python(bundle: Bundle, plain: str) -> str:
    return (
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        f'model = AutoModelForCausalLM.from_pretrained("."{_dtype(bundle)})\n'
        f'prompt = tokenizer("{_quoted(plain)}", return_tensors="pt")\n'
        "print(tokenizer.decode(model.generate(**prompt)[0]))\n```\n\n"
        f"Input begins at cell {bundle.origin} of the tape, which is where the head begins too. "
        f"The same with addresses says more: `1@{bundle.origin}` is a cell with its place, and "
        "so is the start token. Batches are padded on the left; attended padding ends a run."
    )


def _dtype(bundle: Bundle) -> str:
    """Return how transformers 4 is told to load half precision as what it is; 5 does by itself."""
    return "" if bundle.checkpoint.limits.dtype == "float32" else ', dtype="auto"'


def _reading(bundle: Bundle) -> str:
    if bundle.machine.tapes > 1:
        said = (
            "`1R,0S>B` is a step: what is written on each tape, how each head moves, the next "
            "state. Then comes a token for each tape, with the head's cell after the move."
        )
    else:
        said = "`1R>B@5`: writes `1`, moves right to cell 5, is now in state `B`."
    if bundle.cuts:
        said += (
            " From time to time the model writes its whole tape, from `<summary>` to a token "
            "`</summary:...>`. What stands before `<summary>`, but for `<bos>`, can then be "
            "dropped: so the context never grows longer than "
            f"{bundle.checkpoint.limits.positions:,} tokens, and the run need not end."
        )
    return (
        said + f" `edge` is off the tape, which ends the run, and so does "
        f"`{bundle.tokens[bundle.checkpoint.wiring.default].name}`: there is no rule, or the run "
        "was over before."
    )


def _bounds(bundle: Bundle) -> str:
    facts = certificate(bundle)
    made_for = (
        f"{bundle.steps:,} steps from any start on its tape"
        if bundle.steps is not None
        else "runs without end, as long as summaries are used"
    )
    greatest = ", ".join(
        f"{name} {count:,}" for name, count in facts["greatest_positions_by_dtype"].items()
    )
    return (
        f"Made for {made_for}: contexts of up to {facts['positions']:,} tokens in "
        f"{facts['dtype']}. The longest for which such a model could be made: {greatest} tokens "
        f"(`{facts['bound']}`, n = {facts['n']}).\n\nSupposed is that {facts['supposing']}.\n\n"
        "The right token leads by "
        f"{facts['logit_lead_nats']:g} nats, so that sampling at temperature 1 takes another one "
        f"with a chance below {facts['wrong_token_probability_at_temperature_1']:.1e} a token. "
        "`certificate.json` has the constants."
    )


def _contents(bundle: Bundle) -> str:
    return (
        "- `labels.json`: a name for every direction of the residual stream, every head, every "
        "neuron. Entries of the stream are +1 (true) or -1 (false), and nothing else.\n"
        "- `circuit.json`: which heads, neurons and edges carry which output.\n"
        "- `certificate.json`: the bounds. `machine.yaml`: the machine."
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
