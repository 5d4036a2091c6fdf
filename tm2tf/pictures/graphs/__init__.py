"""Graphs: a machine's states, and a program's layers and features with what flows where.

- `states`: the state graph by networkx, and what it alone shows; `flow`: the program graph;
- `state_layout`, `layout`: Graphviz says where boxes and lines go, and is told no word;
- `state_svg`, `flow_svg`: drawings, in the parts of `svg`, which also makes PNG of them;
- `dot`, `mermaid`: the same as texts of other programs, which need no extra;
- `report`: JSON and tables; `files`: which format a file name asks for.
"""
