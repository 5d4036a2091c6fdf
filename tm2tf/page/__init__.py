"""The page: one HTML file, without any network, that shows a machine and runs its weights.

- `payload`: what a page is given, as JSON: `tensors`, labels, tokens, examples; `prompts` finds out
  how typed words become prompts;
- `assets/`: the page itself, in HTML, CSS and JavaScript without dependencies: `evaluator.js` and
  `looped.js` run weights, `run.js` reads their tokens as a machine's steps, the others draw;
- `build`: puts them together; `library`: a folder of pages and an index; `thumbnail`: its pictures.

Imports `pictures`, `inspect`, `compiler` and what is below. Nothing of `api` and `cli`.
"""
