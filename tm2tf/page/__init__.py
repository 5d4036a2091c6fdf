"""The page: one HTML file, without any network, that shows a machine and runs its weights.

- `payload`: what a page is given, as JSON: tensors, labels, tokens, prompts, pictures;
- `assets/`: the page itself, in HTML, CSS and JavaScript without dependencies: `evaluator.js` runs
  weights, `run.js` reads its tokens as a machine's steps, the others draw;
- `build`: puts them together; `library`: a folder of pages with an index.

Imports `pictures`, `inspect`, `compiler` and what is below. Nothing of `api` and `cli`.
"""
