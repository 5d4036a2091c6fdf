"""Known-answer tests: checkpoints, prompts and the tokens that must follow, for any engine.

`suite` makes them and reads them back; `engines` is one module an inference engine; `checking`
holds an engine's tokens against the known ones and says what the first wrong one should have
recalled. Stands above `export` and `verify`; imports an engine's package only when it is asked for.
"""
