"""What a Turing machine is and does: k tapes, any alphabet, exact steps.

`spec` holds the definition, `simulator` the meaning, `builder` a structured assembler for
longer machines, `library` the bundled ones, `sampling` random ones. Imports only `errors`:
no numpy, no torch, nothing about transformers.
"""
