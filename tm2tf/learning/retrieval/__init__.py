"""A part of the data in the prompt: drawn evenly, or retrieved by nearness to the query.

A context is short and data are many, so a prompt holds k examples of n. Drawn evenly they show
what all the data show, up to chance. Retrieved, they are those nearest to the query: fewer do, but
they no longer stand for the data. Four parts measure both, in tokens of the prompt:

    machine     the steps of a machine's runs, for a held-out input; universal weights
    points      words whose law changes from place to place; shares read off by attention
    contexts    words of several contexts, of which the query has one
    reviews     labels of the reviews that share words with the query

    neighbours  the order of nearness, by scikit-learn
    theory      bias and variance of the shares among nearest neighbours
    report      what all parts return; every: all of them; pictures: their figures
"""
