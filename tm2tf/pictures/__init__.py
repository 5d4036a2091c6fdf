"""Pictures: what can be drawn of machines, of their runs, and of weights.

- `palette`: the colours, told apart by the colour-blind too; `letters`: which ones the font has;
- `paths`: where pictures can be written;
- `spacetime`: runs as space-time diagrams; `graphs`: states and programs; `heatmaps`: weights,
  attention and the residual stream.

Imports `verify` (the compiled simulator), `inspect`, `runtime`, `compiler` and what is below.
matplotlib, Graphviz and the like are the extra `draw`, imported where they are used.
"""
